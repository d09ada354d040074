"""HTTPS server for agents without a gRPC session: TLS 1.3, one POST, one answer.

An envelope takes a whole connection, and so does a request to enroll. A session's polls follow
each other on one connection; once its agent has proved itself, that connection counts for the
session, whose number the collector limits, and not for its network.

A new connection beyond the limit closes the oldest of the network that holds most. An honest
request ends within a second, so attackers who hold connections open displace each other. A known
agent whose head has arrived counts by its key, so that nobody in its network displaces it.

Nothing that a peer sends holds the event loop: the work of a connection is bounded by its bytes
(`RequestReader`), its bytes and its records by limits, and after PIECES_PER_TURN records the loop
has its turn. Work that brings no envelope is charged to the peer's network (`wasted_work`).
"""

import asyncio
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Protocol, cast

from heliograph.http_envelope import (
    MAX_BODY,
    MAX_HEAD,
    MAX_PIECES,
    PATH,
    POLL_S,
    SESSION_PATH,
    EnvelopeRequest,
    RequestReader,
    RequestRefusedError,
    format_message,
    format_refusal,
    format_reply,
)
from heliograph.units import SECOND_US
from heliograph.upload import ANSWER_S, REQUEST_S
from heliograph.v1 import intake_pb2 as pb
from heliograph_collector.ingest.post_responders import (
    CallResponder,
    RequestResponder,
    SenderFinder,
)
from heliograph_collector.ingest.receiver import BUSY_RETRY_S
from heliograph_collector.ingest.wasted_work import ConnectionWork, WastedWork, network_of
from heliograph_collector.model.errors import PortTakenError

# encrypted bytes; an honest request stays far below
MAX_RECEIVED_BYTES = MAX_BODY + MAX_HEAD + 32_768
_READ_BYTES = 16_384  # one TLS record
MAX_SEGMENTS = 4 * MAX_PIECES  # calls of data_received; links with small packets cut finely
PIECES_PER_TURN = 8  # records handled at once: at most 128 KiB, well below a millisecond


class ConnectionObserver(Protocol):
    """Counts the connections, and answers their requests."""

    def on_sender(self, connection: "PostConnection", header: str) -> None:
        """Learn who sends, by the value of SENDER_HEADER."""

    def on_begin(self, connection: "PostConnection") -> None: ...
    def on_end(self, connection: "PostConnection") -> None: ...
    def on_request(self, connection: "PostConnection", request: EnvelopeRequest) -> None: ...


class PostConnection(asyncio.Protocol):
    """Protocol that reads one request, passes it to its pool, and answers later."""

    def __init__(self, context: ssl.SSLContext, pool: ConnectionObserver) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._ssl = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._pool = pool
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)  # set on connection
        self._has_handshake = self._is_done = self._has_sender = False
        self._is_clogged = False  # its peer does not read
        self._reader = RequestReader()
        self._received_bytes = 0
        self._segments = 0
        self.open_polls = self._polls = 0  # whose replies are due; all of this connection
        self.work = ConnectionWork()
        self.is_useful = False  # it brought an envelope
        self.session = b""  # the name of the proven session that it carries

    @property
    def peer(self) -> str:
        address = self._transport.get_extra_info("peername")
        return str(address[0]) if address else ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._pool.on_begin(self)

    def data_received(self, data: bytes) -> None:
        self._received_bytes += len(data)
        self._segments += 1
        if self._segments == 1:
            self.work.add_handshake()
        self.work.add_piece(len(data))
        if (
            self._is_done
            or self._received_bytes > MAX_RECEIVED_BYTES
            or self._segments > MAX_SEGMENTS
        ):
            self.drop()
            return
        self._incoming.write(data)
        self._take_turn()

    def _take_turn(self) -> None:
        """Process some records; the others wait for the next turn of the event loop."""
        try:
            self._process_input()
        except ssl.SSLWantReadError:
            self._flush()
        except ssl.SSLError:
            self._flush()  # sends the TLS alert
            self.drop()
        except RequestRefusedError as refused:
            self.answer(format_refusal(refused.status))
        else:
            if not self._is_done:
                self._transport.pause_reading()
                asyncio.get_running_loop().call_soon(self._resume)

    def _resume(self) -> None:
        if not (self._is_done or self._is_clogged):
            self._transport.resume_reading()
            self._take_turn()

    def pause_writing(self) -> None:
        """Read no more polls while replies wait to be sent.

        A small poll may ask for a large plan again.
        """
        self._is_clogged = True
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._is_clogged = False
        self._resume()

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_done = True
        self._pool.on_end(self)

    def answer_poll(self, reply: bytes) -> None:
        """Send the reply to a poll; the connection waits for the next one."""
        self.open_polls -= 1
        if not self._transport.is_closing():
            self._ssl.write(reply)
            self._flush()

    def answer(self, reply: bytes) -> None:
        """Send the reply and close the connection after it."""
        if self._transport.is_closing():
            return
        self._is_done = True
        self._ssl.write(reply)
        with suppress(ssl.SSLError):
            self._ssl.unwrap()  # sends our close_notify and does not wait for theirs
        self._flush()
        self._transport.close()

    def drop(self) -> None:
        self._is_done = True
        self._transport.abort()

    def _process_input(self) -> None:
        """Process input. Raises RequestRefusedError or SSLError, also for missing input."""
        if not self._has_handshake:
            self._ssl.do_handshake()
            self._has_handshake = True
            self._flush()
        for _ in range(PIECES_PER_TURN):
            data = self._ssl.read(_READ_BYTES)
            if not data:
                self.drop()  # the end came before the request was complete
                return
            self.work.add_piece(len(data))
            request = self._take_polls(self._reader.feed_data(data))
            if self._reader.sender and not self._has_sender:
                self._has_sender = True
                self._pool.on_sender(self, self._reader.sender)
            if request is not None:
                self._is_done = True
                self._transport.pause_reading()
                self._pool.on_request(self, request)
                return

    def _take_polls(self, request: EnvelopeRequest | None) -> EnvelopeRequest | None:
        """Pass polls on, and return a request of another kind, the last of the connection."""
        while request is not None and request.path == SESSION_PATH:
            self.open_polls += 1
            self._polls += 1
            if (self.open_polls if self.session else self._polls / 4) > MAX_OPEN_POLLS:
                raise RequestRefusedError(503)
            surplus = self._reader.surplus
            self._reader = RequestReader()
            self._received_bytes = self._segments = 0
            self._pool.on_request(self, request)
            request = self._reader.feed_data(surplus) if surplus else None
        return request

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._transport.write(self._outgoing.read())


MAX_CONNECTIONS = 1_024  # each holds a TLS state and a partial request
MAX_OPEN_POLLS = 4  # of one connection; four times as many in all before its session is proven
MAX_OF_ONE_KEY = 4  # connections of one known agent; it opens one at a time
BACKLOG = 512
_SLACK_S = 1.0  # for an answer to be read; assumed


@asynccontextmanager
async def serve_post(
    responder: RequestResponder,
    host: str,
    port: int,
    tls_file: Path,
    *,
    senders: SenderFinder | None = None,
    calls: CallResponder | None = None,
    max_connections: int = MAX_CONNECTIONS,
    deadline_s: float = REQUEST_S,
) -> AsyncIterator[int]:
    """Serve POST and yield the port; `tls_file` is PEM. Raises PortTakenError.

    Without `senders` all connections have a share of their network; without `calls` only envelopes
    are taken.
    """
    context = _build_tls_context(tls_file)
    pool = _ConnectionPool(responder, senders, calls, max_connections, deadline_s)
    try:
        server = await asyncio.get_running_loop().create_server(
            partial(PostConnection, context, pool),
            host,
            port,
            backlog=BACKLOG,
            start_serving=False,
        )
    except OSError as error:
        raise PortTakenError(f"{host}:{port}") from error
    async with asyncio.TaskGroup() as pool.group:
        await server.start_serving()
        try:
            yield int(server.sockets[0].getsockname()[1])
        finally:
            server.close()
            pool.drop_all_connections()


class _ConnectionPool:
    """Open connections, oldest first."""

    def __init__(
        self,
        responder: RequestResponder,
        senders: SenderFinder | None,
        calls: CallResponder | None,
        max_connections: int,
        deadline_s: float,
    ) -> None:
        self._responder = responder
        self._sender_finder = senders
        self._calls = calls
        self._sessions: dict[bytes, PostConnection] = {}  # the connection of each proven session
        self._max_connections = max_connections
        self._deadline_s = deadline_s
        self.group: asyncio.TaskGroup  # of running answers
        self._timers: dict[PostConnection, asyncio.TimerHandle] = {}
        self._networks: dict[PostConnection, str] = {}  # oldest first; never logged
        self._senders: dict[PostConnection, str] = {}  # known agents, which are in no network
        self._wasted_work = WastedWork(_monotonic_us())
        self._tasks: set[asyncio.Task[None]] = set()

    def on_begin(self, connection: PostConnection) -> None:
        network = network_of(connection.peer)
        if not self._wasted_work.admits(network, _monotonic_us()):
            connection.drop()
            return
        if len(self._networks) >= self._max_connections:
            self._drop_oldest_of_largest(self._networks)
        self._networks[connection] = network
        self._start_timer(connection, self._deadline_s)

    def on_sender(self, connection: PostConnection, header: str) -> None:
        """Let a known agent leave the share of its network."""
        sender = self._sender_finder.find(header) if self._sender_finder else None
        if sender is None or connection not in self._networks:
            return
        name = sender.id.hex()
        own = [c for c, other in self._senders.items() if other == name]
        if len(own) >= MAX_OF_ONE_KEY:
            self._drop(own[0])
        if len(self._senders) >= self._max_connections:
            self._drop_oldest_of_largest(self._senders)
        del self._networks[connection]
        self._senders[connection] = name

    def _drop_oldest_of_largest(self, names: dict[PostConnection, str]) -> None:
        ((largest, _),) = Counter(names.values()).most_common(1)
        self._drop(next(c for c, name in names.items() if name == largest))

    def _drop(self, connection: PostConnection) -> None:
        self.on_end(connection)
        connection.drop()

    def on_end(self, connection: PostConnection) -> None:
        timer = self._timers.pop(connection, None)
        if timer is None:
            return
        timer.cancel()
        self._senders.pop(connection, None)
        if connection.session and self._sessions.get(connection.session) is connection:
            del self._sessions[connection.session]
        network = self._networks.pop(connection, None)
        if network is not None and not connection.is_useful:
            self._wasted_work.charge(network, connection.work, _monotonic_us())

    def _start_timer(self, connection: PostConnection, seconds: float) -> None:
        timer = asyncio.get_running_loop().call_later(seconds, connection.drop)
        self._timers[connection] = timer

    def on_request(self, connection: PostConnection, request: EnvelopeRequest) -> None:
        if request.path != PATH and self._calls is None:
            raise RequestRefusedError(404)
        self._timers[connection].cancel()
        is_poll = request.path == SESSION_PATH
        self._start_timer(connection, POLL_S + REQUEST_S if is_poll else ANSWER_S + _SLACK_S)
        answer = self._answer_request if request.path == PATH else self._answer_call
        task = self.group.create_task(answer(connection, request))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def drop_all_connections(self) -> None:
        for connection in list(self._timers):
            connection.drop()
        for task in self._tasks:
            task.cancel()

    async def _answer_call(self, connection: PostConnection, request: EnvelopeRequest) -> None:
        if self._calls is None:
            return
        is_poll = request.path == SESSION_PATH
        if is_poll:
            self._seat_session(connection, self._calls.find_name(request))
        address_chain = ",".join(filter(None, (request.forwarded, connection.peer)))
        reply = await self._calls.answer(request, address_chain)
        if not is_poll:
            connection.is_useful = pb.EnrolReply.FromString(reply).HasField("response")
        # After its session a connection is in no share any more, so it must not stay.
        has_ended = bool(connection.session) and not self._calls.find_name(request)
        answer = connection.answer_poll if is_poll and not has_ended else connection.answer
        answer(format_message(reply))

    def _seat_session(self, connection: PostConnection, name: bytes) -> None:
        """Let a proven session leave its network's share; its newest connection counts."""
        if not name or connection.session == name:
            return
        if connection.session or connection not in self._timers:
            connection.drop()  # one connection, one session
            return
        connection.session = name
        connection.is_useful = True
        self._networks.pop(connection, None)
        if (older := self._sessions.get(name)) is not None:
            self._drop(older)
        self._sessions[name] = connection

    async def _answer_request(self, connection: PostConnection, request: EnvelopeRequest) -> None:
        address_chain = ",".join(filter(None, (request.forwarded, connection.peer)))
        try:
            async with asyncio.timeout(ANSWER_S):
                response = await self._responder.respond(request, address_chain)
        except TimeoutError:
            retry_receipt = pb.Receipt(status=pb.STATUS_RETRY, retry_after_s=BUSY_RETRY_S)
            response = pb.SubmitResponse(receipt=retry_receipt)
        connection.is_useful = response.receipt.status != pb.STATUS_REJECTED
        connection.answer(format_reply(response))


def _monotonic_us() -> int:
    return round(asyncio.get_running_loop().time() * SECOND_US)


def _build_tls_context(tls_file: Path) -> ssl.SSLContext:
    """Build a context that accepts any server name, because agents pin the key."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0  # no agent resumes a session, and each ticket costs a packet
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(tls_file)
    return context
