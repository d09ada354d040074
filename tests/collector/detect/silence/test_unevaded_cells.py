"""A cut of phones in the minute of a block of our address for lines is separate."""

from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest

from heliograph_collector.detect import detect_silence
from heliograph_collector.incidents.incident import (
    HoldReason,
    Incident,
    IncidentKind,
    IncidentState,
)
from heliograph_collector.model.signals import (
    OfflineReport,
    VantageArrival,
    VantageLoss,
    VantageRef,
)
from support.presence_model import Signals, at, country, live, world

ONSET, END = 7_200.0, 4 * 3_600.0
BLOCKED, OTHER = "session/0", "web"
HOME = [replace(vantage, carrier=BLOCKED) for vantage in country(each=3)]
OPERATOR = HOME[0].place.asn
Choice = Callable[[VantageRef], bool]


def _fall(is_cut: Choice, rng: Random, evading: float = 1.0) -> Signals:
    """Let all lose our entrance; the cut return at the end, others by another way."""
    signals: Signals = []
    for vantage in HOME:
        heard_s = ONSET + rng.uniform(-15, 15)
        signals.append(VantageLoss(at(heard_s + 37.5), vantage.nym, at(heard_s)))
        is_silent = is_cut(vantage)
        if not is_silent and rng.random() > evading:
            continue
        back_s = END + rng.uniform(0, 60) if is_silent else heard_s + rng.uniform(120, 360)
        back = vantage if is_silent else replace(vantage, carrier=OTHER)
        told = at(heard_s), at(back_s)
        signals += [
            VantageArrival(at(back_s), back),
            OfflineReport(
                at(back_s + 2), vantage.nym, *told, alive=True, online=not is_silent,
                carrier=back.carrier, measured_us=at(heard_s + 20),
            ),
        ]  # fmt: skip
    return signals


def _detect(is_cut: Choice, until_s: float, evading: float = 1.0, seed: int = 1) -> list[Incident]:
    rng = Random(seed)
    others = [replace(v, carrier=(BLOCKED, OTHER)[n % 2]) for n, v in enumerate(world())]
    signals = live(HOME + others, rng, ONSET / 3_600, churn=0) + _fall(is_cut, rng, evading)
    told = detect_silence(signals, at(until_s)).incidents
    return [i for i in told if i.scope.country == "KZ"]


CUTS: dict[str, tuple[Choice, str, str]] = {
    "phones": (lambda v: v.place.access == "mobile", "mobile-only", "fixed-only"),
    "a region": (lambda v: v.place.region == "ALA", "one-city", "several-cities"),
    "an operator": (lambda v: v.place.asn == OPERATOR, "one-operator", "national"),
}


@pytest.mark.parametrize("where", CUTS)
def test_a_cut_beside_a_block_of_our_address_is_suspected_and_told_by_its_people(
    where: str,
) -> None:
    is_cut, cut_label, block_label = CUTS[where]
    block, cut = _detect(is_cut, ONSET + 900)
    assert (block.kind, block.label) == (IncidentKind.COLLECTOR_BLOCKED, block_label)
    assert (cut.kind, cut.label) == (IncidentKind.SILENCE, cut_label)
    assert (cut.state, cut.held) == (IncidentState.SUSPECTED, (HoldReason.CARRIER,))
    block, cut = _detect(is_cut, END + 1_200)
    assert (block.kind, block.state) == (IncidentKind.COLLECTOR_BLOCKED, IncidentState.CONFIRMED)
    assert (cut.kind, cut.state) == (IncidentKind.SILENCE, IncidentState.CLOSED)
    assert cut.ended is not None
    assert cut.ended.latest_us >= at(END)


@pytest.mark.parametrize(("evading", "seed"), [(1.0, 1), (0.6, 1), (0.35, 4)])
def test_a_block_that_people_of_every_cell_evade_is_one(evading: float, seed: int) -> None:
    """A block that people of every cell evade is one block.

    Where a third do, chance leaves some cells without any.
    """
    (block,) = _detect(lambda _: False, ONSET + 1_800, evading, seed)
    assert (block.kind, block.label) == (IncidentKind.COLLECTOR_BLOCKED, "national")
