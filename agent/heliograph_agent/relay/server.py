"""Serve as a relay for volunteers without a connection to the collector.

A relay answers one request, `POST /v1/envelopes`, with one content: an envelope sealed to its own
collector, in one of the defined sizes. It opens no connection that a peer names, so it is no open
proxy. It can read no envelope, and keeps no record of its peers.
"""

import asyncio
import logging
import secrets
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol, TypeVar

from google.protobuf.message import DecodeError

from heliograph import envelope, http_envelope
from heliograph.keys import key_id
from heliograph.plan import Carrier, Entrance
from heliograph.upload import upload_s
from heliograph.v1 import envelope_pb2, intake_pb2
from heliograph_agent.net.trace import StepTrace
from heliograph_agent.relay.key import make_tls_context
from heliograph_agent.relay.queue import BUSY_S, FAILED_S, QueueEntry, RelayQueue
from heliograph_agent.state import Collector, State
from heliograph_agent.uplink.dial_context import DialContext
from heliograph_agent.uplink.single_post import EnvelopeDelivery, SinglePost
from heliograph_agent.uplink.transports import (
    EntranceGuard,
    Transport,
    UplinkError,
    list_transports,
)

CHUNK = 16_384  # the size of a TLS record
_T = TypeVar("_T")


class TlsServerStream:
    """Run the server side of one TLS connection; the caller limits every wait."""

    def __init__(
        self, context: ssl.SSLContext, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._ssl = context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    async def handshake(self) -> None:
        """Do the handshake. Raises OSError (SSLError is one), EOFError."""
        await self._run_step(self._ssl.do_handshake)

    async def read(self) -> bytes:
        """Read some bytes, b"" at a proper end. Raises as `handshake` does."""
        return await self._run_step(partial(self._ssl.read, CHUNK))

    async def write(self, data: bytes) -> None:
        """Write all bytes. Raises OSError."""
        self._ssl.write(data)
        self._flush()
        await self._writer.drain()

    async def _run_step(self, step: Callable[[], _T]) -> _T:
        while True:
            try:
                done = step()
            except ssl.SSLWantReadError:
                self._flush()
            except ssl.SSLError:
                self._flush()  # send the TLS alert
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


# connections: of all peers, and of one peer, which is a network
MAX_VERSION = 127  # of an envelope: one byte, so that agents of other versions pass and no data
MAX_CONNECTIONS = 32
MAX_PEER_CONNECTIONS = 8
# seconds: for a complete request, and for the collector's answer
READ_S = 8.0
WAIT_S = 8.0
# seconds for one transport: to connect, assumed, and to deliver the largest envelope
TRANSPORT_S = 15.0 + upload_s(http_envelope.MAX_BODY)
WORKERS = 4
log = logging.getLogger("heliograph.agent")


class RelayPolicy(EntranceGuard, Protocol):
    """Declare whose envelopes a relay carries, and where to."""

    @property
    def collector(self) -> Collector:
        """Return the present collector, because its keys may be replaced."""
        ...

    def list_planned(self) -> Sequence[Entrance]: ...


@dataclass(slots=True)
class Relay:
    """Serve as a relay; `run` returns only when cancelled.

    `run` raises StateError, or OSError when `listen` cannot be bound.
    """

    state: State
    policy: RelayPolicy
    dial_context: DialContext
    listen: tuple[str, int]
    bytes_per_day: int
    port: int = 0  # set once it listens
    ready_event: asyncio.Event = field(default_factory=asyncio.Event)  # it listens
    carried_count: int = 0  # envelopes that the collector signed for, in this run
    _last_transport: str = ""
    _sealing_key_ids: set[bytes] = field(default_factory=set)  # all keys in this run
    _tls: ssl.SSLContext = field(init=False)
    _queue: RelayQueue = field(init=False)
    _connections: dict[asyncio.StreamWriter, bytes] = field(default_factory=dict)  # oldest first

    def __post_init__(self) -> None:
        self._note_sealing_key()
        salt = secrets.token_bytes(16)
        self._queue = RelayQueue(self.dial_context.clock, salt, self.bytes_per_day)

    async def run(self) -> None:
        host, port = self.listen
        async with asyncio.TaskGroup() as group:
            connections: set[asyncio.Task[None]] = set()

            def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                connection = group.create_task(self._serve_connection(reader, writer))
                connections.add(connection)
                connection.add_done_callback(connections.discard)

            self._tls = make_tls_context(self.state, self.dial_context.clock)
            server = await asyncio.start_server(
                begin, host, port, limit=CHUNK, backlog=MAX_CONNECTIONS
            )
            self.port = int(server.sockets[0].getsockname()[1])
            for _ in range(WORKERS):
                group.create_task(self._run_worker())
            self.ready_event.set()
            log.info("sealed results of other volunteers are handed on")
            try:
                await asyncio.Event().wait()
            finally:
                server.close()

    async def _serve_connection(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        address = (writer.get_extra_info("peername") or ("",))[0]
        peer = self._queue.hash_peer(str(address))
        self._make_room(peer)
        self._connections[writer] = peer
        try:
            with suppress(OSError, EOFError, TimeoutError):
                tls_stream = TlsServerStream(self._tls, reader, writer)
                await tls_stream.write(await self._answer_request(tls_stream, peer))
        finally:
            self._connections.pop(writer, None)
            writer.close()

    def _make_room(self, peer: bytes) -> None:
        """Abort the oldest connection of this peer, or of the largest, at a limit."""
        writers: dict[bytes, list[asyncio.StreamWriter]] = {peer: []}
        for writer, owner in self._connections.items():
            writers.setdefault(owner, []).append(writer)
        largest = max(writers.values(), key=len)
        if len(writers[peer]) >= MAX_PEER_CONNECTIONS:
            self._abort(writers[peer][0])
        elif len(self._connections) >= MAX_CONNECTIONS:
            self._abort(largest[0])

    def _abort(self, writer: asyncio.StreamWriter) -> None:
        del self._connections[writer]
        writer.transport.abort()

    async def _answer_request(self, tls_stream: TlsServerStream, peer: bytes) -> bytes:
        """Read a request and return the answer. Raises OSError, EOFError, TimeoutError."""
        try:
            async with asyncio.timeout(READ_S):
                await tls_stream.handshake()
                request = await _read_request(tls_stream)
        except http_envelope.RequestRefusedError as refused:
            return http_envelope.format_refusal(refused.status)
        if not self._is_for_collector(request.envelope):
            return http_envelope.format_refusal(422)
        return http_envelope.format_reply(await self._submit(peer, request))

    def _note_sealing_key(self) -> None:
        """Remember the sealing key, because offline peers still seal to an earlier one."""
        self._sealing_key_ids.add(key_id(self.policy.collector.sealing_key))

    def _is_for_collector(self, raw: bytes) -> bool:
        """Return whether the header shows an envelope sealed to our collector."""
        try:
            message = envelope_pb2.Envelope.FromString(raw)
        except DecodeError:
            return False
        self._note_sealing_key()
        if message.key_id not in self._sealing_key_ids or message.version > MAX_VERSION:
            return False
        canonical = envelope_pb2.Envelope(
            version=message.version, key_id=message.key_id, sealed=message.sealed
        )
        return len(message.sealed) in envelope.SIZES and canonical.SerializeToString() == raw

    async def _submit(
        self, peer: bytes, request: http_envelope.EnvelopeRequest
    ) -> intake_pb2.SubmitResponse:
        post = SinglePost(request.envelope, request.plan, http_envelope.RELAY)
        entry = self._queue.enqueue(peer, post)
        if isinstance(entry, int):
            return _make_retry(entry)
        try:
            async with asyncio.timeout(WAIT_S):
                response = await asyncio.shield(entry.response)
        except TimeoutError:
            return _make_retry(BUSY_S)  # delivery continues; the answer is kept for a retry
        if response is None:
            return _make_retry(FAILED_S)
        self._queue.discard_response(entry)
        return response

    async def _run_worker(self) -> None:
        while True:
            entry = await self._queue.dequeue()
            response: intake_pb2.SubmitResponse | None = None
            try:
                response = await self._deliver(entry)
            finally:
                self._queue.complete(entry, response)
            self.carried_count += bool(response and response.receipts)

    async def _deliver(self, entry: QueueEntry) -> intake_pb2.SubmitResponse | None:
        """Deliver by the last transport that worked, else by another; None if none works."""
        for transport in self._list_transports():
            # Not reported, because this agent's uplink reports its own.
            trace = StepTrace(self.dial_context.clock)
            pin = self.policy.collector.pin
            delivery = EnvelopeDelivery(self.dial_context, transport, pin, trace)
            try:
                async with asyncio.timeout(TRANSPORT_S):
                    response = await delivery.deliver(entry.post)
            except (UplinkError, TimeoutError):
                continue
            self._last_transport = transport.name
            return response
        return None

    def _list_transports(self) -> list[Transport]:
        """List transports without relays, so that no envelope goes in circles."""
        planned = self.policy.list_planned()
        transports = list_transports(
            self.policy.collector.endpoint,
            [e for e in planned if e.carrier is not Carrier.RELAY],
            self.dial_context.proxy_use,
            self.policy,
        )
        last = [t for t in transports if t.name == self._last_transport]
        return last + [t for t in transports if t not in last]


async def _read_request(tls_stream: TlsServerStream) -> http_envelope.EnvelopeRequest:
    """Read one request. Raises RequestRefusedError, OSError, EOFError."""
    reader = http_envelope.RequestReader()
    while True:
        piece = await tls_stream.read()
        if not piece:
            raise EOFError
        request = reader.feed_data(piece)
        if request is not None:
            return replace(request, forwarded="", intermediary="")
        await asyncio.sleep(0)  # records that have arrived are read without a wait


def _make_retry(seconds: int) -> intake_pb2.SubmitResponse:
    receipt = intake_pb2.Receipt(status=intake_pb2.STATUS_RETRY, retry_after_s=seconds)
    return intake_pb2.SubmitResponse(receipt=receipt)
