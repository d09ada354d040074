"""A collector and a load generator with enrolled, connected agents."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from heliograph import keys
from heliograph.clock import SystemClock
from heliograph.codec import plan_to_pb
from heliograph.services import load_shipped_services
from heliograph_lab.simulate.addresses import assign_addresses
from heliograph_lab.simulate.agent import derive_key
from heliograph_lab.simulate.channel import connect_endpoint, read_invite
from heliograph_lab.simulate.processes import CollectorProcess, InviteLines, start_collector
from heliograph_lab.simulate.script import Actor
from heliograph_lab.simulate.workload import build_load_plan
from support.load_bench import Sender, program
from support.load_sender import Enrol

CONTROLS = 2
COUNTRIES = ("KZ", "DE", "FR", "BR")
# So that the aggregation counts every result. Pages are then read again after each block,
# and not each five minutes as with the default.
COUNTS_ALL = {"feed": {"k_anonymity": 1}}
NOTICED_S = 2.5  # until the collector has read from when its agents are
CLOCK = SystemClock()


def list_actors(agents: int) -> list[Actor]:
    """Return volunteers of four countries and twelve networks, and two controls."""
    people = [
        Actor(n, COUNTRIES[n % len(COUNTRIES)], asn=100 + n % 12, access="fixed")
        for n in range(agents - CONTROLS)
    ]
    first = len(people)
    return [*people, *(Actor(first + n, "ZZ", control=True) for n in range(CONTROLS))]


@asynccontextmanager
async def connected_fleet(
    folder: Path, agents: int, settings: Mapping[str, object] = COUNTS_ALL
) -> AsyncIterator[tuple[CollectorProcess, Sender]]:
    """Start a collector without tasks, and connect agents enrolled long ago."""
    actors = list_actors(agents)
    async with start_collector(folder, actors, 15, CLOCK, settings=settings) as (own, invites):
        await own.wait_until_ready()
        async with connected_sender(own, invites, actors, assign_addresses(actors)) as sender:
            yield own, sender


@asynccontextmanager
async def connected_sender(
    own: CollectorProcess,
    invites: InviteLines,
    actors: Sequence[Actor],
    addresses: Mapping[int, str],
) -> AsyncIterator[Sender]:
    """Run a load generator with these agents, enrolled long ago."""
    async with program("support.load_sender") as process:
        sender = Sender(process)
        await sender.enrol(_enrolment(actors, invites, addresses))
        await make_old(own, actors)
        await sender.connect()
        yield sender


async def make_old(own: CollectorProcess, actors: Sequence[Actor]) -> None:
    """Let the collector take agents that are enrolled for established ones."""
    ages = {keys.agent_id(derive_key(0, a.number)[0].public): a.known_days for a in actors}
    await asyncio.to_thread(own.set_enrollment_age, ages, CLOCK)
    await asyncio.sleep(NOTICED_S)


def _enrolment(
    actors: Sequence[Actor], invites: InviteLines, addresses: Mapping[int, str]
) -> Enrol:
    plan = build_load_plan("plan", load_shipped_services(), [], 60.0)
    return Enrol(
        door=connect_endpoint(read_invite(invites.volunteers)),
        control_token=read_invite(invites.controls).token,
        actors=list(actors),
        addresses={actor.number: addresses[actor.number] for actor in actors},
        plan=plan_to_pb(plan).SerializeToString(),
    )
