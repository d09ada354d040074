"""Slow returns from a start of ours are unknown; a cell without returns is cut."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

import pytest

from heliograph_collector.detect import SilenceDetector, detect_silence
from heliograph_collector.detect.silence.detector import Findings
from heliograph_collector.incidents.incident import IncidentKind
from heliograph_collector.model.signals import (
    Fault,
    FaultReason,
    OfflineReport,
    VantageArrival,
    VantageLoss,
    VantageRef,
    sort_signals,
)
from heliograph_lab.evaluate.population import FIXED
from support.presence_model import KZ, Signals, at, confirmed, country, live, world

DOWN, UP = 7_200.0, 7_380.0  # between them the collector is away
PEOPLE = country() + world()
Back = Callable[[VantageRef, Random], float | None]  # seconds until one is back; None: it is cut


def fast(_: VantageRef, rng: Random) -> float:
    return rng.uniform(0, 60)


def slow(_: VantageRef, rng: Random) -> float:
    return rng.uniform(0, 3_000)


def cut(_: VantageRef, __: Random) -> None:
    return None


def restart(
    back: Back, rng: Random, people: Sequence[VantageRef] = PEOPLE, up_s: float = UP
) -> Signals:
    """Restart the collector; Kazakhstan returns by `back`, others within a minute."""
    signals = [s for s in live(people, Random(5), 2, churn=0) if s.at_us < at(DOWN)]
    signals.append(Fault(at(DOWN), at(up_s), FaultReason.RESTART))
    for vantage in people:
        after_s = back(vantage, rng) if KZ(vantage) else fast(vantage, rng)
        if after_s is not None:
            signals.append(VantageArrival(at(up_s + after_s), vantage))
    return signals


def play(signals: Signals) -> Findings:
    return detect_silence(signals, at(UP + 4_000))


@pytest.mark.parametrize("seed", [0, 2, 3, 4])
def test_a_country_that_redials_over_fifty_minutes_is_unknown(seed: int) -> None:
    findings = play(restart(slow, Random(seed)))
    assert confirmed(findings.incidents) == []
    (gap,) = [gap for gap in findings.coverage_gaps if gap.country == "KZ"]
    assert gap.why == "restart"
    assert at(UP + 1_800) < gap.until_us <= at(UP + 3_030)


@pytest.mark.parametrize(("back", "most_s"), [(cut, 300), (None, 600)])
def test_a_cut_during_the_restart_is_told(back: Back | None, most_s: float) -> None:
    """A cut during the restart is found.

    None is back, or only those whose networks are exempt.
    """
    rng = Random(1)
    exempt = set(rng.sample([v for v in PEOPLE if KZ(v)], 3))
    spare: Back = back or (lambda v, r: fast(v, r) if v in exempt else None)
    (incident,) = confirmed(play(restart(spare, rng)).incidents)
    assert incident.scope.is_national
    assert (incident.confirmed_us or 0) <= at(UP + most_s)
    assert incident.started.earliest_us <= at(DOWN) < at(UP) <= incident.started.latest_us


@pytest.mark.parametrize(
    ("down_s", "measured_s", "kind"),
    [
        (7_200, 20, IncidentKind.SILENCE),  # up to version 194 a block of ours
        (7_200, 7_300, IncidentKind.COLLECTOR_BLOCKED),
        (180, 20, IncidentKind.COLLECTOR_BLOCKED),  # it may have begun with the restart
    ],
)
def test_a_link_that_worked_as_we_went_down_says_nothing_of_a_later_cut(
    down_s: float, measured_s: float, kind: IncidentKind
) -> None:
    rng = Random(1)
    up_s = DOWN + down_s
    over_s = up_s + 10_000
    signals = restart(cut, rng, up_s=up_s)
    for vantage in filter(KZ, PEOPLE):
        back_s = over_s + rng.uniform(0, 60)
        told = at(DOWN - rng.uniform(0, 15)), at(back_s)
        signals.append(VantageArrival(at(back_s), vantage))
        report = OfflineReport(at(back_s + 5), vantage.nym, *told, alive=True, online=True)
        signals.append(replace(report, measured_us=at(DOWN + measured_s)))
    (incident,) = confirmed(detect_silence(signals, at(over_s + 2_000)).incidents)
    assert incident.kind is kind


def _restart_operator(back: Back, seed: int) -> Findings:
    """Restart the collector; nine lines of one operator return by `back`."""

    def spare(vantage: VantageRef, rng: Random) -> float | None:
        return (back if vantage.place.asn == FIXED[0] else fast)(vantage, rng)

    return play(restart(spare, Random(seed), country(each=3) + world()))


@pytest.mark.parametrize("seed", [1, 2])
def test_an_operator_that_redials_over_fifty_minutes_is_unknown(seed: int) -> None:
    assert confirmed(_restart_operator(slow, seed).incidents) == []


def test_a_cut_of_one_operator_during_the_restart_is_told() -> None:
    """A cut of one operator during the restart is found.

    None of it came late, so eight minutes without a return are enough.
    """
    (incident,) = confirmed(_restart_operator(cut, 2).incidents)
    assert incident.scope.asn == FIXED[0]
    assert (incident.confirmed_us or 0) <= at(UP + 660)


def test_a_cut_of_one_region_during_the_restart_is_told_as_soon_as_before() -> None:
    """Most of each network are back, so the pace is theirs."""
    people = country(each=3) + world()

    def spare(vantage: VantageRef, rng: Random) -> float | None:
        return None if vantage.place.region == "ALA" else fast(vantage, rng)

    (incident,) = confirmed(play(restart(spare, Random(2), people)).incidents)
    assert incident.scope.region == "ALA"
    assert (incident.confirmed_us or 0) <= at(UP + 270)


def test_a_cut_of_those_who_were_back_and_those_who_were_not_is_told() -> None:
    rng = Random(3)
    signals = restart(slow, rng)
    onset_us = at(UP + 600)
    back = {s.witness for s in signals if isinstance(s, VantageArrival) and s.at_us > at(UP)}
    late = [s for s in signals if s.at_us > onset_us]
    fallen = back - {s.witness for s in late if isinstance(s, VantageArrival)}
    signals = [s for s in signals if s.at_us <= onset_us]
    for vantage in filter(KZ, fallen):
        heard_us = onset_us - rng.randrange(15_000_000)
        signals.append(VantageLoss(heard_us + 37_500_000, vantage.nym, heard_us))
    (incident,) = confirmed(play(signals).incidents)
    assert incident.scope.is_national
    assert (incident.confirmed_us or 0) <= onset_us + 1_200_000_000


def test_a_second_start_awaits_who_was_late_for_the_first() -> None:
    """A second start waits for agents that were late for the first.

    Late agents are in no state that a checkpoint cannot hold.
    """
    signals = restart(slow, Random(4))
    again_us = at(UP + 400)
    before = [s for s in signals if s.at_us < again_us]
    detector = SilenceDetector()
    for signal in sort_signals(before):
        detector.on_signal(signal)
    detector = SilenceDetector.from_state(detector.state())
    detector.on_signal(Fault(again_us, again_us + 10_000_000, FaultReason.RESTART))
    rng = Random(6)
    for signal in sort_signals(
        VantageArrival(again_us + 10_000_000 + rng.randrange(60_000_000), vantage)
        for vantage in PEOPLE
    ):
        detector.on_signal(signal)
    detector.advance_to(at(UP + 4_000))
    detector.state()
    assert confirmed(detector.findings().incidents) == []
