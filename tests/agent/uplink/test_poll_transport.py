"""An agent without gRPC enrolls, holds a session by polls, and can be lost.

The entrance is the real one on loopback, behind a port that breaks connections.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from heliograph import keys
from heliograph.clock import SystemClock
from heliograph.http_envelope import POLL_S, SESSION_PATH, EnvelopeRequest
from heliograph.observation import Link
from heliograph.plan import Carrier, Entrance
from heliograph.v1 import intake_pb2 as pb
from heliograph_agent.enrolment import enrol
from heliograph_agent.net.trace import StepTrace
from heliograph_agent.state import State
from heliograph_agent.uplink.dial_context import DialContext
from heliograph_agent.uplink.hello import SessionFacts
from heliograph_agent.uplink.invite import Invite
from heliograph_agent.uplink.poll_transport import LINES, MAX_UNREAD, LineOpener, PolledStream
from heliograph_agent.uplink.transports import Reason, UplinkError, list_transports
from heliograph_collector.fleet.entrances import name_carrier
from heliograph_collector.ingest.grpc.polled_call import PolledSession
from heliograph_collector.model.records import RowKind
from support.hand_clock import HandClock
from support.intake import HOST, IngestServer, ingest_server
from support.ports import free_port
from support.post_entrance import front
from support.results import open_spool
from support.scripted_intake import Identity
from support.uplink_agent import SIGNER, Agent, UplinkSealer, number_of, running_enrolled


def lean_context() -> DialContext:
    return DialContext(SystemClock(), random.SystemRandom(), has_streams=False)


@dataclass
class LeanAgent:
    server: IngestServer
    agent: Agent
    port: int  # of the entrance

    def invite(self) -> Invite:
        """The session's endpoint is closed: only the entrance for POST is of use."""
        entrance = Entrance(carrier=Carrier.POST, host=HOST, port=self.port)
        pin = self.server.keyring.pin
        return Invite(f"{HOST}:{free_port()}", pin, self.server.invite(), (entrance,))

    @asynccontextmanager
    async def running(self, port: int = 0) -> AsyncIterator[None]:
        """Enroll, and run by the entrance or by what leads there."""
        enrolled = await enrol(self.invite(), lean_context(), SIGNER)
        self.agent.state.save_collector(enrolled.collector)
        self.agent.entrances = [Entrance(carrier=Carrier.POST, host=HOST, port=port or self.port)]
        async with running_enrolled(self.agent):
            yield


@pytest.fixture
async def lean(tmp_path: Path) -> AsyncIterator[LeanAgent]:
    async with ingest_server(tmp_path) as server:
        keyring = server.keyring
        who = Identity(keyring.tls_certificate, keyring.tls_key, keyring.signing, keyring.sealing)
        spool = open_spool(tmp_path / "spool.db", SystemClock(), sealer=UplinkSealer(who))
        async with server.intake.serve_post(f"{HOST}:0", tmp_path) as port, spool as opened:
            facts = SessionFacts(boot="b", epoch="e1", link=Link.ONLINE)
            agent = Agent(State(tmp_path), opened, who, dial_context=lean_context(), facts=facts)
            yield LeanAgent(server, agent, port)


async def test_it_enrolls_delivers_once_and_says_goodbye(lean: LeanAgent) -> None:
    post = Entrance(carrier=Carrier.POST, host=HOST, port=lean.port)
    lean.server.intake.directory.entrances.replace_listed([post])
    async with lean.running():
        await lean.agent.deliver(20)
        assert lean.agent.uplink.status.transport == f"poll://{HOST}:{lean.port}"
        (connection,) = lean.server.intake.connections
        assert connection.agent.id == keys.agent_id(SIGNER.public)
        assert connection.silent_at_us(15) - connection.last_heard_us == 2.5 * POLL_S * 1_000_000
        assert await lean.server.rows(RowKind.GOODBYE) == []
        findings = pb.CollectorMessage(findings=pb.Findings(country="KZ"))
        connection.outbox.put_nowait(findings)
        await lean.agent.until(lambda: bool(lean.agent.plans and lean.agent.findings))
    (arrival,) = await lean.server.rows(RowKind.ARRIVAL)
    assert pb.Hello.FromString(arrival.body).poll_s == POLL_S, "the row says how sharp silence is"
    assert arrival.carrier == name_carrier(post)
    assert len(await lean.server.wait_rows(RowKind.GOODBYE)) == 1
    rows = await lean.server.rows(RowKind.ENVELOPE)
    assert sorted(row.sequence for row in rows) == [number_of(n) for n in range(1, 21)]
    assert {row.carrier for row in rows} == {"session"}


async def test_a_session_outlives_its_connections(lean: LeanAgent) -> None:
    """A session outlives its connections.

    Every connection breaks after some bytes, in the middle of a poll; one session lasts.
    """
    broken: list[int] = []

    def break_some(so_far: bytes, piece: bytes) -> bytes | None:
        if len(so_far) > 6_000 and len(broken) < 5:
            broken.append(len(so_far))
            return None
        return piece

    async with front(lean.port, break_some) as port, lean.running(port):
        for _ in range(10):
            await lean.agent.deliver(3)
    assert len(broken) == 5
    assert len(await lean.server.rows(RowKind.ARRIVAL)) == 1
    rows = await lean.server.rows(RowKind.ENVELOPE)
    assert sorted(row.sequence for row in rows) == [number_of(n) for n in range(1, 31)]


async def test_a_session_that_the_collector_forgot_begins_again(lean: LeanAgent) -> None:
    async with lean.running():
        await lean.agent.deliver()
        lean.server.intake.calls.drop_all()  # as a restart does
        await lean.agent.deliver()
        await lean.server.wait_rows(RowKind.ARRIVAL, 2)
    rows = await lean.server.rows(RowKind.ENVELOPE)
    assert sorted(row.sequence for row in rows) == [number_of(1), number_of(2)]


async def test_a_used_invite_is_refused_by_its_word(lean: LeanAgent) -> None:
    invite = lean.invite()
    await enrol(invite, lean_context(), SIGNER)
    other = keys.SigningKey(bytes(32))
    with pytest.raises(UplinkError) as refused:
        await enrol(invite, lean_context(), other)
    assert refused.value.reason is Reason.BAD_INVITE
    bare = Invite(invite.endpoint, invite.pin, invite.token)
    with pytest.raises(UplinkError) as refused:
        await enrol(bare, lean_context(), other)
    assert refused.value.reason is Reason.NO_ENTRANCE, "and it is not said that nobody answers"


def test_sessions_by_polls_take_the_place_of_streams() -> None:
    posts = [Entrance(carrier=Carrier.POST, host=host, port=1) for host in ("a", "b")]
    relay = Entrance(carrier=Carrier.RELAY, host="r", port=1, pin="ab" * 32)
    listed = list_transports("c:1", [*posts, relay], None, has_streams=False)
    assert [t.name for t in listed] == [
        "poll://a:1", "poll://b:1", "post://a:1", "post://b:1", "relay://r:1",
    ]  # fmt: skip
    assert [t.is_session for t in listed] == [True, True, False, False, False]


async def test_messages_are_taken_once_in_order_however_polls_arrive() -> None:
    session = PolledSession(b"n" * 16, HOST, "")
    beats = [pb.AgentMessage(heartbeat=pb.Heartbeat(sent_us=n)) for n in range(1, 4)]
    wires = [beat.SerializeToString() for beat in beats]
    await session.write(pb.CollectorMessage(clock=pb.Clock(sent_us=1)))  # so that none is held
    for first, count in ((1, 1), (0, 2), (0, 2), (1, 2)):  # a gap, a repetition, an overlap
        reply = await session.answer_poll(
            pb.Poll(session=session.name, first=first, messages=wires[first : first + count])
        )
    assert (reply.received, reply.first, len(reply.messages)) == (3, 0, 1)
    assert [await session.read() for _ in range(3)] == beats
    await session.write(pb.CollectorMessage(clock=pb.Clock(sent_us=2)))
    reply = await session.answer_poll(pb.Poll(session=session.name, first=3, received=1))
    assert (reply.first, [m.clock.sent_us for m in reply.messages]) == (1, [2])
    large = pb.CollectorMessage(advice=pb.Advice(reason="r" * 50_000))
    for _ in range(2):
        await session.write(large)
    for confirmed, count in ((2, 1), (3, 1)):  # a reply beyond MAX_REPLY would never be taken
        reply = await session.answer_poll(pb.Poll(session=session.name, received=confirmed))
        assert (reply.first, len(reply.messages)) == (confirmed, count)


async def test_replies_wait_for_the_agent_to_handle_the_messages_of_the_last() -> None:
    """Replies wait until the agent has handled the last messages.

    A collector that sends faster than that would fill the memory of a small machine.
    """
    stream = PolledStream(cast("LineOpener", None), SystemClock())
    beats = [pb.CollectorMessage(clock=pb.Clock(sent_us=n)) for n in range(MAX_UNREAD + 9)]
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(stream._take_reply(pb.PollReply(messages=beats)))
        for beat in beats:
            assert await stream.receive() == beat
            assert stream._inbox.qsize() <= MAX_UNREAD


class FastCollector:
    """Answer each poll at once with nothing new, then perhaps break the connection."""

    def __init__(self, *, is_broken: bool) -> None:
        self.is_broken = is_broken
        self.lines = 0
        self.polls = 0
        self.replies = 0  # on the present connection
        self._asked = asyncio.Event()

    @asynccontextmanager
    async def open(self, trace: StepTrace) -> AsyncIterator["FastCollector"]:
        self.lines += 1
        self.replies = 0
        yield self

    async def write(self, path: bytes, body: bytes) -> None:
        self.polls += 1
        self._asked.set()

    async def read(self) -> bytes:
        await self._asked.wait()
        self._asked.clear()
        self.replies += 1
        if self.is_broken and self.replies > 1:
            raise ConnectionResetError
        return pb.PollReply(session=b"n" * 16).SerializeToString()


async def test_a_network_that_breaks_each_connection_does_not_have_the_volunteers_bytes() -> None:
    """Each broken one brought a reply, so that the session could go on for ever."""
    network = FastCollector(is_broken=True)
    clock = HandClock()
    stream = PolledStream(cast("LineOpener", network), clock, idle_s=0)
    async with asyncio.timeout(60):
        await stream.run(StepTrace(clock))
        with pytest.raises(UplinkError) as ended:
            await stream.receive()
    assert ended.value.reason is Reason.UNREACHABLE
    assert network.lines == LINES


async def test_a_collector_that_holds_no_poll_is_not_polled_again_and_again() -> None:
    collector = FastCollector(is_broken=False)
    stream = PolledStream(cast("LineOpener", collector), SystemClock(), idle_s=3_600)
    task = asyncio.ensure_future(stream.run(StepTrace(SystemClock())))
    for _turn in range(200):
        await asyncio.sleep(0)
    assert collector.polls == 1
    await stream.send(pb.AgentMessage(heartbeat=pb.Heartbeat(sent_us=1)))
    for _turn in range(200):
        await asyncio.sleep(0)
    assert collector.polls == 2, "what there is to say is said at once"
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_session_does_not_follow_its_agent_to_another_network(lean: LeanAgent) -> None:
    """A session does not follow its agent to another network.

    Its results would be counted for the network that it has left.
    """
    calls = lean.server.intake.calls

    async def poll(address: str, intermediary: str = "", **said: Any) -> pb.PollReply:
        body = pb.Poll(**said).SerializeToString()
        request = EnvelopeRequest(envelope=body, path=SESSION_PATH, intermediary=intermediary)
        return pb.PollReply.FromString(await calls.answer(request, address))

    begun = await poll("198.51.100.7")
    assert begun.messages[0].HasField("challenge")
    again = await poll("198.51.100.7", session=begun.session)
    assert (again.first, again.HasField("end")) == (0, False), "what is not confirmed comes again"
    moved = await poll("203.0.113.7", session=begun.session, received=1)
    assert moved.HasField("end")
    direct = await poll("198.51.100.7")
    moved = await poll("203.0.113.7", "elsewhere", session=direct.session, received=1)
    assert moved.HasField("end"), "nor behind a proxy, whose own network says nothing"
    unknown = await poll("203.0.113.7", session=begun.session)
    assert (unknown.HasField("end"), unknown.end.status) == (True, 0), "so that it begins again"


async def test_an_agent_that_erases_itself_is_forgotten(lean: LeanAgent) -> None:
    """An agent that erases itself is forgotten, and its key is refused."""
    fleet = lean.server.fleet
    async with lean.running():
        await lean.agent.deliver()
        lean.server.intake.directory.flush_sightings()
        (known,) = fleet.list_agents()
        assert known.version
        lean.agent.uplink.leave("erase")
        await lean.server.wait_rows(RowKind.GOODBYE)
    lean.server.intake.directory.flush_sightings()
    (forgotten,) = fleet.list_agents()
    assert forgotten.revoked_s is not None
    assert (forgotten.version, forgotten.country, forgotten.asn) == ("", "ZZ", 0)
    assert forgotten.last_seen_s is None
    assert fleet.read_rows("SELECT * FROM admissions") == []
    assert fleet.read_rows("SELECT uses FROM invites") == [(0,)], "nobody else joins by it"
    assert lean.server.intake.directory.get(known.id) == forgotten
