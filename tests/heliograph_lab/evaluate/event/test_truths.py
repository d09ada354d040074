"""Files that say what happened, and an imported event held against one."""

from dataclasses import replace
from pathlib import Path

import pytest

from heliograph_collector.incidents.scope import Scope
from heliograph_collector.model.signals import SECOND_US
from heliograph_collector.sources.timestamps import moment
from heliograph_lab.evaluate.document import ScenarioError
from heliograph_lab.evaluate.event import Complaints, ImportRefusedError, held, level, load, truths

FIXTURES = Path(__file__).parent / "fixtures"


def us(text: str) -> int:
    found = moment(text)
    assert found is not None
    return found


def test_ours_are_yaml() -> None:
    blackout, block = truths(FIXTURES / "truths.yml", Complaints())
    assert (blackout.id, blackout.kind, blackout.scope) == ("blackout", "cut", Scope("IR"))
    assert blackout.until_us == us("2026-01-27T06:30:00Z")
    assert (block.id, block.service, block.until_us) == ("truth-2", "twitter", None)
    assert (block.label, block.scoreable) == ("one-operator", False)


def test_a_misspelt_key_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "truths.yml"
    path.write_text("truths:\n  - {country: IR, form: 2026-01-08T16:30:00Z}\n")
    with pytest.raises(ScenarioError, match=r"line 2: truths entry lacks from"):
        truths(path, Complaints())


def test_the_table_of_investigated_outages_has_two_ways_to_write_a_time() -> None:
    said = Complaints()
    first, second = truths(FIXTURES / "investigated.csv", said, {"Nowhereland": "XN"})
    assert (first.id, first.scope, first.label) == ("A0000001", Scope("XN"), "Exams")
    assert (first.since_us, first.until_us) == (us("2021-01-09 20:40"), us("2021-01-10 00:05"))
    assert second.scope == Scope("ZZ", region="North Shore")
    assert (second.since_us, second.until_us) == (us("2021-01-10 17:00"), us("2021-01-10 21:03"))
    assert (first.scoreable, second.scoreable) == (True, False)  # the second is unconfirmed
    assert "line 4: its times cannot be read" in said.all()[0]


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
    country, region = truths(path, said)
    assert (country.scope, country.until_us) == (Scope("IR"), (1767889800 + 3600) * SECOND_US)
    assert region.scope == Scope("ZZ", region="Tehran")
    assert "event 2 lacks a start or a duration" in said.all()[0]


def test_a_table_of_anything_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("when,where\n1,2\n")
    with pytest.raises(ImportRefusedError, match="needs the columns Begin time"):
        truths(path, Complaints())


def test_an_imported_event_is_held_against_its_truth(tmp_path: Path) -> None:
    """A fall from 16:30 in the series, the truth beside it: found in its bracket."""
    day = 1_767_744_000  # 7 January
    rows = [f"{day + 600 * i},{100 if day + 600 * i < 1_767_889_800 else 3}" for i in range(300)]
    path = tmp_path / "ioda-IR.csv"
    path.write_text("time,Active Probing\n" + "\n".join(rows))
    made = held(load(path).replay, truths(FIXTURES / "truths.yml", Complaints()))
    (truth,) = made.truths  # Uganda's is not of this country
    (alarm,) = level(made)
    assert alarm.scope == truth.scope
    assert alarm.started is not None
    assert alarm.started[0] <= truth.since_us <= alarm.started[1]


def test_truths_of_another_time_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "IR.csv"
    path.write_text("time,value\n2025-12-01,5\n2025-12-02,6\n")
    every = truths(FIXTURES / "truths.yml", Complaints())
    assert held(load(path).replay, every).truths == ()
    nowhere = replace(load(path, "AS44244").replay, until_us=us("2026-01-09"))
    assert [t.id for t in held(nowhere, every).truths] == ["blackout"]


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
    assert moment(said) == us(meant)


@pytest.mark.parametrize(
    "said",
    [
        "",
        "soon",
        None,
        True,
        -5,
        "2/30/2026 10:00:00 AM",
        "Thursday, Smarch 8, 2026, 1:00 PM",
        1e30,
        "nan",
    ],
)
def test_what_is_no_time(said: object) -> None:
    assert moment(said) is None
