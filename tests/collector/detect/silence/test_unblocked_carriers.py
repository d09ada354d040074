"""A block of our address beside a cut: each names the vantages that it explains."""

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
)
from support.examples import draw_seeds
from support.presence_model import Signals, at, country, drop, live, world

ONSET = 7_200.0
BLOCKED = "session/0"
OTHER = "session/1"


def _use_two_ways(every: int) -> list[VantageRef]:
    """List a country of 54, of whom each `every`-th uses the second entrance."""
    return [
        replace(vantage, carrier=BLOCKED if n % every else OTHER)
        for n, vantage in enumerate(country(each=3))
    ]


def _is_phone(vantage: VantageRef) -> bool:
    return vantage.place.access == "mobile"


def _evade(lines: list[VantageRef], rng: Random, carrier: str) -> Signals:
    """Let all lose the blocked entrance, and find another within a minute."""
    signals: Signals = []
    for vantage in lines:
        heard_s = ONSET - rng.uniform(0, 15)
        back_s = ONSET + rng.uniform(35, 75)
        signals += [
            VantageLoss(at(heard_s + 37.5), vantage.nym, at(heard_s)),
            VantageArrival(at(back_s), replace(vantage, carrier=carrier)),
            OfflineReport(
                at(back_s + 2), vantage.nym, at(heard_s), at(back_s), alive=True, online=True,
                carrier=carrier, measured_us=at(heard_s + 20),
            ),
        ]  # fmt: skip
    return sorted(signals, key=attrgetter("at_us"))


def _detect_phones(vantages: list[VantageRef], seed: int, carrier: str = OTHER) -> list[Incident]:
    """Cut the phones in the minute in which our first entrance is blocked for lines."""
    rng = Random(seed)
    phones = [vantage for vantage in vantages if _is_phone(vantage)]
    lines = [v for v in vantages if not _is_phone(v) and v.carrier == BLOCKED]
    others = [replace(v, carrier=(BLOCKED, OTHER)[n % 2]) for n, v in enumerate(world())]
    signals = live(vantages + others, rng, 4, churn=0) + drop(phones, ONSET, rng)
    signals += _evade(lines, rng, carrier)
    cuts = detect_silence(signals, at(ONSET + 3_600)).incidents
    return [cut for cut in cuts if cut.kind is IncidentKind.SILENCE]


@pytest.mark.parametrize("seed", draw_seeds(3))
def test_phones_are_cut_beside_a_block_of_an_entrance_that_a_third_do_not_use(seed: int) -> None:
    """Phones are cut beside a block of an entrance that a third do not use.

    The lines report that their links work, and use the entrance that phones lost as well.
    """
    (cut,) = _detect_phones(_use_two_ways(3), seed)
    assert cut.state is IncidentState.CONFIRMED
    assert cut.scope.access == "mobile"
    assert cut.confirmed_us is not None
    assert cut.confirmed_us <= at(ONSET + 180)


@pytest.mark.parametrize("seed", draw_seeds(3))
def test_phones_that_hardly_use_another_entrance_are_left_in_doubt(seed: int) -> None:
    """Phones that hardly use another entrance are left in doubt.

    The lines' block may cover them too: two on the other way may be silent by chance.
    """
    cuts = _detect_phones(_use_two_ways(20), seed)
    assert not any(cut.state is IncidentState.CONFIRMED for cut in cuts)


@pytest.mark.parametrize("seed", draw_seeds(3))
def test_phones_by_an_entrance_that_no_line_uses_are_left_in_doubt(seed: int) -> None:
    """Phones by an entrance that no line uses are left in doubt.

    It may be blocked for all of the country, and its lines cannot show it.
    """
    vantages = [v if _is_phone(v) else replace(v, carrier=BLOCKED) for v in _use_two_ways(3)]
    cuts = _detect_phones(vantages, seed, carrier="post")
    assert not any(cut.state is IncidentState.CONFIRMED for cut in cuts)


@pytest.mark.parametrize("seed", draw_seeds(3))
def test_cut_that_takes_minutes_is_no_block_of_the_way_that_falls_first(seed: int) -> None:
    rng = Random(seed)
    vantages = _use_two_ways(2)
    first = [v for v in vantages if v.carrier == BLOCKED]
    second = [v for v in vantages if v.carrier == OTHER]
    others = [replace(v, carrier=(BLOCKED, OTHER)[n % 2]) for n, v in enumerate(world())]
    signals = live(vantages + others, rng, 4, churn=0)
    signals += drop(first, ONSET, rng) + drop(second, ONSET + 150, rng)
    incidents = detect_silence(signals, at(ONSET + 3_600)).incidents
    (cut,) = [incident for incident in incidents if incident.state is IncidentState.CONFIRMED]
    assert (cut.kind, cut.scope.is_national) == (IncidentKind.SILENCE, True)
    assert any(incident.kind is IncidentKind.COLLECTOR_BLOCKED for incident in incidents)
