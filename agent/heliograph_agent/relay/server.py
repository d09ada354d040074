"""A relay: this agent's own way out, lent to volunteers who have none. Off unless configured.

It answers one request, `POST /v1/envelopes`, and takes one thing: an envelope sealed to the very
collector that it serves itself, in one of the sizes that there are. It opens no connection that
anybody else names, so it is nobody's proxy; it can read nothing, and keeps no trace of who came.
"""

import asyncio
import logging
import secrets
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TypeVar

from google.protobuf.message import DecodeError

from heliograph import envelope, http_envelope
from heliograph.keys import key_id
from heliograph.plan import Carrier, Entrance
from heliograph.v1 import envelope_pb2, intake_pb2
from heliograph_agent.net.trace import Trace
from heliograph_agent.relay.key import context
from heliograph_agent.relay.queue import BUSY_S, FAILED_S, Cargo, Parcel
from heliograph_agent.state import Collector, State
from heliograph_agent.uplink.channel import DoorError
from heliograph_agent.uplink.dial_context import Ways
from heliograph_agent.uplink.single_post import Lone, hand_over
from heliograph_agent.uplink.transports import Rung, rungs

CHUNK = 16_384  # a record of TLS
_T = TypeVar("_T")


class Secured:
    """The server's side of one connection. Every wait is the caller's to bound."""

    def __init__(
        self, context: ssl.SSLContext, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._reader, self._writer = reader, writer
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._ssl = context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    async def shake_hands(self) -> None:
        """Raises OSError (of which SSLError is one), EOFError."""
        await self._until(self._ssl.do_handshake)

    async def read(self) -> bytes:
        """Some bytes; none at a proper end. Raises as `shake_hands`."""
        return await self._until(lambda: self._ssl.read(CHUNK))

    async def write(self, data: bytes) -> None:
        """Raises OSError."""
        self._ssl.write(data)
        self._flush()
        await self._writer.drain()

    async def _until(self, step: Callable[[], _T]) -> _T:
        while True:
            try:
                done = step()
            except ssl.SSLWantReadError:
                self._flush()
            except ssl.SSLError:
                self._flush()  # the alert
                raise
            else:
                self._flush()
                return done
            piece = await self._reader.read(CHUNK)
            if not piece:
                raise EOFError
            self._incoming.write(piece)

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._writer.write(self._outgoing.read())


AT_ONCE, PEER_AT_ONCE = 32, 8  # connections: of all peers, of one
READ_S, WAIT_S = 8.0, 8.0  # for a request to be whole; for the collector's word to come
RUNG_S = 30.0  # for one way, from the first step to the answer
WORKERS = 4
log = logging.getLogger("heliograph.uplink")


@dataclass(slots=True)
class Relay:
    """`run` never returns but by being cancelled; raises StateError, or OSError where `listen`
    cannot be had. `collector` is as it is served now: its keys may become others."""

    state: State
    collector: Callable[[], Collector]
    ways: Ways
    listen: tuple[str, int]
    bytes_per_day: int
    entrances: Callable[[], Sequence[Entrance]]
    guarded: Callable[[Entrance], bool] = lambda _: False  # as Rung has it
    port: int = 0  # once it answers
    carried: int = 0  # envelopes that the collector signed for, in this run
    _good: str = ""
    _sealed_to: set[bytes] = field(default_factory=set)  # ids of the keys that it had in this run
    _tls: ssl.SSLContext = field(init=False)
    _cargo: Cargo = field(init=False)
    _open: dict[asyncio.StreamWriter, bytes] = field(default_factory=dict)  # oldest first

    def __post_init__(self) -> None:
        self._served()
        salt = secrets.token_bytes(16)
        self._cargo = Cargo(self.ways.clock, salt, self.bytes_per_day)

    async def run(self, ready: Callable[[], None] = lambda: None) -> None:
        host, port = self.listen
        async with asyncio.TaskGroup() as group:
            calls: set[asyncio.Task[None]] = set()

            def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                call = group.create_task(self._call(reader, writer))
                calls.add(call)
                call.add_done_callback(calls.discard)

            self._tls = context(self.state, self.ways.clock)
            server = await asyncio.start_server(begin, host, port, limit=CHUNK, backlog=AT_ONCE)
            self.port = int(server.sockets[0].getsockname()[1])
            for _ in range(WORKERS):
                group.create_task(self._carry())
            ready()
            try:
                await asyncio.Event().wait()
            finally:
                server.close()

    async def _call(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address = (writer.get_extra_info("peername") or ("",))[0]
        peer = self._cargo.peer(str(address))
        self._make_room(peer)
        self._open[writer] = peer
        try:
            with suppress(OSError, EOFError, TimeoutError):
                line = Secured(self._tls, reader, writer)
                await line.write(await self._answer(line, peer))
        finally:
            self._open.pop(writer, None)
            writer.close()

    def _make_room(self, peer: bytes) -> None:
        """Who holds the door shut is pushed out by the next."""
        mine = [writer for writer, whose in self._open.items() if whose == peer]
        if len(mine) >= PEER_AT_ONCE:
            mine[0].transport.abort()
        elif len(self._open) >= AT_ONCE:
            next(iter(self._open)).transport.abort()

    async def _answer(self, line: Secured, peer: bytes) -> bytes:
        """Raises OSError, EOFError, TimeoutError."""
        try:
            async with asyncio.timeout(READ_S):
                await line.shake_hands()
                request = await _request(line)
        except http_envelope.RefusedError as refused:
            return http_envelope.refusal(refused.status)
        if not self._is_ours(request.envelope):
            return http_envelope.refusal(422)
        return http_envelope.reply(await self._handed_on(peer, request))

    def _served(self) -> Collector:
        """What was sealed to its earlier keys still comes from who was in the dark meanwhile."""
        collector = self.collector()
        self._sealed_to.add(key_id(collector.sealing_key))
        return collector

    def _is_ours(self, raw: bytes) -> bool:
        """Sealed to our collector, by all that can be seen from outside."""
        try:
            message = envelope_pb2.Envelope.FromString(raw)
        except DecodeError:
            return False
        self._served()
        if message.key_id not in self._sealed_to:
            return False
        mine = envelope_pb2.Envelope(
            version=envelope.VERSION, key_id=message.key_id, sealed=message.sealed
        )
        return len(message.sealed) in envelope.SIZES and mine.SerializeToString() == raw

    async def _handed_on(
        self, peer: bytes, request: http_envelope.Request
    ) -> intake_pb2.SubmitResponse:
        lone = Lone(request.envelope, request.plan, http_envelope.RELAY)
        parcel = self._cargo.offer(peer, lone)
        if isinstance(parcel, int):
            return _later(parcel)
        try:
            async with asyncio.timeout(WAIT_S):
                response = await asyncio.shield(parcel.answered)
        except TimeoutError:
            return _later(BUSY_S)  # it goes on; the answer waits for who asks again
        if response is None:
            return _later(FAILED_S)
        self._cargo.told(parcel)
        return response

    async def _carry(self) -> None:
        while True:
            parcel = await self._cargo.next()
            response: intake_pb2.SubmitResponse | None = None
            try:
                response = await self._deliver(parcel)
            finally:
                self._cargo.done(parcel, response)
            self.carried += bool(response and response.receipts)

    async def _deliver(self, parcel: Parcel) -> intake_pb2.SubmitResponse | None:
        """By the way that delivered last, then by each other; None when none is open."""
        for rung in self._rungs():
            trace = Trace(self.ways.clock)  # the own uplink tells how its ways are
            try:
                async with asyncio.timeout(RUNG_S):
                    response = await hand_over(
                        self.ways, rung, self.collector().pin, parcel.lone, trace
                    )
            except (DoorError, TimeoutError):
                continue
            self._good = rung.name
            return response
        return None

    def _rungs(self) -> list[Rung]:
        """Never another relay: what goes in circles arrives nowhere."""
        own = [e for e in self.entrances() if e.carrier is not Carrier.RELAY]
        known = rungs(self.collector().endpoint, own, self.ways.proxy_use, self.guarded)
        return sorted(known, key=lambda rung: rung.name != self._good)


async def _request(line: Secured) -> http_envelope.Request:
    """Raises RefusedError, OSError, EOFError."""
    received = bytearray()
    while True:
        piece = await line.read()
        if not piece:
            raise EOFError
        received += piece
        if len(received) > http_envelope.MAX_HEAD + http_envelope.MAX_BODY:
            raise http_envelope.RefusedError(413)
        request = http_envelope.read(bytes(received))
        if request is not None:
            return replace(request, forwarded="", place="")


def _later(seconds: int) -> intake_pb2.SubmitResponse:
    receipt = intake_pb2.Receipt(status=intake_pb2.STATUS_RETRY, retry_after_s=seconds)
    return intake_pb2.SubmitResponse(receipt=receipt)
