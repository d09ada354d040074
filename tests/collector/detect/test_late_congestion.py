"""A window detected again for late votes reads other services, so no block shows."""

from collections.abc import Sequence

import pytest

from heliograph_collector.detect.blocking.detector import BlockingDetector, ServiceVotes
from heliograph_collector.detect.late_data import ReopenedWindow, reevaluate
from heliograph_collector.model.records import StoredVote, Vantage, VerdictState, WorldTally
from heliograph_collector.model.seniority import find_seniority
from heliograph_collector.model.signals import ServiceVote
from support.congested_evenings import MESSENGERS, Blocked, Busy, Evening, list_votes
from support.foreign_world import AT, HOUR

BUSY = Evening((Busy(0.6, at=AT - HOUR, lasts=1.5 * HOUR),), hours=3, services=MESSENGERS)
BLOCK = Evening(blocks=(Blocked("telegram", lasts=HOUR),), hours=3, services=MESSENGERS)


class StoredEvening:
    """A store with the votes of an evening."""

    def __init__(self, votes: Sequence[ServiceVote]) -> None:
        self.votes = votes

    async def opinions(
        self, service: str, country: str, since_us: int, until_us: int
    ) -> Sequence[StoredVote]:
        return [
            _store(vote)
            for vote in self.votes
            if (vote.service, vote.witness.place.country) == (service, country)
            and since_us <= vote.at_us < until_us
        ]

    async def world_tally(
        self,
        service: str,
        not_country: str,
        since_us: int,
        until_us: int,
        bin_s: int,
        *,
        fresh_s: int = 0,
    ) -> Sequence[WorldTally]:
        return []


def _store(vote: ServiceVote) -> StoredVote:
    place = vote.witness.place
    return StoredVote(
        started_us=vote.at_us, pseudonym=vote.witness.nym, prefix=vote.witness.prefix,
        vantage=Vantage(
            country=place.country, region=place.region, asn=place.asn, access=place.access
        ),
        seniority=find_seniority(vote.witness.first_us, vote.at_us),
        state=VerdictState(vote.standing), layer=vote.layer, method=vote.method,
        reachable_endpoints=0, endpoints=0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("evening", "services", "is_told"),
    [
        (BUSY, MESSENGERS, False),
        (BUSY, MESSENGERS[:1], True),  # what it would say without the others
        (BLOCK, MESSENGERS, True),
    ],
    ids=["busy", "busy, alone", "blocked"],
)
async def test_window_is_detected_with_other_services(
    evening: Evening, services: Sequence[str], is_told: bool
) -> None:
    votes, _ = list_votes(evening, 0)
    live = BlockingDetector(votes[-1].at_us)
    live.services = {service: ServiceVotes() for service in services}
    window = ReopenedWindow("KZ", "telegram", votes[0].at_us, votes[-1].at_us, votes[-1].at_us)
    assert bool(await reevaluate(StoredEvening(votes), window, (), live)) is is_told
