"""Agents that find another entrance show a block before many are silent at once."""

from collections.abc import Iterable
from dataclasses import replace
from operator import attrgetter
from random import Random

import pytest

from heliograph_collector.detect import detect_silence
from heliograph_collector.incidents.incident import Incident, IncidentKind, IncidentState
from heliograph_collector.model.signals import (
    OfflineReport,
    VantageArrival,
    VantageLoss,
    VantageRef,
    is_other_way,
)
from support.examples import draw_seeds
from support.presence_model import Signals, at, country, drop, live, world
from support.small_nights import DAY, EVENING, HOUR, arrived, back, off

ONSET = 7_200.0


def test_a_block_of_the_entrance_that_half_use_is_told_though_few_are_silent_at_once() -> None:
    """A block of the entrance that half use is found though few are silent at once."""
    for seed in draw_seeds(4):
        rng = Random(seed)
        people = [
            replace(each, carrier=f"session/{n % 2}") for n, each in enumerate(country(each=2))
        ]
        signals = live(people + world(), rng, 4, churn=1.0)
        for vantage in people[::2]:
            heard_s = ONSET + rng.uniform(0, 240)
            signals.append(VantageLoss(at(heard_s + 15), vantage.nym, at(heard_s)))
            back_s = heard_s + rng.uniform(20, 60)
            signals.append(VantageArrival(at(back_s), replace(vantage, carrier="session/1")))
            signals.append(
                OfflineReport(
                    at(back_s + 2), vantage.nym, at(heard_s), at(back_s), alive=True, online=True,
                    carrier="session/1", measured_us=at(heard_s + 18),
                )
            )  # fmt: skip
        (told,) = detect_silence(signals, at(ONSET + 600)).incidents
        assert told.kind is IncidentKind.COLLECTOR_BLOCKED, seed
        assert told.state is IncidentState.CONFIRMED, "it goes on, though all have another way"


def _change_entrance(vantage: VantageRef, rng: Random, spread_s: float) -> Signals:
    """It loses the first, and is back by the second before a loss is noticed (37.5 s)."""
    lost_s = ONSET + rng.uniform(0, spread_s)
    back_s = lost_s + rng.uniform(12, 34)
    report = OfflineReport(
        at(back_s + rng.uniform(2, 10)),
        vantage.nym,
        at(lost_s),
        at(back_s),
        alive=True,
        online=True,
    )
    return [VantageArrival(at(back_s), replace(vantage, carrier="session/1")), report]


def _list_by_first() -> tuple[list[VantageRef], list[VantageRef]]:
    own, others = country(each=1), world()
    return [replace(v, carrier="session/0") for v in own], [
        replace(v, carrier="session/0") for v in others
    ]


def test_agents_that_return_before_their_loss_is_noticed_tell_of_a_block() -> None:
    """Agents that return before their loss is noticed report the gap, and a block."""
    for seed in draw_seeds(4):
        rng = Random(seed)
        people, others = _list_by_first()
        signals = live(people + others, rng, 4, churn=1.0)
        for vantage in people:
            signals += _change_entrance(vantage, rng, rng.choice((5.0, 120.0)))
        (told,) = detect_silence(signals, at(ONSET + 420)).incidents
        assert told.kind is IncidentKind.COLLECTOR_BLOCKED, seed
        assert told.state is IncidentState.CONFIRMED, seed


def test_entrance_that_fails_for_all_countries_is_no_block() -> None:
    """An entrance that fails for all countries is no block, but our own fault."""
    for seed in draw_seeds(4):
        rng = Random(seed)
        people, others = _list_by_first()
        signals = live(people + others, rng, 4, churn=1.0)
        for vantage in people + others:
            signals += _change_entrance(vantage, rng, 60.0)
        assert detect_silence(signals, at(ONSET + 3_600)).incidents == (), seed


def test_cut_next_door_hides_no_block_of_the_entrance() -> None:
    """In the same minute; in a fault of ours some would find the second there too."""
    for seed in draw_seeds(4):
        rng = Random(seed)
        people, others = _list_by_first()
        cut = [v for v in others if v.place.country == "XA"]
        signals = live(people + others, rng, 4, churn=1.0) + drop(cut, ONSET - 20, rng)
        for vantage in people:
            heard_s = ONSET - rng.uniform(0, 15)
            signals.append(VantageLoss(at(heard_s + 37.5), vantage.nym, at(heard_s)))
            back_s = ONSET + rng.uniform(20, 80)
            signals.append(VantageArrival(at(back_s), replace(vantage, carrier="session/1")))
        told = detect_silence(signals, at(ONSET + 300)).incidents
        confirmed = {i.scope.country: i.kind for i in told if i.confirmed_us is not None}
        assert confirmed["KZ"] is IncidentKind.COLLECTOR_BLOCKED, seed


def test_fault_of_ours_in_two_countries_is_no_block_of_either() -> None:
    """Some of both find the second."""
    for seed in draw_seeds(4):
        rng = Random(seed)
        people, others = _list_by_first()
        both = people + [v for v in others if v.place.country == "XA"]
        signals = live(people + others, rng, 4, churn=1.0)
        for vantage in both:
            heard_s = ONSET - rng.uniform(0, 15)
            signals.append(VantageLoss(at(heard_s + 37.5), vantage.nym, at(heard_s)))
            back_s = ONSET + rng.uniform(20, 150)
            carrier = rng.choice(("session/0", "session/1"))
            signals.append(VantageArrival(at(back_s), replace(vantage, carrier=carrier)))
        told = detect_silence(signals, at(ONSET + 450)).incidents
        assert [i for i in told if i.confirmed_us is not None] == [], seed


def test_agents_that_change_the_entrance_by_intent_tell_of_no_block() -> None:
    """Agents that change the entrance by plan report no block, as they have no gap."""
    rng = Random(1)
    people, others = _list_by_first()
    signals = live(people + others, rng, 4, churn=1.0)
    for vantage in people:
        arrival = replace(vantage, carrier="session/1")
        signals.append(VantageArrival(at(ONSET + rng.uniform(0, 60)), arrival))
    assert detect_silence(signals, at(ONSET + 3_600)).incidents == ()


def test_agents_that_tell_that_no_anchor_answered_tell_of_no_block() -> None:
    """Agents that report that no anchor answered show no block."""
    for seed in draw_seeds(4):
        rng = Random(seed)
        people, others = _list_by_first()
        signals = live(people + others, rng, 4, churn=1.0)
        for vantage in people:
            heard_s = ONSET - rng.uniform(0, 15)
            signals.append(VantageLoss(at(heard_s + 37.5), vantage.nym, at(heard_s)))
            back_s = ONSET + rng.uniform(5, 240)
            signals.append(VantageArrival(at(back_s), replace(vantage, carrier="session/1")))
            signals.append(
                OfflineReport(
                    at(back_s + 5), vantage.nym, at(heard_s), at(back_s), alive=True, online=False
                )
            )
        kinds = {i.kind for i in detect_silence(signals, at(ONSET + 3_600)).incidents}
        assert IncidentKind.COLLECTOR_BLOCKED not in kinds, seed


@pytest.mark.parametrize("before", ["session/0", "session"])
def test_agents_that_do_not_say_their_entrance_took_no_other(before: str) -> None:
    """Agents that do not report their entrance may have come back by the same one."""
    after = "session" if before != "session" else "session/0"
    rng = Random(1)
    people = [replace(v, carrier=before) for v in country(each=1)]
    signals = live(people + world(), rng, 4, churn=1.0)
    for vantage in people:
        heard_s = ONSET - rng.uniform(0, 15)
        signals.append(VantageLoss(at(heard_s + 37.5), vantage.nym, at(heard_s)))
        back_s = ONSET + rng.uniform(45, 60)
        signals.append(VantageArrival(at(back_s), replace(vantage, carrier=after)))
    kinds = {i.kind for i in detect_silence(signals, at(ONSET + 600)).incidents}
    assert IncidentKind.COLLECTOR_BLOCKED not in kinds
    signals = [
        replace(s, witness=replace(s.witness, carrier="session/1"))
        if isinstance(s, VantageArrival) and s.witness.carrier == after
        else s
        for s in signals
    ]
    kinds = {i.kind for i in detect_silence(signals, at(ONSET + 600)).incidents}
    assert (IncidentKind.COLLECTOR_BLOCKED in kinds) == (before == "session/0")


def test_agents_that_do_not_say_their_entrance_are_no_second_way() -> None:
    """Agents that do not report their entrance may use the blocked one."""
    rng = Random(1)
    people = [
        replace(v, carrier="session/0" if n % 2 else "session")
        for n, v in enumerate(country(each=4))
    ]
    signals = live(people + world(), rng, 4, churn=1.0) + drop(people, ONSET, rng)
    (told,) = detect_silence(signals, at(ONSET + 75)).incidents
    assert told.confidence <= 0.6
    assert "one_way" in told.hints


def test_ways_differ_by_transport_or_by_two_known_entrances() -> None:
    assert is_other_way("session/a", "session/b")
    assert is_other_way("post", "session")
    assert is_other_way("post", "session/a")
    assert is_other_way("session", "")
    assert not is_other_way("session/a", "session/a")
    assert not is_other_way("session", "session/a")
    assert not is_other_way("session/a", "session")


def test_three_of_eight_that_find_another_entrance_tell_of_a_block() -> None:
    """Three of eight that find another entrance show a block, without other reports."""
    for seed in draw_seeds(4):
        rng = Random(seed)
        people, others = _list_by_first()
        eight = rng.sample(people, 8)
        signals = live(eight + others, rng, 4, churn=0.0)
        for vantage in eight[1:]:
            heard_s = ONSET - rng.uniform(0, 15)
            signals.append(VantageLoss(at(heard_s + 37.5), vantage.nym, at(heard_s)))
        for vantage, back_s in zip(eight, (30.0, 170.0, 200.0), strict=False):
            arrival = replace(vantage, carrier="session/1")
            signals.append(VantageArrival(at(ONSET + back_s), arrival))
        (told,) = detect_silence(signals, at(ONSET + 300)).incidents
        assert told.kind is IncidentKind.COLLECTOR_BLOCKED, seed


def test_agents_that_find_another_entrance_at_night_are_no_sleepers() -> None:
    """Twelve people back by another entrance in two minutes of a night did not sleep."""
    rng = Random(5)
    people, others = _list_by_first()
    twelve = rng.sample(people, 12)
    signals = live(others, rng, 96, churn=0.1) + arrived(twelve)
    for day in range(3):
        asleep = rng.sample(twelve, 6)
        signals += off(asleep, day * DAY + EVENING, HOUR, rng)
        signals += back(asleep, day * DAY + EVENING + 7 * HOUR, HOUR, rng)
    for vantage in twelve:
        heard_s = 3 * DAY + EVENING + 3 * HOUR - rng.uniform(0, 15)
        signals.append(VantageLoss(at(heard_s + 37.5), vantage.nym, at(heard_s)))
        back_s = heard_s + rng.uniform(40, 120)
        signals.append(VantageArrival(at(back_s), replace(vantage, carrier="session/1")))
        report = OfflineReport(
            at(back_s + 5), vantage.nym, at(heard_s), at(back_s), alive=True, online=True
        )
        signals.append(report)
    (told,) = _list_since(signals, 3 * DAY + EVENING)
    assert told.kind is IncidentKind.COLLECTOR_BLOCKED


def _list_since(signals: Signals, since_s: float) -> list[Incident]:
    found = detect_silence(signals, at(since_s + 4 * HOUR)).incidents
    return [i for i in found if i.suspected_us >= at(since_s)]


def _evade(
    vantages: Iterable[VantageRef], rng: Random, first_s: float, last_s: float, *, online: bool
) -> Signals:
    """Let all lose us and come by post after the onset, with their measurements."""
    signals: Signals = []
    for vantage in vantages:
        heard_s = ONSET - rng.uniform(0, 15)
        back_s = ONSET + rng.uniform(first_s, last_s)
        told = OfflineReport(
            at(back_s + 2), vantage.nym, at(heard_s), at(back_s), alive=True, online=online,
            carrier="post", measured_us=at(heard_s + 20),
        )  # fmt: skip
        signals.append(VantageLoss(at(heard_s + 37.5), vantage.nym, at(heard_s)))
        signals += [VantageArrival(at(back_s), replace(vantage, carrier="post")), told]
    return sorted(signals, key=attrgetter("at_us"))


@pytest.mark.parametrize("seed", draw_seeds(4))
def test_few_who_find_another_way_leave_a_silence_in_doubt(seed: int) -> None:
    """A few who report answering anchors leave a silence in doubt, and name no block."""
    rng = Random(seed)
    vantages = country(each=3)
    evaders = rng.sample(vantages, len(vantages) // 5)
    lost = [vantage for vantage in vantages if vantage not in evaders]
    signals = live(vantages + world(), rng, 4, churn=0) + drop(lost, ONSET, rng)
    signals += _evade(evaders, rng, 10, 40, online=True)
    (incident,) = detect_silence(signals, at(ONSET + 3_600)).incidents
    assert (incident.state, incident.confirmed_us) == (IncidentState.SUSPECTED, None)
    assert incident.scope.is_national


@pytest.mark.parametrize(("online", "offline"), [(8, 0), (8, 2), (0, 8), (3, 5), (3, 0)])
def test_cut_that_was_confirmed_before_the_words_came_is_looked_at_again(
    online: int, offline: int
) -> None:
    """A confirmed cut is checked again if most reports say that anchors answered."""
    for seed in draw_seeds(4):
        rng = Random(seed)
        vantages = country(each=3)
        rng.shuffle(vantages)
        lost = vantages[online + offline :]
        signals = live(vantages + world(), rng, 4, churn=0) + drop(lost, ONSET, rng)
        signals += _evade(vantages[:online], rng, 130, 600, online=True)
        signals += _evade(vantages[online : online + offline], rng, 130, 600, online=False)
        (before,) = detect_silence(signals, at(ONSET + 120)).incidents
        assert before.state is IncidentState.CONFIRMED
        (after,) = detect_silence(signals, at(ONSET + 3_600)).incidents
        is_doubted = online == 8
        state = IncidentState.SUSPECTED if is_doubted else IncidentState.CONFIRMED
        assert (after.state, after.kind) == (state, IncidentKind.SILENCE), seed
        assert (after.confirmed_us is None, after.held) == (
            is_doubted,
            ("carrier",) if is_doubted else (),
        )


@pytest.mark.parametrize("is_lie", [True, False])
def test_cut_in_doubt_is_decided_by_what_all_others_tell_at_its_end(is_lie: bool) -> None:
    """A cut in doubt becomes a cut or a block of us by all reports at its end."""
    for seed in draw_seeds(4):
        rng = Random(seed)
        vantages = country(each=3)
        rng.shuffle(vantages)
        end_s = ONSET + 7_200
        signals = live(vantages + world(), rng, 6, churn=0) + drop(vantages[8:], ONSET, rng, end_s)
        signals += _evade(vantages[:8], rng, 130, 600, online=True)
        for vantage in vantages[8:]:
            back_s = end_s + 65
            signals.append(
                OfflineReport(
                    at(back_s), vantage.nym, at(ONSET), at(back_s), alive=True, online=not is_lie
                )
            )
        (told,) = detect_silence(signals, at(end_s + 3_600)).incidents
        kind = IncidentKind.SILENCE if is_lie else IncidentKind.COLLECTOR_BLOCKED
        assert (told.kind, told.state) == (kind, IncidentState.CLOSED), seed
        assert told.confirmed_us is not None


def test_entrance_that_is_blocked_in_two_countries_at_once_is_told_in_both() -> None:
    """An entrance blocked in two countries at once is reported in both."""
    for seed in draw_seeds(4):
        rng = Random(seed)
        people = country(each=2)
        others = world(each=2)
        both = people + [v for v in others if v.place.country == "XA"]
        signals = live(people + others, rng, 4, churn=1.0)
        stuck = set(rng.sample(both, len(both) // 6))
        signals += drop(stuck, ONSET, rng)
        signals += _evade([v for v in both if v not in stuck], rng, 30, 200, online=True)
        told = detect_silence(signals, at(ONSET + 340)).incidents
        confirmed = {i.scope.country: i.kind for i in told if i.confirmed_us is not None}
        assert confirmed == dict.fromkeys(("KZ", "XA"), IncidentKind.COLLECTOR_BLOCKED), seed


@pytest.mark.parametrize("over_s", [300.0, 900.0])
def test_block_that_reaches_box_after_box_is_one(over_s: float) -> None:
    """Each line loses the first entrance at its own moment, and finds the second."""
    for seed in draw_seeds(4):
        rng = Random(seed)
        people, others = _list_by_first()
        signals = live(people + others, rng, 4, churn=1.0)
        for vantage in rng.sample(people, round(0.8 * len(people))):
            lost_s = ONSET + rng.uniform(0, over_s)
            back_s = lost_s + 37.5 + rng.uniform(5, 60)
            signals.append(VantageLoss(at(lost_s + 37.5), vantage.nym, at(lost_s)))
            signals.append(VantageArrival(at(back_s), replace(vantage, carrier="session/1")))
            signals.append(
                OfflineReport(
                    at(back_s + 2), vantage.nym, at(lost_s), at(back_s), alive=True, online=True,
                    carrier="session/1", measured_us=at(lost_s + 20),
                )
            )  # fmt: skip
        told = detect_silence(signals, at(ONSET + 1_800)).incidents
        blocks = [i for i in told if i.confirmed_us is not None]
        assert [i.kind for i in blocks] == [IncidentKind.COLLECTOR_BLOCKED], seed


def test_sessions_that_are_reset_again_and_again_are_one_block() -> None:
    """Sessions that are reset again and again are one block.

    Each lives for a minute; three of five report by post in between that anchors answered.
    """
    rng = Random(8)
    people, others = _list_by_first()
    signals = live(people + others, rng, 4, churn=1.0)
    for vantage in people:
        lost_s = ONSET + rng.uniform(0, 20)
        while lost_s < ONSET + 2_400:
            back_s = lost_s + rng.uniform(45, 400)
            lost = at(lost_s), vantage.nym, at(lost_s - 5)
            signals.append(VantageLoss(*lost, closed_us=at(lost_s)))
            signals.append(VantageArrival(at(back_s), vantage))
            if rng.random() < 0.6:
                told_s = lost_s + rng.uniform(30, 44)
                signals.append(
                    OfflineReport(
                        at(told_s), vantage.nym, at(lost_s - 5), at(told_s), alive=True,
                        online=True, carrier="post", measured_us=at(lost_s + 20),
                    )
                )  # fmt: skip
            lost_s = back_s + rng.uniform(15, 90)
    told = detect_silence(signals, at(ONSET + 3_600)).incidents
    blocks = [i for i in told if i.confirmed_us is not None]
    assert [(i.kind, i.label) for i in blocks] == [(IncidentKind.COLLECTOR_BLOCKED, "national")]
