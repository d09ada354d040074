"""A collector and a load generator whose agents are enrolled and connected: where load benches
start."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
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
# So that the aggregation counts every result. What pages show is then read anew after each block,
# and not each five minutes as with the default.
COUNTS_ALL = {"feed": {"k_anonymity": 1}}
NOTICED_S = 2.5  # until the collector has read from when its agents are


def list_actors(agents: int) -> list[Actor]:
    """Volunteers of four countries and twelve networks, and two controls."""
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
    """A collector without tasks of its own, everybody enrolled long ago and connected."""
    clock = SystemClock()
    actors = list_actors(agents)
    async with AsyncExitStack() as stack:
        own, invites = await stack.enter_async_context(
            start_collector(folder, actors, 15, clock, settings=settings)
        )
        await own.wait_until_ready()
        sender = Sender(await stack.enter_async_context(program("support.load_sender")))
        await sender.enrol(_enrolment(actors, invites))
        ages = {keys.agent_id(derive_key(0, a.number)[0].public): 60.0 for a in actors}
        await asyncio.to_thread(own.set_enrollment_age, ages, clock)
        await asyncio.sleep(NOTICED_S)
        await sender.connect()
        yield own, sender


def _enrolment(actors: Sequence[Actor], invites: InviteLines) -> Enrol:
    plan = build_load_plan("plan", load_shipped_services(), [], 60.0)
    return Enrol(
        door=connect_endpoint(read_invite(invites.volunteers)),
        control_token=read_invite(invites.controls).token,
        actors=list(actors),
        addresses=assign_addresses(actors),
        plan=plan_to_pb(plan).SerializeToString(),
    )
