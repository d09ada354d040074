"""Start and configure the ingest process for `serve`, and replace a lost one.

Theory of operation. A process is *starting* until it reports that it holds the journal, *waiting*
until `listen` confirms that keys and plan are there, and *listening* from then on. One that ends,
or sends bytes that are no message, is *lost*: its agents connect again to the next one, which gets
the same ports, and send again what was not acknowledged. The journal has the start of each, so that
the detectors take the time between for a fault of ours, and for no silence of agents.
"""

import asyncio
import logging
import random
import socket
import sys
from contextlib import suppress
from typing import Protocol, TypeVar

import msgspec

from heliograph.address import split_endpoint
from heliograph.backoff import Backoff
from heliograph_collector.app.ingest_link import IngestLink, LinkLostError, open_link
from heliograph_collector.app.ingest_messages import (
    IngestMessage,
    IngestSetup,
    Listen,
    Listening,
    Opened,
    Refused,
)
from heliograph_collector.app.listeners import ListenerPorts
from heliograph_collector.config.errors import CannotServeError

START_S = 120.0  # of a new process, until it holds the journal, and again until it listens
STOP_S = 1.5  # `serve` stops within two seconds; gRPC gives its calls 0.7
# Between starts that failed in a row, as of a process that is killed before it listens. No agent is
# heard meanwhile, and a start takes a second of CPU; assumed.
_RESTARTS = Backoff(0.5, 5.0)

_Reply = TypeVar("_Reply", Opened, Listening)

_LOG = logging.getLogger("heliograph.intake")


class IngestObserver(Protocol):
    """Receiver of what the process sends. Implemented by RemoteIngest."""

    async def take(self, message: IngestMessage) -> None: ...
    async def on_lost(self) -> None: ...


class IngestSupervisor:
    """Starts one ingest process, keeps one running, and ends it."""

    def __init__(self, setup: IngestSetup, rng: random.Random) -> None:
        self._setup = setup
        self._rng = rng
        self._process: asyncio.subprocess.Process | None = None
        self._link: IngestLink | None = None
        self._is_listening = False

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    async def start(self) -> None:
        """Start a process, which then holds the journal. Raises CannotServeError."""
        parent_socket, child_socket = socket.socketpair()
        with child_socket:
            try:
                self._process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "heliograph_collector.app.ingest_process"),
                    str(child_socket.fileno()),
                    stdin=asyncio.subprocess.DEVNULL,
                    pass_fds=(child_socket.fileno(),),
                )
            except OSError as error:
                parent_socket.close()
                raise CannotServeError(f"No ingest process can be started: {error}.") from error
        self._link = await open_link(parent_socket)
        await self._exchange(self._setup, Opened)

    async def listen(self) -> ListenerPorts:
        """Let the process open its entrances. Raises CannotServeError."""
        reply = await self._exchange(Listen(), Listening)
        ports = ListenerPorts(grpc=reply.grpc, post=reply.post, dns=reply.dns)
        self._setup = msgspec.structs.replace(
            self._setup,
            grpc=_fix_port(self._setup.grpc, ports.grpc),
            post=_fix_port(self._setup.post, ports.post),
            dns=_fix_port(self._setup.dns, ports.dns),
        )
        self._is_listening = True
        return ports

    def offer(self, message: IngestMessage) -> bool:
        """Send at once; return False if the process is not there, or does not read."""
        return self._is_listening and self._link is not None and self._link.offer(message)

    def problems(self) -> list[str]:
        """Return a sentence while no process listens."""
        return [] if self._is_listening else ["Ingest does not listen; it is being started again."]

    async def run(self, observer: IngestObserver) -> None:
        """Pass on what the process sends, and start another when it ends; never return."""
        while True:
            lost = await self._pass_on(observer)
            self._is_listening = False
            await observer.on_lost()
            await self.stop()
            _LOG.warning("The ingest process %s is lost (%s).", self.pid, self._describe_end(lost))
            await self._restart()

    async def _pass_on(self, observer: IngestObserver) -> Exception:
        """Pass on messages until the process is lost; return why it is."""
        try:
            while self._link is not None:
                await observer.take(await self._link.receive())
        except LinkLostError as error:
            return error
        return LinkLostError("it was not started")

    async def stop(self) -> None:
        """Close the stream, at which the process ends, and kill it if it does not."""
        self._is_listening = False
        if self._link is not None:
            self._link.close()
        if self._process is None:
            return
        try:
            async with asyncio.timeout(STOP_S):
                await self._process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    def _describe_end(self, error: Exception) -> str:
        """Describe a stopped process's exit status, negative by a signal, or its error."""
        status = None if self._process is None else self._process.returncode
        return f"status {status}" if status else str(error) or "it is late"

    async def _restart(self) -> None:
        failures = 0
        while True:
            if failures:
                await self.stop()
                await asyncio.sleep(_RESTARTS.draw_s(failures, self._rng))
            try:
                await self.start()
                await self.listen()
            except CannotServeError as error:
                failures += 1
                _LOG.error("Ingest cannot be started again: %s", error)
            else:
                _LOG.info("Ingest listens again.")
                return

    async def _exchange(self, message: IngestMessage, reply_type: type[_Reply]) -> _Reply:
        """Send a message and return its reply. Raises CannotServeError."""
        link = self._link
        if link is None:
            raise CannotServeError("The ingest process was not started.")
        try:
            async with asyncio.timeout(START_S):
                await link.send(message)
                reply = await link.receive()
        except (TimeoutError, LinkLostError) as error:
            await self.stop()
            cause = self._describe_end(error)
            raise CannotServeError(f"The ingest process did not start ({cause}).") from error
        if isinstance(reply, Refused):
            raise CannotServeError(reply.sentence)
        if not isinstance(reply, reply_type):
            raise CannotServeError(f"The ingest process answered with {type(reply).__name__}.")
        return reply


def _fix_port(endpoint: str, port: int) -> str:
    """Return the endpoint with the port that it got, for the next process."""
    if not endpoint:
        return ""
    host = split_endpoint(endpoint)[0]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
