"""A country loses an entrance that only it uses: the entrance is blocked, or dead."""

from collections.abc import Iterable
from dataclasses import replace
from random import Random

import msgspec
import pytest

from heliograph_collector.detect import detect_silence
from heliograph_collector.detect.silence.blocked_entrances import list_blocked
from heliograph_collector.detect.silence.control_sessions import ControlTracker
from heliograph_collector.detect.silence.detector import SilenceDetector
from heliograph_collector.detect.silence.detector_state import SilenceDetectorState
from heliograph_collector.incidents.incident import Incident, IncidentKind, IncidentState
from heliograph_collector.model.entrances import BlockedEntrance
from heliograph_collector.model.signals import (
    Fault,
    FaultReason,
    Goodbye,
    OfflineReport,
    VantageArrival,
    VantageLocation,
    VantageLoss,
    VantageRef,
    VantageSignal,
    sort_signals,
)
from support.examples import draw_seeds
from support.presence_model import OLD_US, Signals, at, country, drop, live, people, world

ONSET = 7_200.0
FIRST = "session/0"
SECOND = "session/1"
BLOCKED = IncidentKind.COLLECTOR_BLOCKED
CONTROL = VantageRef("control", "", VantageLocation("DE"), OLD_US, FIRST)


def detect(signals: Iterable[VantageSignal], until_s: float) -> list[Incident]:
    """Detect as a collector that restarts from a checkpoint a minute before the onset."""
    detector = SilenceDetector()
    is_restored = False
    for signal in sort_signals(s for s in signals if s.at_us <= at(until_s)):
        if signal.at_us >= at(ONSET - 60) and not is_restored:
            stored = msgspec.json.encode(detector.state())
            state = msgspec.json.decode(stored, type=SilenceDetectorState)
            detector = SilenceDetector.from_state(state)
            is_restored = True
        detector.on_signal(signal)
    detector.advance_to(at(until_s))
    return list(detector.findings().incidents)


def lose_first(rng: Random, share: float = 1.0) -> Signals:
    """Let a country lose the first entrance; a share of it finds the second."""
    persons = [replace(v, carrier=FIRST) for v in country(each=1)]
    signals: Signals = live(persons, rng, 4, churn=0.0)
    for person in persons:
        heard_s = ONSET - rng.uniform(0, 15)
        signals.append(VantageLoss(at(heard_s + 37.5), person.nym, at(heard_s)))
        if rng.random() >= share:
            continue
        back_s = heard_s + 37.5 + rng.uniform(5, 60)
        signals.append(VantageArrival(at(back_s), replace(person, carrier=SECOND)))
        report = OfflineReport(
            at(back_s + 2), person.nym, at(heard_s), at(back_s), alive=True, online=True,
            measured_us=at(ONSET + 20),
        )  # fmt: skip
        signals.append(report)
    return signals


def arrive(
    carrier: str = FIRST, second: float = 0.0, where: str = "DE", nym: str = "control"
) -> VantageArrival:
    place = VantageLocation(where)
    control = replace(CONTROL, nym=nym, carrier=carrier, place=place)
    return VantageArrival(at(second), control, is_control=True)


LOST = VantageLoss(at(ONSET + 30), "control", at(ONSET - 7))
MOVED = arrive(SECOND, ONSET + 18)


@pytest.mark.parametrize("renews", [False, True])
def test_control_that_stays_at_an_entrance_shows_that_it_is_blocked(renews: bool) -> None:
    """A control that stays at an entrance shows that it is blocked.

    Its session may be renewed meanwhile, and the collector may have restarted before.
    """
    for seed in draw_seeds(4):
        signals = [*lose_first(Random(seed)), arrive()]
        if renews:
            signals.append(Fault(at(3_600), at(3_605), FaultReason.RESTART))
            signals += [arrive(second=3_610), arrive(second=ONSET + 10)]
            persons = [replace(v, carrier=FIRST) for v in country(each=1)]
            signals += [VantageArrival(at(3_612), v) for v in persons]
        (told,) = detect(signals, ONSET + 300)
        assert (told.kind, told.state) == (BLOCKED, IncidentState.CONFIRMED), seed
        assert not told.held


@pytest.mark.parametrize(
    "falls",
    [
        [LOST, arrive(SECOND, ONSET + 60)],
        [MOVED],  # before its loss was noticed
        [MOVED, arrive(FIRST, ONSET + 80)],  # it was repaired: people stay by the other for hours
        [LOST],
    ],
    ids=["lost", "moved", "repaired", "gone"],
)
@pytest.mark.parametrize("share", [1.0, 0.6, 0.0])
def test_entrance_that_controls_lost_too_is_our_own_fault(
    falls: list[VantageSignal], share: float
) -> None:
    """An entrance that controls lost too is our own fault, without an incident.

    People may find another entrance or not.
    """
    (other,) = people(VantageLocation("KZ", "ALA", 1, "mobile"), 1)
    by_second = VantageArrival(at(0), replace(other, nym="other", carrier=SECOND))
    by_chance = VantageLoss(at(ONSET - 600), "other", at(ONSET - 640))
    for seed in draw_seeds(4):
        signals = [*lose_first(Random(seed), share), arrive(), *falls, by_second, by_chance]
        is_repaired = falls[-1].at_us > at(ONSET + 70)  # who has no other way would be back soon
        until_s = ONSET + (150 if is_repaired and share < 1 else 1_200)
        found = detect(signals, until_s)
        assert [i for i in found if i.confirmed_us or i.kind is BLOCKED] == [], seed


UNSEEN: dict[str, list[VantageSignal]] = {
    "nobody": [],
    "a control in the same country": [arrive(where="KZ")],
    "a control by the other entrance": [arrive(SECOND)],
    "a control that came later": [arrive(second=ONSET + 60)],
    "a control that had left": [arrive(), Goodbye(at(ONSET - 600), "control")],
    "a control that lost it long ago": [
        arrive(), VantageLoss(at(3_600), "control", at(3_560)), arrive(SECOND, 3_700)
    ],
    "people elsewhere by the other entrance": [
        VantageArrival(at(0), replace(v, carrier=SECOND)) for v in country("XA", each=1)
    ],
    "people elsewhere whom we hardly know": [
        VantageArrival(at(0), replace(v, carrier=FIRST, first_us=at(-3 * 86_400)))
        for v in people(VantageLocation("XA"), 1)
    ],
}  # fmt: skip


@pytest.mark.parametrize("case", UNSEEN)
def test_entrance_that_nobody_else_used_is_only_suspected(case: str) -> None:
    for seed in draw_seeds(4):
        (told,) = detect([*lose_first(Random(seed)), *UNSEEN[case]], ONSET + 1_200)
        assert (told.kind, told.state) == (BLOCKED, IncidentState.SUSPECTED), (case, seed)
        assert told.held == ("entrance_unseen",)
        assert told.confirmed_us is None
        assert told.confidence <= 0.5


def test_one_person_elsewhere_at_the_entrance_shows_that_it_lives() -> None:
    for seed in draw_seeds(4):
        (other,) = people(VantageLocation("XA"), 1)
        signals = [*lose_first(Random(seed)), VantageArrival(at(0), replace(other, carrier=FIRST))]
        (told,) = detect(signals, ONSET + 300)
        assert (told.kind, told.state) == (BLOCKED, IncidentState.CONFIRMED), seed


def test_cut_in_the_minute_in_which_a_control_lost_its_session_is_told_once_it_is_back() -> None:
    """A cut in the minute of a control's lost session is found once it is back.

    A fault of ours ends for all: vantages that stay away though the control is back are cut off.
    """
    for seed in draw_seeds(4):
        rng = Random(seed)
        persons = [replace(v, carrier=FIRST) for v in country(each=1)]
        signals = [*live(persons, rng, 4, churn=0.0), *drop(persons, ONSET, rng), arrive(), LOST]
        signals.append(arrive(FIRST, ONSET + 50))
        (told,) = detect(signals, ONSET + 180)
        assert (told.kind, told.state) == (IncidentKind.SILENCE, IncidentState.CONFIRMED), seed


def test_block_of_one_entrance_hides_no_cut_of_those_that_took_another() -> None:
    """A block of one entrance hides no cut of those at another.

    One of them lost the other too, so that it is no part of the block.
    """
    for seed in draw_seeds(2):
        rng = Random(seed)
        others = [replace(v, carrier=FIRST) for v in world()]
        signals = [*lose_first(rng), *live(others, rng, 4, churn=0.0), arrive()]
        persons = [replace(v, carrier=SECOND) for v in country(each=1)]
        signals += drop(persons[:1], ONSET + 600, rng)
        signals += drop(persons[1:], ONSET + 2_400, rng)
        told = detect(signals, ONSET + 2_700)
        kinds = {incident.kind for incident in told if incident.state is IncidentState.CONFIRMED}
        assert kinds == {BLOCKED, IncidentKind.SILENCE}, seed


def test_cut_that_turns_out_to_be_only_ours_is_corrected_though_nobody_else_can_look() -> None:
    """A cut that was only ours is corrected, even without another witness.

    They report it when it has been confirmed; then it is withdrawn, and is no sure block.
    """
    rng = Random(1)
    persons = [replace(v, carrier=FIRST) for v in country(each=1)]
    signals: Signals = [*live(persons, rng, 4, churn=0.0), *drop(persons, ONSET, rng)]
    for person in persons:
        back_s = ONSET + 400 + rng.uniform(0, 60)
        signals.append(VantageArrival(at(back_s), replace(person, carrier=SECOND)))
        report = OfflineReport(
            at(back_s + 2), person.nym, at(ONSET), at(back_s), alive=True, online=True
        )
        signals.append(report)
    (early,) = detect(signals, ONSET + 300)
    assert (early.kind, early.state) == (IncidentKind.SILENCE, IncidentState.CONFIRMED)
    (told,) = detect(signals, ONSET + 1_200)
    assert (told.kind, told.held) == (BLOCKED, ("entrance_unseen",))
    assert told.confidence <= 0.5


@pytest.mark.parametrize("is_back", [False, True])
def test_operators_see_an_entrance_that_a_control_left_until_one_is_back(is_back: bool) -> None:
    controls = ControlTracker()
    for signal in [arrive(), MOVED, *[arrive(nym="another", second=ONSET + 90)] * is_back]:
        assert controls.take(signal)
    listed = list_blocked([], controls, at(ONSET - 3_000))
    dead = BlockedEntrance(country="", carriers=(FIRST,), since_us=MOVED.at_us, is_open=True)
    assert listed == ([] if is_back else [dead])


def test_links_over_a_satellite_to_the_same_entrance_explain_no_cut_away() -> None:
    """Satellite links to the same entrance explain no cut away.

    Two fifths are back by it from another network, and their anchors answer there.
    """
    for seed in draw_seeds(4):
        rng = Random(seed)
        persons = [replace(v, carrier=FIRST) for v in country(each=2)]
        rng.shuffle(persons)
        signals: Signals = live(persons, rng, 4, churn=0.0) + drop(persons[14:], ONSET, rng)
        for person in persons[:14]:
            heard_s = ONSET - rng.uniform(0, 15)
            back_s = ONSET + rng.uniform(100, 140)
            dish = replace(person, place=person.place._replace(asn=14_593, access="fixed"))
            signals.append(VantageLoss(at(heard_s + 37.5), person.nym, at(heard_s)))
            signals.append(VantageArrival(at(back_s), replace(dish, prefix=f"dish {dish.nym}")))
            signals.append(
                OfflineReport(at(back_s + 2), dish.nym, at(heard_s), at(back_s), True, online=True)
            )
        (told,) = detect([*signals, arrive()], ONSET + 3_000)
        assert (told.kind, told.state) == (IncidentKind.SILENCE, IncidentState.CONFIRMED), seed
        assert told.kinds == ()


SMALL = [replace(v, carrier=FIRST) for v in country("KZ", ("ALA",), each=2)[:9]]
LARGE = [replace(v, carrier=FIRST) for v in country("XA", each=3)]
AWAY = [replace(v, carrier=SECOND) for v in country("XB", each=1)]
DAY_ONE = 30 * 3_600.0  # a day and a night are known, so that the level judges too


def lose_together(rng: Random, persons: list[VantageRef], share: float) -> Signals:
    """Let all lose the first entrance at once; a share is back by the second."""
    signals: Signals = []
    for number, person in enumerate(persons):
        heard_s = DAY_ONE + rng.uniform(0, 40)
        signals.append(VantageLoss(at(heard_s + 1), person.nym, at(heard_s), closed_us=at(heard_s)))
        if number < share * len(persons):
            back_s = heard_s + rng.uniform(20, 60)
            signals.append(VantageArrival(at(back_s), replace(person, carrier=SECOND)))
    return signals


@pytest.mark.parametrize("others", [LARGE, LARGE + AWAY], ids=["two", "three"])
def test_entrance_that_few_countries_lose_in_one_minute_is_no_cut_of_one(
    others: list[VantageRef],
) -> None:
    """An entrance that few countries lose in one minute is no cut of one.

    It is back after 40 minutes; the larger country loses less, as it has other ways.
    """
    for seed in draw_seeds(2):
        rng = Random(seed)
        signals = live(SMALL + others, rng, 32, churn=0.2)
        signals += lose_together(rng, SMALL, 0.1) + lose_together(rng, LARGE, 0.5)
        persons = SMALL[1:] + LARGE[18:]
        back = [VantageArrival(at(DAY_ONE + 2_400 + rng.uniform(0, 60)), v) for v in persons]
        told = detect_silence([*signals, *back], at(DAY_ONE + 3_600)).incidents
        assert [i for i in told if i.confirmed_us is not None] == [], seed


@pytest.mark.parametrize("fault_s", [0, 90, 1_500])
def test_cut_of_one_of_two_countries_is_told(fault_s: float) -> None:
    """Also if it began in a fault of ours, once that is over for the other country."""
    for seed in draw_seeds(2):
        rng = Random(seed)
        signals = [*live(SMALL + LARGE, rng, 31, churn=0.2), *lose_together(rng, SMALL, 0.0)]
        if fault_s:
            signals += lose_together(rng, LARGE, 0.0)
            back_s = DAY_ONE + fault_s
            signals += [VantageArrival(at(back_s + rng.uniform(0, 60)), v) for v in LARGE]
        told = detect_silence(signals, at(DAY_ONE + 3_000)).incidents
        (cut,) = [i for i in told if i.confirmed_us is not None]
        assert (cut.kind, cut.scope.country) == (IncidentKind.SILENCE, "KZ"), seed


@pytest.mark.parametrize("is_online", [False, True], ids=["cable", "entrance"])
def test_few_countries_that_fall_together_are_suspected_until_they_tell(*, is_online: bool) -> None:
    rng = Random(1)
    signals = live(SMALL + LARGE, rng, 33, churn=0.2)
    signals += lose_together(rng, SMALL, 0.0) + lose_together(rng, LARGE, 0.0)
    early = detect_silence(signals, at(DAY_ONE + 3_600)).incidents
    held = {i.scope.country for i in early if i.held == ("common_mode",)}
    assert held == {"KZ", "XA"}
    assert [i for i in early if i.confirmed_us is not None] == []
    for person in SMALL + LARGE:
        back_s = DAY_ONE + 5_400 + rng.uniform(0, 60)
        signals.append(VantageArrival(at(back_s), person))
        times = at(back_s + 2), person.nym, at(DAY_ONE + 45), at(back_s)
        signals.append(OfflineReport(*times, alive=True, online=is_online))
    told = detect_silence(signals, at(DAY_ONE + 7_200)).incidents
    states = {i.scope.country: i.state for i in told if i.id in {each.id for each in early}}
    state = IncidentState.WITHDRAWN if is_online else IncidentState.CLOSED
    assert (states["KZ"], states["XA"]) == (state, state)
