"""One of two gRPC entrances fails, and agents come back by the other.

It fails for one country or for all. A real ingest stage, real sessions through ports in between,
and the detector on its journal run on one clock that the test sets. The hello alone separates the
entrances.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from heliograph.failure import Operation
from heliograph.http_envelope import EnvelopeRequest
from heliograph.observation import Link, Measurement, Observation, Trigger
from heliograph.plan import Carrier, Entrance
from heliograph.units import DAY_US, SECOND_US
from heliograph.v1 import intake_pb2
from heliograph_collector.fleet.entrances import describe_carriers, name_carrier
from heliograph_collector.fleet.plans import announce_entrances
from heliograph_collector.incidents.published.log import IncidentRecord
from heliograph_collector.ingest import collector_faults
from heliograph_collector.model.entrances import BlockedEntrance
from heliograph_collector.model.records import RowKind
from heliograph_collector.store.journal.journal import Journal
from heliograph_lab.simulate.addresses import assign_addresses, write_tables
from heliograph_lab.simulate.script import Actor
from support.detector_run import DetectorRun
from support.hand_clock import HandClock
from support.intake import (
    Call,
    Caller,
    IngestServer,
    channel,
    hear,
    ingest_server,
    measurement,
    receipts,
    tunnel,
)
from support.waiting import PAUSE_S

if TYPE_CHECKING:
    from heliograph.v1.intake_pb2_grpc import IntakeAsyncStub

FIRST = Entrance(carrier=Carrier.STREAM, host="first.example", port=443)
SECOND = Entrance(carrier=Carrier.STREAM, host="second.example", port=443)
KNOWN_S = 60 * DAY_US // SECOND_US
WITHIN_US = 300 * SECOND_US  # design/detection.md
STEP_S = 5  # of the clock; one of ten seconds would be a stall of the collector
CHECK_S = 0.001  # between two looks at the clock
A_CONNECTION = 8  # sessions that the collector allows on one
OTHERS = ("XA", "XB", "XC")
ACTORS = [
    Actor(number, country, asn=asn, access="mobile" if asn == 1 else "fixed")
    for number, (country, asn) in enumerate(
        (country, asn)
        for country, each in (("KZ", 6), *((other, 3) for other in OTHERS))
        for asn in (1, 2, 3)
        for _ in range(each)
    )
]
CONTROL = Actor(len(ACTORS), "XD", asn=4, access="hosting")


@dataclass
class Person:
    """An agent in its country, which reports the entrance it dialed."""

    actor: Actor
    address: str
    caller: Caller
    call: "Call | None" = None

    async def come(self, stub: "IntakeAsyncStub", entrance: Entrance) -> None:
        """Begin a session; a collector whose clock was turned may be busy for a second."""
        call = stub.Session(metadata=(("x-forwarded-for", self.address),))
        while not isinstance(challenge := await read(call), intake_pb2.CollectorMessage):
            await asyncio.sleep(PAUSE_S)
            call = stub.Session(metadata=(("x-forwarded-for", self.address),))
        self.call = call
        message = self.caller.hello(challenge.challenge.nonce)
        message.hello.entrance = entrance.tag
        message.hello.country = self.actor.country
        message.hello.access = self.actor.access
        await self.call.write(message)
        await self.beat()

    async def beat(self) -> None:
        if self.call is not None:
            heartbeat = intake_pb2.Heartbeat(sent_us=1, link="online")
            await self.call.write(intake_pb2.AgentMessage(heartbeat=heartbeat))
            while (await hear(self.call)).WhichOneof("message") != "clock":
                pass

    async def tell_anchors(self, at_us: int) -> None:
        """Upload that a foreign anchor answered then."""
        assert self.call is not None
        envelope = self.caller.envelope(1, [self._measure_anchors(at_us)])
        await self.call.write(intake_pb2.AgentMessage(envelope=envelope))
        await receipts(self.call, 1)

    async def post_anchors(self, server: IngestServer, at_us: int) -> None:
        """Report the same by POST, without a session."""
        sealed = self.caller.seal(self.caller.batch(1, [self._measure_anchors(at_us)]))
        request = EnvelopeRequest(envelope=sealed, sender=self.caller.prove(sealed))
        reply = await server.intake.responder.respond(request, self.address)
        assert reply.receipt.status == intake_pb2.STATUS_STORED

    def _measure_anchors(self, at_us: int) -> Measurement:
        step = Observation(
            operation=Operation.TLS_HANDSHAKE, endpoint="foreign-a", started_us=0, duration_us=9
        )
        return replace(
            measurement(),
            started_us=at_us,
            link=Link.ONLINE,
            observations=(step,),
            trigger=Trigger.SESSION_LOST,
        )


async def read(call: Call) -> object:
    """Return the next message, or None of a call that was refused."""
    try:
        return await call.read()
    except grpc.aio.AioRpcError:
        return None


def make_prompt(journal: Journal) -> Journal:
    """Let marks of life take no time: while one is written, the clock may be turned."""

    async def mark_alive(at_us: int) -> None:
        del at_us

    journal.mark_alive = mark_alive  # type: ignore[method-assign]
    return journal


@dataclass
class World:
    """People of four countries at one collector with two entrances."""

    server: IngestServer
    run: DetectorRun
    people: Sequence[Person]
    control: Person
    stack: AsyncExitStack
    paths: dict[tuple[str, Entrance], AsyncExitStack] = field(default_factory=dict)

    async def come(self, people: Sequence[Person], entrance: Entrance) -> None:
        """Let agents begin sessions; each country has a separate path to an entrance."""
        for country in sorted({person.actor.country for person in people}):
            own = [person for person in people if person.actor.country == country]
            path = await self.stack.enter_async_context(AsyncExitStack())
            self.paths[country, entrance] = path
            port = await path.enter_async_context(tunnel(self.server, "127.0.0.2"))
            for first in range(0, len(own), A_CONNECTION):
                stub = await path.enter_async_context(channel(self.server, port))
                group = own[first : first + A_CONNECTION]
                await asyncio.gather(*(person.come(stub, entrance) for person in group))

    async def close_path(self, country: str, entrance: Entrance) -> list[Person]:
        """Cut the path of a country to an entrance; return who loses a session by it."""
        everybody = (*self.people, self.control)
        lost = [person for person in everybody if person.actor.country == country]
        for person in lost:
            person.call = None
        await self.paths.pop((country, entrance)).aclose()
        return lost

    async def pass_time(self, seconds: int) -> None:
        for _ in range(0, seconds, STEP_S):
            self.run.clock.advance_us(STEP_S * SECOND_US)
            await asyncio.gather(*(person.beat() for person in (self.control, *self.people)))
            # No wait for a while: the loop wakes in order, so the look at this step comes first.
            await asyncio.sleep(2 * CHECK_S)
            await self.run.look()


@asynccontextmanager
async def open_world(data: Path, countries: Sequence[str]) -> AsyncIterator[World]:
    clock = HandClock()
    actors = [actor for actor in ACTORS if actor.country in countries]
    write_tables((*actors, CONTROL), data / "geo")
    settings: dict[str, Any] = {
        "trusted_proxies": (ip_network("127.0.0.0/8"),),
        "country_file": data / "geo" / "country.table",
        "asn_file": data / "geo" / "asn.table",
    }
    async with AsyncExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        # Each step of the clock is seen by itself: two together would be a stall of the collector.
        patch.setattr(collector_faults, "CHECK_INTERVAL_S", CHECK_S)
        opening = ingest_server(data, clock=clock, wrap=make_prompt, **settings)
        server = await stack.enter_async_context(opening)
        now_s = clock.wall_us() // SECOND_US
        announce_entrances(server.fleet, server.keyring.signing, (FIRST, SECOND), now_s)
        addresses = assign_addresses((*actors, CONTROL))
        people = [Person(a, addresses[a.number], Caller(server.keyring)) for a in actors]
        since_s = now_s - KNOWN_S
        token = server.fleet.create_invite(
            role="volunteer", uses=len(people), now_s=since_s, expires_s=since_s + 9
        )
        control = Person(CONTROL, addresses[CONTROL.number], Caller(server.keyring))
        for person in people:
            server.fleet.enrol_agent(token, person.caller.signer.public, "test", since_s)
        token = server.fleet.create_invite(
            role="control", uses=1, now_s=since_s, expires_s=since_s + 9
        )
        server.fleet.enrol_agent(token, control.caller.signer.public, "test", since_s)
        server.intake.directory.reload_fleet(force=True)
        async with DetectorRun(data, journal=server.journal, clock=clock) as run:
            yield World(server, run, people, control, stack)


async def lose_first(
    world: World, countries: Sequence[str], *, by_post: bool = False
) -> tuple[list[IncidentRecord], list[BlockedEntrance]]:
    """Block the first entrance for countries; return incidents and operators' view.

    Args:
        by_post: All report by POST and come by the second entrance, before their loss is noticed.
            Otherwise half come before that, and all report in their new session.
    """
    await world.pass_time(120)
    onset_us = world.run.clock.wall_us()
    lost = [p for c in countries for p in await world.close_path(c, FIRST)]
    if world.control in lost:
        await world.come([world.control], SECOND)
        lost.remove(world.control)
    await world.pass_time(30)
    quick = lost if by_post else lost[::2]
    measured_us = onset_us + 20 * SECOND_US
    if by_post:
        await asyncio.gather(*(p.post_anchors(world.server, measured_us) for p in quick))
    await world.come(quick, SECOND)
    if not by_post:
        await asyncio.gather(*(p.tell_anchors(measured_us) for p in quick))
    await world.pass_time(15)
    slow = [person for person in lost if person not in quick]
    await world.server.wait_rows(RowKind.LOST, len(slow))
    await world.pass_time(15)
    await world.come(slow, SECOND)
    await asyncio.gather(*(p.tell_anchors(measured_us) for p in slow))
    await world.pass_time(225)
    assert world.run.clock.wall_us() - onset_us < WITHIN_US
    records = [logged.record for logged in world.run.detector.book.incidents()]
    return records, world.run.detector.list_blocked(onset_us)


@pytest.mark.parametrize(
    ("fallen", "by_post"), [(("KZ",), False), (("KZ",), True), (("KZ", *OTHERS, "XD"), False)]
)
async def test_entrance_that_dies(fallen: Sequence[str], by_post: bool, tmp_path: Path) -> None:
    """An entrance that fails in one country is blocked; in all, it is our own fault."""
    async with open_world(tmp_path, ("KZ", *OTHERS)) as world:
        await world.come((*world.people, world.control), FIRST)
        records, blocked = await lose_first(world, fallen, by_post=by_post)
    confirmed = [record for record in records if record.confirmed]
    if len(fallen) > 1:
        assert confirmed == []
        assert [(each.country, each.carriers) for each in blocked] == [("", (name_carrier(FIRST),))]
        return
    (entrance,) = blocked
    assert (entrance.country, entrance.is_open, entrance.is_seen) == ("KZ", True, True)
    assert describe_carriers(entrance.carriers, (FIRST, SECOND)) == "first.example:443"
    if by_post:  # none was ever silent, so no public suspicion came before
        assert records == []
        return
    (incident,) = confirmed
    assert (incident.kind, incident.state) == ("collector_blocked", "confirmed")
    assert f"{FIRST.tag:08x}" not in str(incident), "the public, and a censor, read it"


@pytest.mark.parametrize("control", ["stays", "loses it too", "is beside us"])
async def test_entrance_of_a_fleet_of_one_country(control: str, tmp_path: Path) -> None:
    """With a control elsewhere a fleet of one country tells a block from our fault.

    Without a control the state is in doubt.
    """
    async with open_world(tmp_path, ("KZ",)) as world:
        if control == "is beside us":
            world.control.address = "127.0.0.1"
        await world.come((*world.people, world.control), FIRST)
        fallen = ("KZ", "XD") if control == "loses it too" else ("KZ",)
        records, blocked = await lose_first(world, fallen)
    (entrance,) = blocked
    if control == "loses it too":
        assert [record for record in records if record.confirmed] == []
        assert (entrance.country, entrance.carriers) == ("", (name_carrier(FIRST),))
        return
    (incident,) = records
    is_known = control == "stays"
    state = "confirmed" if is_known else "suspected"
    assert (incident.kind, incident.state) == ("collector_blocked", state)
    assert incident.held == (() if is_known else ("entrance_unseen",))
    assert entrance.is_seen is is_known
