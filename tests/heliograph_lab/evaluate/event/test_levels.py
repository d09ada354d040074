"""IODA's answers and tables of levels, as published and as people keep them."""

import gzip
import json
from pathlib import Path

import pytest

from heliograph.units import SECOND_US
from heliograph_collector.app.commands import load_event
from heliograph_collector.model.scope import Scope
from heliograph_collector.sources.complaints import ImportRefusedError

FIXTURES = Path(__file__).parent / "fixtures"
T0 = 1_767_885_600 * SECOND_US  # 8 January 2026, 15:20


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_iodas_signals_are_series_of_their_entities() -> None:
    made = load_event(FIXTURES / "ioda-signals.json")
    assert made.format == "ioda"
    found = {(s.scope, s.source): s for s in made.replay.series}
    assert list(found) == [
        (Scope("IR"), "bgp"),
        (Scope("IR"), "ping-slash24"),
        (Scope("IR", region="Tehran"), "merit-nt"),
        (Scope("IR", asn=44244), "bgp"),
        (Scope("ZZ", asn=197207), "bgp"),
    ]
    bgp = found[Scope("IR"), "bgp"]
    assert (bgp.since_us, bgp.step_us) == (T0, 300 * SECOND_US)
    assert bgp.values == (9961, 9961, None, 9960, 9960, 9959)
    assert found[Scope("ZZ", asn=197207), "bgp"].values == (20, None)  # less than nothing
    assert (made.replay.since_us, made.replay.until_us) == (T0, T0 + 1_800 * SECOND_US)
    assert made.replay.truths == ()
    assert made.replay.vantages == ()  # levels have no vantages
    assert not made.complaints  # every answer has such signals
    (note,) = made.notes
    assert note.endswith("the signal 'ping-slash24-loss' holds lists, no levels; it is left out.")


def test_signals_are_read_packed_bare_and_a_line_each(tmp_path: Path) -> None:
    whole = json.loads((FIXTURES / "ioda-signals.json").read_text())
    signals = [s for group in whole["data"] for s in group]
    packed = tmp_path / "packed.json.gz"
    packed.write_bytes(gzip.compress(json.dumps(whole).encode()))
    lines = write(tmp_path, "lines.jsonl", "\n".join(json.dumps(s) for s in signals))
    bare = write(tmp_path, "bare.json", json.dumps(signals))
    for path in (packed, lines, bare):
        made = load_event(path)
        assert (made.format, len(made.replay.series)) == ("ioda", 5)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"step": 0}, "lacks a proper from or step"),
        ({"from": "soon"}, "lacks a proper from or step"),
        ({"values": None}, "lacks its datasource or its values"),
        ({"datasource": ""}, "lacks its datasource or its values"),
        ({"values": [None, None]}, "has no value that is known"),
    ],
)
def test_a_broken_signal_does_not_stop_the_others(
    tmp_path: Path, change: dict[str, object], why: str
) -> None:
    whole = json.loads((FIXTURES / "ioda-signals.json").read_text())
    whole["data"][0][0] |= change
    made = load_event(write(tmp_path, "broken.json", json.dumps(whole)))
    assert len(made.replay.series) == 4
    assert why in (*made.complaints, *made.notes)[0]


def test_the_dashboards_export_has_a_column_for_each_source() -> None:
    made = load_event(FIXTURES / "ioda-export-IR.csv")
    assert made.format == "csv"
    found = {s.source: s for s in made.replay.series}
    assert list(found) == ["gtr", "merit-nt", "bgp", "ping-slash24", "mozilla"]
    probing = found["ping-slash24"]
    assert probing.scope == Scope("IR")  # by the file's name
    assert probing.step_us == 1_800 * SECOND_US
    assert probing.values == (98.1, 98.0, 70.2, None, 12.4)  # 17:00 is not there
    assert (found["mozilla"].step_us, found["mozilla"].values) == (
        3_600 * SECOND_US,
        (60, 57.5, 20),
    )
    (said,) = made.complaints
    assert "line 6: its time cannot be read" in said


@pytest.mark.parametrize(
    "text",
    [
        "time,value\n1767885600,5\n1767886200,6\n1767886800,0\n",
        "1767885600,5\n1767886200,6\n1767886800,0\n",
        "timestamp;value\n1767885600000;5\n1767886200000;6\n1767886800000;0\n",
        "\ufeffDate\tvalue\n2026-01-08T15:20Z\t5\n2026-01-08 15:30\t6\n2026-01-08T15:40\t0\n",
        "time,datasource,value\n1767885600,value,5\n1767886200,value,6\n1767886800,value,0\n",
        "time,value\n1767886800,0%\n1767885600,5%\n\n1767886200,6\n",  # in any order
    ],
)
def test_a_table_of_time_and_value_however_it_was_kept(tmp_path: Path, text: str) -> None:
    (series,) = load_event(write(tmp_path, "levels.csv", text), "kz/AS9198").replay.series
    assert (series.scope, series.source) == (Scope("KZ", asn=9198), "value")
    assert (series.since_us, series.step_us) == (T0, 600 * SECOND_US)
    assert series.values == (5, 6, 0)


def test_a_file_that_does_not_tell_its_country_says_so(tmp_path: Path) -> None:
    made = load_event(write(tmp_path, "levels.csv", "time,value\n1767885600,5\n1767886200,6\n"))
    assert made.replay.series[0].scope == Scope("ZZ")
    assert "does not tell of which country" in made.complaints[0]


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("a.csv", "who,what\nme,you\n", "has no column of times"),
        ("a.csv", "time,value\n1767885600,5\n", "fewer than two times"),
        ("a.csv", "time,value\n1767000000,5\n1767000001,6\n1767886200,7\n", "more than 200000"),
        ("a.json", '{"hello": "world"}', "is of no format that is known"),
        ("a.json", '{"datasource": "bgp", "values": [1]}', "holds no series of numbers"),
        ("a.json", "", "is empty"),
        ("a.json", "[[[[[[[[[[", "is broken, or breaks off"),
    ],
)
def test_what_cannot_be_used_is_refused_with_a_sentence(
    tmp_path: Path, name: str, text: str, why: str
) -> None:
    with pytest.raises(ImportRefusedError) as refused:
        load_event(write(tmp_path, name, text))
    assert why in str(refused.value)
    assert str(refused.value).endswith(".")
    assert name in str(refused.value)


def test_paths_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    def refused(path: Path, why: str, entity: str = "") -> None:
        with pytest.raises(ImportRefusedError, match=why):
            load_event(path, entity)

    refused(tmp_path / "nowhere", "is not there")
    refused(tmp_path, "holds no file")
    table = write(tmp_path, "IR.csv", "time,value\n1767885600,5\n1767886200,6\n")
    refused(table, "write IR, IR/Tehran", "Persepolis")
    write(tmp_path, "b.json", (FIXTURES / "ioda-signals.json").read_text())
    refused(tmp_path, "several formats")
    broken = tmp_path / "a.csv.gz"
    broken.write_bytes(gzip.compress(b"time,value\n" * 999)[:40])
    refused(broken, "cannot be read")


def test_a_document_beyond_measure_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heliograph_collector.sources.json_objects.MAX_DOCUMENT_BYTES", 100)
    with pytest.raises(ImportRefusedError, match="ask for a shorter time"):
        load_event(FIXTURES / "ioda-signals.json")


def test_a_time_twice_counts_once(tmp_path: Path) -> None:
    text = "time,value\n1767885600,5\n1767886200,6\n1767886200,7\n"
    made = load_event(write(tmp_path, "IR.csv", text))
    assert made.replay.series[0].values == (5, 7)
    assert "line 4: its time was there before" in made.complaints[0]


def test_a_thousand_broken_lines_are_not_a_thousand_sentences(tmp_path: Path) -> None:
    text = "time,value\n1767885600,5\n1767886200,6\n" + "never,1\n" * 1_000
    made = load_event(write(tmp_path, "IR.csv", text))
    assert len(made.complaints) == 21
    assert made.complaints[-1] == "980 more of the kind are not told one by one."


def test_one_clock_that_was_years_off_does_not_make_decades_of_a_day(tmp_path: Path) -> None:
    text = "time,value\n86400,1\n1767885600,5\n1767886200,6\n1767886800,7\n"
    made = load_event(write(tmp_path, "IR.csv", text))
    assert made.replay.series[0].values == (5, 6, 7)
    assert "1 times lie over 200 days from the others" in made.complaints[0]
