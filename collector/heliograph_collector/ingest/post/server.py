"""The listener: how many calls at once, how long each, and who has to go when there are too many.

Whoever has been here longest goes: an honest call is over in a second, so those who came to hold
the door shut push out each other.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeAlias

from heliograph.http_envelope import Request, reply
from heliograph.v1 import intake_pb2 as pb
from heliograph_collector.ingest.post.connection import Call

AT_ONCE = 1_024  # calls; each holds a TLS state and what has come of a request
DEADLINE_S = 10.0  # of a call, from its first packet to its answer
BACKLOG = 512
_BUSY_S = 5
Accept: TypeAlias = Callable[[Request, str], Awaitable[pb.SubmitResponse]]


class PortTakenError(Exception):
    """Somebody listens there already, or the address is not this machine's."""


@asynccontextmanager
async def serving(
    accept: Accept,
    host: str,
    port: int,
    tls: Path,
    *,
    at_once: int = AT_ONCE,
    deadline_s: float = DEADLINE_S,
) -> AsyncIterator[int]:
    """Answers inside the block; yields the port. `tls` is a PEM file, key and certificate.

    Raises PortTakenError.
    """
    context, calls = _context(tls), _Calls(accept, at_once, deadline_s)
    try:
        server = await asyncio.get_running_loop().create_server(
            lambda: Call(context, calls.begun, calls.ended, calls.asked),
            host, port, backlog=BACKLOG, start_serving=False,
        )  # fmt: skip
    except OSError as error:
        raise PortTakenError(f"{host}:{port}") from error
    async with asyncio.TaskGroup() as calls.group:
        await server.start_serving()
        try:
            yield int(server.sockets[0].getsockname()[1])
        finally:
            server.close()
            calls.drop_all()


class _Calls:
    """Those that are open, oldest first."""

    def __init__(self, accept: Accept, at_once: int, deadline_s: float) -> None:
        self._accept, self._at_once, self._deadline_s = accept, at_once, deadline_s
        self.group: asyncio.TaskGroup  # of the answers under way
        self._open: dict[Call, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def begun(self, call: Call) -> None:
        if len(self._open) >= self._at_once:
            next(iter(self._open)).drop()
        loop = asyncio.get_running_loop()
        self._open[call] = loop.call_later(self._deadline_s, call.drop)

    def ended(self, call: Call) -> None:
        alarm = self._open.pop(call, None)
        if alarm is not None:
            alarm.cancel()

    def asked(self, call: Call, request: Request) -> None:
        task = self.group.create_task(self._answer(call, request))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def drop_all(self) -> None:
        for call in list(self._open):
            call.drop()
        for task in self._tasks:
            task.cancel()

    async def _answer(self, call: Call, request: Request) -> None:
        way = ",".join(filter(None, (request.forwarded, call.peer)))
        try:
            async with asyncio.timeout(self._deadline_s):
                response = await self._accept(request, way)
        except TimeoutError:
            later = pb.Receipt(status=pb.STATUS_RETRY, retry_after_s=_BUSY_S)
            response = pb.SubmitResponse(receipt=later)
        call.answer(reply(response))


def _context(tls: Path) -> ssl.SSLContext:
    """Any name in the ClientHello is welcome: it is the key that agents look at."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0  # nobody comes back to one, and each is a packet more
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(tls)
    return context
