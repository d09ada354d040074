"""A country in which tests of all services often fail is one lasting suspicion.

Truths: a state that slows all that crosses its border lasts from `at` to `at + lasts`, and looks
like a broken cable. Trouble of one network, one kind of access or one service is no degradation.
"""

import os
from collections.abc import Sequence
from itertools import product

import msgspec
import pytest

from heliograph.units import MINUTE_US
from heliograph_collector.detect.blocking.detector import BlockingDetector, BlockingDetectorState
from heliograph_collector.incidents.incident import (
    MOST_SERVICES,
    Incident,
    IncidentKind,
    IncidentState,
)
from heliograph_collector.model.scope import Scope
from heliograph_collector.model.signals import ServiceVote
from support.congested_evenings import (
    ABROAD,
    ALL,
    BY_NAME,
    MESSENGERS,
    MOBILE,
    Blocked,
    Busy,
    Evening,
    list_votes,
)
from support.examples import only_in_soak
from support.foreign_world import AT, HOUR, seconds_after

SEEDS = int(os.environ.get("HELIOGRAPH_FOREIGN_SEEDS", "0"))
LASTS = 3 * HOUR

SHORT_SLOWED = {
    "half, 4 services": Evening((Busy(0.5, lasts=LASTS),), hours=6, services=MESSENGERS),
    "half, a small fleet": Evening(
        (Busy(0.5, lasts=LASTS),), hours=6, services=MESSENGERS, lines=(5, 3), phones=(3,)
    ),
}
SLOWED = SHORT_SLOWED | {
    "half of all": Evening((Busy(0.5, lasts=LASTS),), hours=6),
    "70 of 100": Evening((Busy(0.7, lasts=LASTS),), hours=6, services=MESSENGERS),
    "30 of 100": Evening((Busy(0.3, lasts=LASTS),), hours=6),
    "half of what is abroad": Evening(
        (Busy(0.5, lasts=LASTS, services=MESSENGERS + ABROAD),), hours=6
    ),
    "half, controls too": Evening((Busy(0.5, lasts=LASTS, doubted=0.4),), hours=6),
}
SHORT_OTHERS = {
    "one network": Evening((Busy(0.5, Scope("KZ", asn=10)),), hours=5, services=MESSENGERS),
    "phones": Evening((Busy(0.5, MOBILE),), hours=5, services=MESSENGERS),
    "all countries": Evening(
        tuple(Busy(0.5, Scope(code)) for code in ("KZ", "TR", "BR", "ID", "PL")),
        hours=4,
        services=MESSENGERS,
    ),
    "one service": Evening(blocks=(Blocked("telegram", share=0.5),), hours=5, services=MESSENGERS),
    "all blocked": Evening(
        blocks=tuple(Blocked(s, lasts=1_440) for s in MESSENGERS), hours=4, services=MESSENGERS
    ),
}
OTHERS = SHORT_OTHERS | {
    "one region": Evening((Busy(0.5, Scope("KZ", "A")),), hours=5),
    "a delivery network": Evening(
        blocks=tuple(Blocked(s, share=0.5) for s in ("bbc", "dw", "github")), hours=5
    ),
    "a resolver": Evening((Busy(0.5, Scope("KZ", asn=10), services=BY_NAME, layer="dns"),)),
    "all rolled out": Evening(
        blocks=tuple(Blocked(s, lasts=6 * HOUR, rollout=4 * HOUR) for s in ALL), hours=9
    ),
    "no credit": Evening((Busy(1, MOBILE, lines=0.5, always=True),)),
    "the larger network": Evening(
        (Busy(0.6, Scope("KZ", asn=10)),), services=MESSENGERS, lines=(9, 2), phones=(2,)
    ),
}


def detect_degraded(
    votes: Sequence[ServiceVote], restored: Sequence[Incident] = (), *, resume: bool = False
) -> list[Incident]:
    """Detect in these votes after a restart; `resume` uses a checkpoint every hour."""
    detector = BlockingDetector(votes[0].at_us // MINUTE_US * MINUTE_US)
    for incident in restored:
        detector.restore(incident)
    for vote in votes:
        is_closed = detector.close_bins(vote.at_us // MINUTE_US * MINUTE_US)
        if resume and is_closed and detector.since_us % (60 * MINUTE_US) == 0:
            document = msgspec.json.encode(detector.state())
            state = msgspec.json.decode(document, type=BlockingDetectorState)
            detector = BlockingDetector.from_state(state)
        detector.add_vote(vote)
    return [i for i in detector.incidents() if i.service == MOST_SERVICES]


@pytest.mark.parametrize(
    ("name", "seed"), [*product(SLOWED, range(SEEDS))] or [*product(SHORT_SLOWED, [0])]
)
def test_slowed_country_is_one_suspicion_that_lasts(name: str, seed: int) -> None:
    """A slowed country is one suspicion that lasts.

    Up to version 77 it had none: each service failed as the others did.
    """
    votes, _ = list_votes(SLOWED[name], seed)
    (incident,) = detect_degraded(votes)
    assert incident.scope == Scope("KZ")
    assert (incident.kind, incident.held) == (IncidentKind.PARTIAL, ("all_services",))
    assert incident.confirmed_us is None
    assert incident.confidence <= 0.5
    assert seconds_after(AT, incident.started.earliest_us) <= 0
    assert seconds_after(AT, incident.started.latest_us) >= 0
    assert 0 < seconds_after(AT, incident.suspected_us) < 2 * HOUR
    assert incident.state is IncidentState.CLOSED
    assert incident.ended is not None
    end = AT + LASTS
    assert seconds_after(end, incident.ended.earliest_us) <= 0
    assert seconds_after(end, incident.ended.latest_us) >= 0
    assert seconds_after(end, incident.closed_us) < HOUR


@pytest.mark.parametrize(
    ("name", "seed"), [*product(OTHERS, range(SEEDS))] or [*product(SHORT_OTHERS, [0])]
)
def test_what_one_network_or_service_suffers_is_no_slowed_country(name: str, seed: int) -> None:
    votes, _ = list_votes(OTHERS[name], seed)
    assert not detect_degraded(votes)


def test_slowed_country_lasts_over_checkpoints_and_is_restored_from_the_log() -> None:
    votes, _ = list_votes(SHORT_SLOWED["half, a small fleet"], 0)
    incidents = detect_degraded(votes)
    assert detect_degraded(votes, resume=True) == incidents
    detector = BlockingDetector(votes[-1].at_us)
    for incident in incidents:
        detector.restore(incident)
    assert [(i.id, i.held, i.closed_us) for i in detector.incidents()] == [
        (i.id, i.held, i.closed_us) for i in incidents
    ]


@only_in_soak
@pytest.mark.parametrize("seed", range(4, 5 + SEEDS))
def test_suspicion_that_is_restored_lasts_as_long_as_the_failures(seed: int) -> None:
    """A restored suspicion lasts as long as the failures.

    After an update no checkpoint of the version before is read, and no test is in memory.
    """
    votes, _ = list_votes(Evening((Busy(0.3, lasts=LASTS),), hours=6), seed)
    restart = AT + LASTS / 2
    before = [vote for vote in votes if seconds_after(restart, vote.at_us) < 0]
    (suspected,) = detect_degraded(before)
    assert suspected.closed_us is None
    (lasting,) = detect_degraded(votes[len(before) :], [suspected])
    assert lasting.id == suspected.id
    assert 0 < seconds_after(AT + LASTS, lasting.closed_us) < HOUR
