"""Files of true events, and an imported event compared with one."""

from dataclasses import replace
from pathlib import Path

import pytest

from heliograph.units import SECOND_US
from heliograph.yaml_document import YamlError
from heliograph_collector.app.commands import load_event
from heliograph_collector.model.scope import Scope
from heliograph_collector.sources.complaints import Complaints, ImportRefusedError
from heliograph_collector.sources.timestamps import parse_timestamp
from heliograph_lab.evaluate.event.report import read_truths, with_truths

FIXTURES = Path(__file__).parent / "fixtures"


def us(text: str) -> int:
    found = parse_timestamp(text)
    assert found is not None
    return found


def test_ours_are_yaml() -> None:
    blackout, block = read_truths(FIXTURES / "truths.yml", Complaints())
    assert (blackout.id, blackout.kind, blackout.scope) == ("blackout", "cut", Scope("IR"))
    assert blackout.until_us == us("2026-01-27T06:30:00Z")
    assert (block.id, block.service, block.until_us) == ("truth-2", "twitter", None)
    assert (block.label, block.scoreable) == ("one-operator", False)


def test_a_misspelt_key_and_a_table_of_anything_else_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "truths.yml"
    path.write_text("truths:\n  - {country: IR, form: 2026-01-08T16:30:00Z}\n")
    with pytest.raises(YamlError, match=r"line 2: truths entry lacks from"):
        read_truths(path, Complaints())
    table = tmp_path / "t.csv"
    table.write_text("when,where\n1,2\n")
    with pytest.raises(ImportRefusedError, match="needs the columns Begin time"):
        read_truths(table, Complaints())


def test_the_table_of_investigated_outages_has_two_ways_to_write_a_time() -> None:
    said = Complaints()
    first, second = read_truths(FIXTURES / "investigated.csv", said, {"Nowhereland": "XN"})
    assert (first.id, first.scope, first.label) == ("A0000001", Scope("XN"), "Exams")
    assert (first.since_us, first.until_us) == (us("2021-01-09 20:40"), us("2021-01-10 00:05"))
    assert second.scope == Scope("ZZ", region="North Shore")
    assert (second.since_us, second.until_us) == (us("2021-01-10 17:00"), us("2021-01-10 21:03"))
    assert (first.scoreable, second.scoreable) == (True, False)  # the second is unconfirmed
    assert "line 4: its times cannot be read" in said.list_sentences()[0]


def test_iodas_own_events_are_read_too(tmp_path: Path) -> None:
    path = tmp_path / "events.json"
    path.write_text(
        '{"type": "outages.events", "requestParameters": {}, "data": ['
        '{"location": "country/IR", "start": 1767889800, "duration": 3600, "score": 9.1},'
        '{"location": "geoasn/44244-IR", "start": 1767889800},'
        '{"location": "region/1226", "location_name": "Tehran", "start": 1767889800,'
        '"duration": 60}]}'
    )
    said = Complaints()
    country, region = read_truths(path, said)
    assert (country.scope, country.until_us) == (Scope("IR"), (1767889800 + 3600) * SECOND_US)
    assert region.scope == Scope("ZZ", region="Tehran")
    assert "event 2 lacks a start or a duration" in said.list_sentences()[0]


def test_truths_of_another_time_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "IR.csv"
    path.write_text("time,value\n2025-12-01,5\n2025-12-02,6\n")
    every = read_truths(FIXTURES / "truths.yml", Complaints())
    assert with_truths(load_event(path).replay, every).truths == ()
    nowhere = replace(load_event(path, "AS44244").replay, until_us=us("2026-01-09"))
    assert [t.id for t in with_truths(nowhere, every).truths] == ["blackout"]


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (1_767_885_600, "2026-01-08T15:20:00Z"),
        ("1767885600.0", "2026-01-08T15:20:00Z"),
        (1_767_885_600_000, "2026-01-08T15:20:00Z"),
        ("2026-01-08 15:20 UTC", "2026-01-08T15:20:00Z"),
        ("2026-01-08T18:50:00+03:30", "2026-01-08T15:20:00Z"),
        ("Thursday, January 8, 2026, 3:20:00 PM", "2026-01-08T15:20:00Z"),
        ("Thursday, January 8, 2026, 12:20:00 AM", "2026-01-08T00:20:00Z"),
        ("1/8/2026  15:20:00 PM", "2026-01-08T15:20:00Z"),
    ],
)
def test_times_as_people_write_them(said: object, meant: str) -> None:
    assert parse_timestamp(said) == us(meant)


NO_TIMES = ["", "soon", None, True, -5, "2/30/2026 10:00:00 AM", 1e30, "nan",
            "Thursday, Smarch 8, 2026, 1:00 PM"]  # fmt: skip


@pytest.mark.parametrize("said", NO_TIMES)
def test_what_is_no_time(said: object) -> None:
    assert parse_timestamp(said) is None
