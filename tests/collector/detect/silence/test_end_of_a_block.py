"""People who come back as a block of our address ends do not flap: their next cut is told."""

from dataclasses import replace
from random import Random

from heliograph_collector.detect import detect_silence
from heliograph_collector.incidents.incident import Incident, IncidentKind
from heliograph_collector.model.signals import (
    OfflineReport,
    VantageArrival,
    VantageLoss,
    VantageRef,
)
from support.examples import draw_seeds
from support.presence_model import Signals, at, country, live, world

BLOCK = 7_200.0
LIFTED = BLOCK + 300  # from then on the lost entrance answers; each is back after its own time
CUT = LIFTED + 600
FIRST, SECOND, THIRD = "session/0", "session/1", "session/2"


def _lose(vantage: VantageRef, heard_s: float) -> VantageLoss:
    return VantageLoss(at(heard_s + 37.5), vantage.nym, at(heard_s))


def _evade(vantage: VantageRef, rng: Random) -> Signals:
    """It loses the first entrance, finds the second, tells of it, and returns to the first."""
    heard_s = BLOCK + rng.uniform(0, 10)
    found_s = heard_s + rng.uniform(50, 70)
    back_s = LIFTED + rng.uniform(0, 500)
    word = OfflineReport(
        at(found_s + 2), vantage.nym, at(heard_s), at(found_s), alive=True, online=True,
        carrier=SECOND, measured_us=at(heard_s + 30),
    )  # fmt: skip
    return [
        _lose(vantage, heard_s),
        VantageArrival(at(found_s), replace(vantage, carrier=SECOND)),
        word,
        VantageArrival(at(back_s), vantage),
    ]


def _list_cuts(seed: int) -> list[Incident]:
    """One operator is cut after the block; one of its six people always had another entrance."""
    rng = Random(seed)
    people = [replace(v, carrier=FIRST) for v in country()]
    members = [v for v in people if v.place.asn == people[0].place.asn]
    apart = replace(members[0], carrier=THIRD)
    people = [apart if v.nym == apart.nym else v for v in people]
    others = [replace(v, carrier=FIRST) for v in world()]
    signals = live([*people, *others], rng, BLOCK / 3_600, churn=0.0)
    for vantage in people:
        signals += _evade(vantage, rng) if vantage is not apart else []
    signals += [_lose(v, CUT + rng.uniform(0, 70)) for v in members]
    told = detect_silence(signals, at(CUT + 240)).incidents
    return [i for i in told if i.kind is IncidentKind.SILENCE and i.confirmed_us is not None]


def test_cut_of_an_operator_minutes_after_a_block_is_told() -> None:
    """One line by an entrance that was never blocked made flapping sessions of all the others."""
    for seed in draw_seeds(4):
        (cut,) = _list_cuts(seed)
        assert cut.scope.asn, seed
