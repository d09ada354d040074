"""Returns at the end of a block of our address do not hide the next cut."""

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
    """Lose the first entrance, find the second, report, and return to the first."""
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
    """List the cuts after a block, of an operator with one user of another entrance."""
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
    """One user of an unblocked entrance does not make the others flapping sessions."""
    for seed in draw_seeds(4):
        (cut,) = _list_cuts(seed)
        assert cut.scope.asn, seed
