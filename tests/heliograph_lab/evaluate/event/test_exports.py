"""Publishers' files: tables of other layouts, Cloudflare Radar, OONI's rows."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from heliograph.units import HOUR_US, SECOND_US
from heliograph_collector.app.commands import load_event
from heliograph_collector.model.scope import Scope
from heliograph_collector.model.signals import VoteValue
from heliograph_collector.sources.complaints import ImportRefusedError

BEGAN = datetime(2026, 1, 8, 15, tzinfo=UTC)
HOURS = [BEGAN + timedelta(hours=hour) for hour in range(3)]
T0 = 1_767_884_400 * SECOND_US
IR = Scope("IR")


def write(folder: Path, name: str, content: str | object) -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def join(header: str, rows: Sequence[str]) -> str:
    return "\n".join([header, *rows]) + "\n"


@pytest.mark.parametrize(
    ("header", "time_format", "values"),
    [
        ("Serie_0 timestamps,Serie_0 values", "%Y-%m-%dT%H:%M:%SZ", "97.5 80 12"),
        ("x,y", "%Y-%m-%d %H:%M", "97.5 80 12"),
        ("Date,Time,Connectivity (%)", "%Y-%m-%d,%H:%M", "97.5% 80% 12%"),
        ("date,hour,value", "%Y-%m-%d,%H", "97.5 80 12"),
        ("Time (UTC),BGP", "%b %d %Y,%I:%M %p", "97.5 80 12"),
        ("time;value", "%Y-%m-%dT%H:%M:%SZ", "97,5 80 12"),
        ("time;value", "%d.%m.%Y %H:%M", "97,5 80 12"),
        ("time,value", "%Y-%m-%d %H:%M:%S +0000", "97.5 80 12"),
    ],
)
def test_a_table_is_read_however_its_program_wrote_it(
    header: str, time_format: str, values: str, tmp_path: Path
) -> None:
    separator = ";" if ";" in header else ","
    rows = []
    for at, value in zip(HOURS, values.split(), strict=True):
        time = at.strftime(time_format)
        if "%p" in time_format:
            time = f'"{at:%b %d, %Y %I:%M %p}"'
        rows.append(f"{time}{separator}{value}")
    (series,) = load_event(write(tmp_path, "IR.csv", join(header, rows))).replay.series
    assert (series.scope, series.since_us, series.step_us) == (IR, T0, HOUR_US)
    assert series.values == (97.5, 80, 12)


def test_each_country_of_a_table_is_a_series_of_its_own(tmp_path: Path) -> None:
    rows = [f"{at:%Y-%m-%dT%H}:00Z,{cc},{value}" for at in HOURS for cc, value in PLACES]
    long = write(tmp_path, "long.csv", join("time,country,value", rows))
    wide_rows = [f"{at:%Y-%m-%dT%H}:00Z,5,90" for at in HOURS]
    codes = write(tmp_path, "codes.csv", join("time,IR,AZ", wide_rows))
    names = write(tmp_path, "names.csv", join("time,Iran,Azerbaijan", wide_rows))
    for path in (long, codes, names):
        found = {series.scope: series.values for series in load_event(path).replay.series}
        assert found == {IR: (5, 5, 5), Scope("AZ"): (90, 90, 90)}
    (chosen,) = load_event(long, "AZ").replay.series
    assert chosen.scope == Scope("AZ")
    with pytest.raises(ImportRefusedError, match="several places"):
        load_event(long, "KZ")


PLACES = (("IR", 5), ("AZ", 90))


def test_flat_objects_are_rows(tmp_path: Path) -> None:
    rows = [{"timestamp": at.isoformat(), "country": "IR", "index": 7} for at in HOURS]
    whole = write(tmp_path, "whole.json", rows)
    nested = write(tmp_path, "lines.jsonl", "\n".join(map(json.dumps, rows)))
    for path in (whole, nested):
        (series,) = load_event(path).replay.series
        assert (series.scope, series.source, series.values) == (IR, "index", (7, 7, 7))


def test_the_country_is_known_by_its_name_in_the_files_name(tmp_path: Path) -> None:
    table = join("time,value", [f"{at:%Y-%m-%dT%H}:00Z,5" for at in HOURS])
    names = {
        "ioda-iran-(islamic-republic-of)-26-01-01-00-00-normalized.csv": "IR",
        "radar_united_kingdom-KZ.csv": "KZ",  # a code before a name
        "traffic-nigeria.csv": "NG",
        "levels of CSV.csv": "ZZ",
        "my-2026.csv": "ZZ",
        "ir.csv": "IR",
        "ioda-congo,-democratic-republic-of-25.csv": "CD",
        "ioda-türkiye-25.csv": "TR",
        "ioda-congo-26-01-01-00-00-raw.csv": "CG",
        "ioda-congo-(the-democratic-republic-of-the)-26-01-01-00-00-raw.csv": "CD",
        "ioda-korea-(the-democratic-people's-republic-of)-26-01-01-00-00-raw.csv": "KP",
        "ioda-palestinian-territory-26-01-01-00-00-raw.csv": "PS",
        "ioda-timor-leste-26-01-01-00-00-raw.csv": "TL",
    }
    for name, country in names.items():
        (series,) = load_event(write(tmp_path, name, table)).replay.series
        assert series.scope == Scope(country)
    (series,) = load_event(write(tmp_path, "ioda-as44244-(irancell).csv", table)).replay.series
    assert series.scope == Scope("ZZ", asn=44244)


def test_what_is_expected_is_no_level(tmp_path: Path) -> None:
    rows = [f"{at:%Y-%m-%dT%H}:00Z,5,6" for at in HOURS]
    made = load_event(write(tmp_path, "IR.csv", join("datetime,HTTP,Previous period", rows)))
    assert [series.source for series in made.replay.series] == ["HTTP"]
    assert "'Previous period' is of another time" in made.complaints[0]


def test_cells_that_are_no_numbers_are_counted(tmp_path: Path) -> None:
    rows = [
        "2026-01-08T15:00Z,5",
        "2026-01-08T16:00Z,many",
        "2026-01-08T17:00Z,",
        "2026-01-08T18:00Z,6",
    ]
    made = load_event(write(tmp_path, "IR.csv", join("time,value", rows)))
    assert "1 cells of 'value' are no numbers" in made.complaints[0]


def test_radars_answer_is_a_series(tmp_path: Path) -> None:
    times = [f"{at:%Y-%m-%dT%H}:00:00Z" for at in HOURS]
    serie = {"timestamps": times, "values": ["0.9", "0.85", "0.1"]}
    shares = {"timestamps": times, "ipv4": ["60", "60", "61"], "ipv6": ["40", "40", "39"]}
    result: dict[str, object] = {"meta": {}, "serie_0": serie, "AZ": serie, "shares": shares}
    answer = {"success": True, "result": result}
    made = load_event(write(tmp_path, "radar-IR.json", answer))
    found = {(s.scope, s.source): s.values for s in made.replay.series}
    assert found == {(IR, "radar"): (0.9, 0.85, 0.1), (Scope("AZ"), "radar"): (0.9, 0.85, 0.1)}
    assert "holds shares of groups" in made.complaints[0]
    result = {"main": serie, "previous": serie}  # a week earlier
    made = load_event(write(tmp_path, "radar-IR.json", {"result": result}))
    assert [series.source for series in made.replay.series] == ["radar"]
    assert not made.complaints


def test_radars_table_of_two_countries_is_of_both(tmp_path: Path) -> None:
    times = [f"{at:%Y-%m-%dT%H}:00:00Z" for at in HOURS]
    rows = [f"{at},{n},{at},{n * 10}" for n, at in enumerate(times)]
    table = join("IR timestamps,IR values,IQ timestamps,IQ values", rows)
    made = load_event(write(tmp_path, "radar.csv", table))
    found = {series.scope.country: series.values for series in made.replay.series}
    assert found == {"IR": (0, 1, 2), "IQ": (0, 10, 20)}
    (series,) = load_event(write(tmp_path, "radar.csv", table), "IR").replay.series
    assert series.values == (0, 1, 2)


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ({"entityType": "country", "entityCode": "IR"}, IR),
        ({"entityType": "region", "entityCode": "1226", "entityName": "Fars"}, Scope("IR", "Fars")),
        ({"entityType": "geoasn", "entityCode": "44244-IR"}, Scope("IR", asn=44244)),
        ({"entityType": "asn", "entityCode": "44244"}, Scope("IR", asn=44244)),
        ({"entity_type": "asn", "entity_code": "44244"}, Scope("IR", asn=44244)),
        ({"client.Geo.CountryCode": "IR"}, IR),
    ],
)
def test_signals_may_be_rows_of_one_value(
    place: dict[str, str], expected: Scope, tmp_path: Path
) -> None:
    """What archives make of IODA's answers: a line or a row for each value."""
    rows = [
        place | {"datasource": "bgp", "ts": f"{at:%Y-%m-%dT%H}:00Z", "value": n, "step": 3600}
        for n, at in enumerate(HOURS)
    ]
    lines = write(tmp_path, "x.jsonl", "\n".join(map(json.dumps, rows)))
    table = join(",".join(rows[0]), [",".join(map(str, row.values())) for row in rows])
    for path in (lines, write(tmp_path, "x.csv", table)):
        (series,) = load_event(path, "IR").replay.series
        assert (series.scope, series.source, series.values) == (expected, "bgp", (0, 1, 2))


def signal(source: str, values: list[float], **changes: object) -> dict[str, object]:
    base = {"entityType": "country", "entityCode": "IR", "datasource": source, "values": values}
    return base | {"from": T0 // SECOND_US, "step": 3_600} | changes


def test_googles_services_are_sources_of_their_own_and_downloads_may_overlap(
    tmp_path: Path,
) -> None:
    later = (T0 + HOUR_US) // SECOND_US
    first = [signal("gtr", [1, 2], subtype="WEB_SEARCH"), signal("gtr", [7, 8], subtype="MAPS")]
    write(tmp_path, "a.json", {"requestParameters": {}, "data": [first]})
    write(
        tmp_path,
        "b.json",
        {"requestParameters": {}, "data": [[signal("gtr", [2, 3], **{"from": later})]]},
    )
    found = {s.source: s.values for s in load_event(tmp_path).replay.series}
    assert found == {"gtr": (1, 2, 3), "gtr.maps": (7, 8)}


def test_a_day_in_finer_steps_is_merged_by_its_means(tmp_path: Path) -> None:
    signal = {"entityType": "country", "entityCode": "IR", "datasource": "bgp"}
    long = {"from": 1_767_830_400, "step": 1_800, "values": [90.0] * 96}
    fine = {"from": 1_768_003_200 - 3_600, "step": 300, "values": [90.0] * 6 + [60.0, 30.0] * 6}
    write(tmp_path, "a.json", {"requestParameters": {}, "data": [[signal | long]]})
    write(tmp_path, "b.json", {"requestParameters": {}, "data": [[signal | fine]]})
    imported = load_event(tmp_path)
    (series,) = imported.replay.series
    assert series.step_us == 1_800 * SECOND_US
    assert series.values[-3:] == (90, 45, 45)
    assert len(series.values) == 97
    assert not imported.complaints


def test_iodas_error_is_told(tmp_path: Path) -> None:
    answer: dict[str, object] = {"requestParameters": {}, "data": None, "error": "Unknown entity"}
    with pytest.raises(ImportRefusedError, match="answered with an error"):
        load_event(write(tmp_path, "a.json", answer))


def row(hour: int, *, is_anomaly: bool, **changes: object) -> dict[str, object]:
    base: dict[str, object] = {
        "anomaly": is_anomaly, "confirmed": False, "failure": False, "input": None,
        "measurement_start_time": f"2026-01-18T{hour:02}:10:00Z", "probe_asn": "AS20294",
        "probe_cc": "UG", "report_id": f"report-{hour}", "test_name": "telegram", "scores": {},
    }  # fmt: skip
    return base | changes


def test_pages_of_oonis_api_are_votes_by_its_word(tmp_path: Path) -> None:
    page: dict[str, object] = {"metadata": {"count": 3}, "results": []}
    rows = [
        row(5, is_anomaly=False),
        row(6, is_anomaly=True, test_name="web_connectivity", input="https://x.com/a"),
        row(7, is_anomaly=True, failure=True),
    ]
    write(tmp_path, "1.json", page | {"results": rows})
    write(tmp_path, "2.json", page)  # the empty page after the last
    made = load_event(tmp_path)
    assert made.format == "ooni-rows"
    votes = [(o.service, o.standing, o.witness.place.asn) for o in made.replay.opinions]
    assert votes == [("telegram", VoteValue.GOOD, 20294), ("x.com", VoteValue.BLOCKED, 20294)]
    bare = write(tmp_path, "bare.jsonl", "\n".join(map(json.dumps, rows)))
    assert load_event(bare).replay.opinions == made.replay.opinions


def test_a_table_of_oonis_pipeline_has_the_same_rows(tmp_path: Path) -> None:
    header = (
        "measurement_uid,probe_cc,probe_asn,test_name,measurement_start_time,anomaly,msm_failure,"
        "domain"
    )
    rows = [
        "u1,UG,20294,signal,2026-01-18 06:00:00,t,f,",
        "u2,UG,37075,web_connectivity,2026-01-18 07:00:00,f,f,x.com",
    ]
    scores = (
        "domain,probe_asn,probe_cc,measurement_start_time,measurement_uid,dns_blocked,tcp_blocked,"
        "tls_blocked"
    )
    votes = load_event(write(tmp_path, "fastpath.csv", join(header, rows))).replay.opinions
    assert [(o.service, o.standing) for o in votes] == [
        ("signal", VoteValue.BLOCKED),
        ("x.com", VoteValue.GOOD),
    ]
    table = join(scores, ["x.com,20294,UG,2026-01-18 06:00:00,u1,0,0.75,0"])
    (vote,) = load_event(write(tmp_path, "analysis.csv", table)).replay.opinions
    assert (vote.standing, vote.layer) == (VoteValue.BLOCKED, "tcp")


def test_flags_that_a_data_frame_wrote_as_numbers_count(tmp_path: Path) -> None:
    header = "probe_cc,probe_asn,measurement_start_time,test_name,anomaly,confirmed,failure"
    rows = [f"UG,AS20294,2026-01-18 0{n}:00:00,signal,{n % 2}.0,0.0,0.0" for n in range(4)]
    votes = load_event(write(tmp_path, "rows.csv", join(header, rows))).replay.opinions
    assert [vote.standing is VoteValue.BLOCKED for vote in votes] == [False, True, False, True]


@pytest.mark.parametrize(
    ("field", "why"),
    [
        ({"loni": {"tcp_blocked": 0.9}, "count": 5}, "quantiles of many tests"),
        ({"observation_count": 5, "failure": "none"}, "counts steps of tests"),
    ],
)
def test_oonis_newer_answers_are_no_levels_of_how_many_test(
    field: dict[str, object], why: str, tmp_path: Path
) -> None:
    rows = [
        field | {"measurement_start_day": f"{at:%Y-%m-%dT%H}:00:00Z", "probe_cc": "UG"}
        for at in HOURS
    ]
    with pytest.raises(ImportRefusedError, match=why):
        load_event(write(tmp_path, "UG.json", {"results": rows}))


def test_one_run_over_many_pages_of_a_host_is_one_voter(tmp_path: Path) -> None:
    header = "input,domain,probe_asn,probe_cc,resolver_asn,measurement_start_time,anomaly"
    rows = [f"https://x.com/{n},x.com,20294,UG,20294,2026-01-18 06:00:0{n},t" for n in range(8)]
    rows.append("https://x.com/,x.com,20294,UG,39351,2026-01-18 06:00:00,t")
    votes = load_event(write(tmp_path, "rows.csv", join(header, rows))).replay.opinions
    assert len({vote.witness.prefix for vote in votes}) == 2


def test_oonis_counts_are_votes_spread_over_their_hour(tmp_path: Path) -> None:
    counts = {"anomaly_count": 2, "confirmed_count": 1, "failure_count": 5, "measurement_count": 12}
    counts |= {"ok_count": 4}
    hourly = {**counts, "measurement_start_day": "2026-01-18T06:00:00Z", "domain": "x.com"}
    answer: dict[str, object] = {"dimension_count": 2, "result": [hourly], "v": 0}
    votes = load_event(write(tmp_path, "UG.json", answer)).replay.opinions
    assert {(o.service, o.witness.place.country) for o in votes} == {("x.com", "UG")}
    assert [o.standing is VoteValue.BLOCKED for o in votes].count(True) == 3
    assert len({o.witness.nym for o in votes}) == 7
    assert {o.at_us // HOUR_US for o in votes} == {votes[0].at_us // HOUR_US}
    table = join(",".join(hourly), [",".join(map(str, hourly.values()))])
    assert load_event(write(tmp_path, "UG.csv", table)).replay.opinions == votes
    with pytest.raises(ImportRefusedError, match="axis_x=measurement_start_day"):
        load_event(write(tmp_path, "none.json", {"dimension_count": 0, "result": counts, "v": 0}))


def _make_network_signal(asn: int) -> dict[str, object]:
    return {
        "entityType": "asn", "entityCode": str(asn), "entityFqid": f"asn.{asn}",
        "datasource": "bgp", "from": T0 // SECOND_US, "step": 300, "values": [900, 901, 12],
    }  # fmt: skip


@pytest.mark.parametrize("networks", [(15706,), (15706, 36972)])
def test_networks_that_ioda_names_without_a_country_get_that_of_the_option(
    networks: tuple[int, ...], tmp_path: Path
) -> None:
    signals = [[_make_network_signal(asn) for asn in networks]]
    path = write(tmp_path, "signals.json", {"data": signals, "requestParameters": {}})
    scopes = {series.scope for series in load_event(path, "SD").replay.series}
    assert scopes == {Scope("SD", asn=asn) for asn in networks}
