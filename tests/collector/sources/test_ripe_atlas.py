"""RIPE Atlas's connection events as presence: arrivals, departures, incidents."""

import json
from pathlib import Path
from shutil import copy

import pytest

from heliograph.units import SECOND_US
from heliograph_collector.app.commands import load_event
from heliograph_collector.detect import detect_silence
from heliograph_collector.model.scope import Scope
from heliograph_collector.model.signals import VantageArrival, VantageLocation, VantageLoss
from heliograph_collector.sources.complaints import ImportRefusedError
from heliograph_collector.sources.replay import Replay
from heliograph_lab.evaluate.baselines.disco import disco

FIXTURES = Path(__file__).parents[2] / "heliograph_lab/evaluate/event/fixtures"
CUT_S = 1_641_381_300  # 5 January 2022, 11:15


@pytest.fixture
def both(tmp_path: Path) -> Path:
    for name in ("atlas-connections.jsonl", "atlas-probes.json"):
        copy(FIXTURES / name, tmp_path / name)
    return tmp_path


def course(replay: Replay, nym: str) -> list[tuple[str, int]]:
    found = []
    for signal in replay.signals:
        if isinstance(signal, VantageArrival) and signal.witness.nym == nym:
            found.append(("came", signal.at_us // SECOND_US))
        elif isinstance(signal, VantageLoss) and signal.nym == nym:
            found.append(("lost", signal.at_us // SECOND_US))
    return found


@pytest.mark.parametrize(
    ("nym", "told"),
    [
        # By another controller it comes again; the old session's end is no loss.
        ("atlas-1001", [("came", 1_641_380_000), ("came", 1_641_381_300), ("lost", 1_641_381_320)]),
        # Who is first heard of by its end was there before; the last is in the frame of a stream.
        ("atlas-1002", [("came", 1_641_379_999), ("lost", 1_641_381_310), ("came", 1_641_399_000)]),
        ("atlas-1004", [("came", 1_641_379_999)]),  # without an event: from the list
    ],
)
def test_sessions_come_and_end_once(both: Path, nym: str, told: list[tuple[str, int]]) -> None:
    assert course(load_event(both).replay, nym) == told


def test_places_come_from_the_list_of_probes_and_networks_are_not_told(both: Path) -> None:
    made = load_event(both)
    places = {w.nym: w.place for w in made.replay.vantages}
    assert places == {
        "atlas-1001": VantageLocation("KZ", "", 9198, "fixed"),
        "atlas-1002": VantageLocation("KZ", "", 9198, "hosting"),
        "atlas-1004": VantageLocation("DE", "", 64500, "mobile"),
    }
    prefixes = {w.nym: w.prefix for w in made.replay.vantages}
    assert prefixes["atlas-1001"] == prefixes["atlas-1002"] != prefixes["atlas-1004"]
    assert "198.51.100" not in repr(made.replay.signals)


def test_each_broken_line_gets_its_sentence(both: Path) -> None:
    said = load_event(both).complaints
    assert len(said) == 2
    assert "jsonl, line 6: an event lacks a proper prb_id" in said[0]
    assert "jsonl, line 7: this is not JSON" in said[1]


def test_without_a_list_of_probes_it_says_what_that_costs() -> None:
    made = load_event(FIXTURES / "atlas-connections.jsonl")
    assert {w.place.country for w in made.replay.vantages} == {"ZZ"}
    assert "there is no list of probes beside it" in made.complaints[-1]
    named = load_event(FIXTURES / "atlas-connections.jsonl", "KZ")
    assert {w.place.country for w in named.replay.vantages} == {"KZ"}


def test_a_list_of_probes_alone_is_no_event() -> None:
    with pytest.raises(ImportRefusedError, match="holds no connection events"):
        load_event(FIXTURES / "atlas-probes.json")


def event(probe: int, at_s: int, what: str, controller: str = "ctr-ams01") -> dict[str, object]:
    return {
        "msm_id": 7000,
        "type": "connection",
        "prb_id": probe,
        "timestamp": at_s,
        "event": what,
        "controller": controller,
        "asn": 9198 if probe % 2 else 21299,
        "prefix": f"10.{probe}.0.0/16",
    }


def made_up(folder: Path, gone: range, controllers: dict[int, str]) -> Path:
    """Write events of 24 probes of KZ and 30 of others; `gone` leave at the cut.

    They leave a second apart.
    """
    probes: list[dict[str, object]] = [
        {
            "id": n,
            "country_code": "KZ" if n <= 24 else ("DE", "FR", "PL", "SE")[n % 4],
            "asn_v4": 9198 if n % 2 else 21299,
            "first_connected": 1_500_000_000,
            "status": {"id": 1},
            "status_since": 1_600_000_000,
            "tags": [],
        }
        for n in range(1, 55)
    ]
    (folder / "probes.json").write_text(json.dumps({"results": probes}))
    day_before = CUT_S - 86_400
    lines = [
        event(n, day_before + 60 * n, "connect", controllers.get(n, "ctr-a")) for n in range(1, 55)
    ]
    lines += [event(n, CUT_S + n, "disconnect", controllers.get(n, "ctr-a")) for n in gone]
    lines += [event(n, CUT_S + 20_000 + n, "connect") for n in gone]
    lines += [event(54, CUT_S + 30_000, "disconnect", "ctr-a")]
    (folder / "events.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return folder


def test_a_cut_of_probes_is_found_by_our_channel_and_by_discos(tmp_path: Path) -> None:
    made = load_event(made_up(tmp_path, range(1, 24), {})).replay
    (found,) = [i for i in detect_silence(made.signals, made.until_us).incidents if i.confirmed_us]
    assert (found.scope, found.label) == (Scope("KZ"), "national")
    assert found.started.earliest_us <= (CUT_S + 12) * SECOND_US <= found.started.latest_us
    assert found.ended is not None
    assert Scope("KZ") in {alarm.scope for alarm in disco(made)}


def test_a_controllers_hiccup_is_no_cut(tmp_path: Path) -> None:
    """A controller's hiccup is no cut: its probes leave in every country."""
    by = {n: "ctr-b" for n in range(1, 55) if n % 3 == 0}
    folder = made_up(tmp_path, range(1, 1), by)
    with (folder / "events.jsonl").open("a") as file:
        for n in by:
            file.write("\n" + json.dumps(event(n, CUT_S + n, "disconnect", "ctr-b")))
    made = load_event(folder).replay
    assert not [i for i in detect_silence(made.signals, made.until_us).incidents if i.confirmed_us]


def test_results_as_one_list_are_read_but_for_events_of_another_year(tmp_path: Path) -> None:
    rows = [event(1, CUT_S, "connect"), event(1, CUT_S + 60, "disconnect"), event(2, 9, "connect")]
    path = tmp_path / "results.json"
    path.write_text(json.dumps(rows, indent=1))
    made = load_event(path, "KZ")
    assert len(made.replay.signals) == 2
    assert [w.nym for w in made.replay.vantages] == ["atlas-1"]
    assert "1 events lie over 200 days from the others" in made.complaints[-1]
