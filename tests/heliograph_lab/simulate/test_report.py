"""What a play is said to have come to."""

from dataclasses import replace

import pytest

from heliograph_lab.simulate.costs import Cost
from heliograph_lab.simulate.counters import Tally, added
from heliograph_lab.simulate.report import Account, Delay, Marks, costs, delays, false_alarms
from heliograph_lab.simulate.script import Cut
from heliograph_lab.simulate.subscriber import Seen, Watch, _lasts

CUT = Cut(60.0, "KZ", "national")
ACCOUNT = Account(
    name="s", agents=2, connected=2, processes=1, shared=False, tally=Tally(), published=True,
    delays=[Delay("KZ", "national", 60.0, 40.0, 55.0)], false=[],
)  # fmt: skip


def seen(
    country: str, first_s: float, confirmed_s: float | None, kind: str = "network_silence"
) -> Seen:
    return Seen("i1", kind, {"country": country}, first_s, "confirmed", confirmed_s)


def test_costs_are_by_session_and_by_heartbeat() -> None:
    marks = Marks(
        empty=Cost(0, 1.0, 100_000),
        enrolled=Cost(10, 2.0, 101_000),
        connected=Cost(20, 4.0, 120_000),
        calm=Cost(50, 10.0, 125_600),
        beats=20_000,
        agents_cpu=0.5,
    )
    found = costs(marks, 200)
    assert found["rss_kib_per_session"] == pytest.approx(128.0)
    assert (found["enrol_cpu_ms"], found["connect_cpu_ms"]) == (5.0, 10.0)
    assert found["calm_core_share"] == pytest.approx(0.2)
    assert found["calm_cpu_us_per_heartbeat"] == pytest.approx(300.0)
    assert costs(Marks(), 200) == {}, "of somebody else's collector nothing is known"


def test_delays_are_from_the_onset_to_the_row_of_that_country() -> None:
    rows = [seen("DE", 1_065, 1_070), seen("KZ", 1_101, 1_118)]
    assert delays([CUT], rows, 1_000.0) == [Delay("KZ", "national", 60.0, 41.0, 58.0)]
    other = [seen("KZ", 1_101, 1_118, kind="service_blocking")]
    assert delays([CUT], other, 1_000.0) == [Delay("KZ", "national", 60.0, None, None)]


def test_a_confirmed_silence_elsewhere_is_false_and_a_suspected_one_is_not() -> None:
    rows = [seen("DE", 1, 2), seen("FR", 1, None), seen("KZ", 1, 2)]
    assert [row.scope["country"] for row in false_alarms([CUT], rows)] == ["DE"]


def test_a_play_is_sound_only_if_all_came_in_and_all_was_told_and_nothing_else() -> None:
    assert ACCOUNT.sound
    assert not replace(ACCOUNT, connected=1).sound
    assert not replace(ACCOUNT, false=[seen("DE", 1, 2)]).sound
    untold = [Delay("KZ", "national", 60.0, 40.0, None)]
    assert not replace(ACCOUNT, delays=untold).sound
    assert replace(ACCOUNT, delays=untold, published=False).sound, "nobody looked"


def test_tallies_of_all_processes_are_added() -> None:
    one = Tally(enrolled=2, sessions=1, receipts={"stored": 3}, done=True)
    two = Tally(enrolled=1, receipts={"stored": 1, "retry": 1}, troubles={"x": 1})
    assert added([one, two]) == Tally(
        enrolled=3, sessions=1, receipts={"stored": 4, "retry": 1}, troubles={"x": 1}
    )
    assert added([one]).done


def test_blind_is_what_is_everywhere_and_our_own_and_not_over() -> None:
    gap = {"from": "2026-01-01T00:00:00Z", "until": None, "because": "restart", "country": ""}
    now = "2026-01-01T00:01:00Z"
    assert _lasts(gap, now)
    assert _lasts(gap | {"until": "2026-01-01T00:03:00Z"}, now)
    assert not _lasts(gap | {"until": "2026-01-01T00:00:30Z"}, now)
    assert not _lasts(gap | {"country": "KZ"}, now)
    assert not _lasts(gap | {"because": "nobody_measured"}, now)


def test_the_watch_notes_when_a_row_changes() -> None:
    now = [10.0]
    watch = Watch("", lambda: now[0])
    row = {"id": "i1", "kind": "network_silence", "scope": {"country": "KZ"}, "state": "suspected"}
    watch.saw(row)
    now[0] = 20.0
    watch.saw(row | {"state": "confirmed"})
    now[0] = 30.0
    watch.saw(row | {"state": "confirmed"})
    watch.saw(row | {"state": "closed"})
    (found,) = watch.incidents.values()
    assert (found.first_s, found.confirmed_s, found.closed_s) == (10.0, 20.0, 30.0)
