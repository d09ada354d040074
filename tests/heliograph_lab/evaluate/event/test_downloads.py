"""Downloads as found on disks: comments, database dumps, error pages, bad files."""

import gzip
import json
from pathlib import Path

import pytest

from heliograph.units import HOUR_US
from heliograph_collector.app.commands import load_event
from heliograph_collector.model.signals import VoteValue
from heliograph_collector.sources.complaints import ImportRefusedError

T0 = 1_767_884_400  # 8 January 2026, 15:00


@pytest.mark.parametrize(
    "text",
    [
        "# exported from a dashboard\n#\ntime,value\n{rows}",
        "Connectivity of Iran\n\nTime,Connectivity (%)\n{rows}",
        "Iran, by hour\nTime;Connectivity\n{semicolons}",
        "Zeit;Wert\n{german}",
    ],
)
def test_a_title_comments_and_other_languages_stand_before_the_values(
    tmp_path: Path, text: str
) -> None:
    hours = ("15:00", "16:00", "17:00")
    levels = (97.5, 80.0, 12.0)
    pairs = list(zip(hours, levels, strict=True))
    rows = "\n".join(f"2026-01-08 {hour},{level}" for hour, level in pairs)
    german = "\n".join(f"08.01.2026 {h};{v}".replace(f"{v}", f"{v:g}", 1) for h, v in pairs)
    path = tmp_path / "IR.csv"
    path.write_text(
        text.format(
            rows=rows, semicolons=rows.replace(",", ";"), german=german.replace("7.5", "7,5")
        )
    )
    (series,) = load_event(path).replay.series
    assert series.since_us == T0 * 1_000_000
    assert (series.step_us, series.values) == (HOUR_US, levels)


def test_the_bounds_of_a_mean_are_no_further_sources(tmp_path: Path) -> None:
    path = tmp_path / "IR.csv"
    path.write_text("time,min,max,avg\n2026-01-08 15:00,90,98,97.5\n2026-01-08 16:00,70,90,80\n")
    made = load_event(path)
    assert [(series.source, series.values) for series in made.replay.series] == [
        ("avg", (97.5, 80))
    ]
    assert (made.complaints, len(made.notes)) == ((), 1)
    path.write_text("time,max\n2026-01-08 15:00,98\n2026-01-08 16:00,90\n")
    assert load_event(path).replay.series[0].source == "max"  # there is nothing else


def test_a_dump_of_oonis_analysis_is_read_as_rows(tmp_path: Path) -> None:
    path = tmp_path / "ug-analysis.sql"
    path.write_text(
        "-- a dump\nINSERT INTO analysis_web_measurement (`domain`, `input`, `probe_asn`, "
        "`probe_cc`, `measurement_start_time`, `top_tcp_failure`, `dns_blocked`, `tcp_blocked`, "
        "`tls_blocked`) VALUES ('x.com', 'https://x.com/it''s(1),2', 20294, 'UG', "
        "'2026-01-18 05:24:35.000', NULL, 0, 0, 0)\n"
        ", ('x.com', 'https://x.com/a\\'b', 20294, 'UG', '2026-01-18 05:46:13.000', "
        "'connection_refused', 0, 0.75, 0)\n;\n"
    )
    votes = load_event(path).replay.opinions
    assert [(v.service, v.standing, v.layer) for v in votes] == [
        ("x.com", VoteValue.GOOD, ""),
        ("x.com", VoteValue.BLOCKED, "tcp"),
    ]
    assert {v.witness.place.asn for v in votes} == {20294}


def test_counts_of_a_day_are_known_at_its_end(tmp_path: Path) -> None:
    day = {"anomaly_count": 2, "confirmed_count": 0, "failure_count": 0, "measurement_count": 12}
    day |= {"ok_count": 10}
    answer = {"result": [{**day, "measurement_start_day": "2026-01-18"}], "v": 0}
    path = tmp_path / "UG.json"
    path.write_text(json.dumps(answer))
    votes = load_event(path).replay.opinions
    assert len(votes) == 12
    first, *_, last = votes
    assert (first.standing, last.standing) == (VoteValue.GOOD, VoteValue.GOOD)  # no order is known
    assert {v.at_us // HOUR_US % 24 for v in votes} == {23}
    day |= {"anomaly_count": 1, "ok_count": 1, "measurement_count": 2}
    answer = {"result": [{**day, "measurement_start_day": "2026-01-18T05:00:00Z"}], "v": 0}
    path.write_text(json.dumps(answer))
    before, after = load_event(path).replay.opinions
    assert (before.standing, after.standing) == (VoteValue.GOOD, VoteValue.BLOCKED)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (b"<!DOCTYPE html>\n<html><h1>502 Bad Gateway</h1>, 1,2</html>", "is a web page"),
        (b"PK\x03\x04" + bytes(99), "is a ZIP archive or a workbook"),
        (gzip.compress(gzip.compress(b"time,value\n")), "is packed twice"),
        ("time,value\n2026-01-08,1\n".encode("utf-16"), "is no text in UTF-8"),
        (
            b'{"metadata": {"count": 3}, "results": [{"anomaly": fal',
            "is broken, or breaks off",
        ),
        (
            b'{"features": [{"type": "Point", "at": [51.4, 35.7]}]}',
            "is of no format that is known",
        ),
        (b"time,outage_score\n2026-01-08 15:00,3\n2026-01-08 16:00,90\n", "counts failures"),
        (
            b'{"type": "outages.alerts", "requestParameters": {}, "data": []}',
            "/signals/raw instead",
        ),
        (b'{"type": "signals", "requestParameters": {}, "data": [[]]}', "ask for other days"),
        (
            b'{"result": {"meta": {"normalization": "MIN_MAX"}, "serie_0": {"timestamps": [1]}}}',
            "ask for normalization=MIN0_MAX",
        ),
    ],
)
def test_what_is_no_data_is_refused_by_what_it_is(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    path = tmp_path / "ioda-IR.csv"
    path.write_bytes(content)
    with pytest.raises(ImportRefusedError, match=reason):
        load_event(path)
