"""Run a host of a cluster that only judges: `serve --roles judge`.

Theory of operation. The host has a journal on servers, and offers judge processes to the collector
that leads (`judge_role`). It starts one when a leader assigns it to itself, gives it the secret of
the pseudonyms from its own keys, and then passes bytes between the two without reading them. It
holds no journal, no store and no listener, and decides nothing. A later assignment ends the process
of the earlier one, so each leader gets a process that knows only what this leader sends.
"""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from typing import Protocol

from heliograph.plan import Service
from heliograph_collector.app.cluster_messages import (
    OFFER,
    PART_BYTES,
    WORK,
    Assign,
    Assignment,
    JudgeOffer,
    JudgeWork,
    MessageError,
    ReadBytes,
    WorkReply,
    WriteBytes,
    decode_work,
    encode,
    pack_part,
    unpack_part,
)
from heliograph_collector.app.explained_errors import explain_errors
from heliograph_collector.app.fleet_sharing import FleetFollower, check_key_files
from heliograph_collector.app.judge_messages import VERSION, JudgeSetup
from heliograph_collector.app.worker_count import choose_worker_count
from heliograph_collector.app.worker_process import WorkerLostError, start_stream
from heliograph_collector.config.endpoint_file import EndpointFile
from heliograph_collector.config.journal_settings import JournalSettings
from heliograph_collector.config.roles import JUDGE
from heliograph_collector.config.settings import Config
from heliograph_collector.fleet import Fleet, KeysError, open_keyring
from heliograph_collector.store.journal.journal import JournalError
from heliograph_collector.store.journal.opening import open_to_judge

OFFER_S = 1.0  # assumed; a leader takes none that is older than five (judge_role.FRESH_S)
HOLD_S = 1.0  # of a question for bytes that are not there yet
WRITE_S = 2.0  # a process reads at once, unless it hangs
log = logging.getLogger("heliograph.judge")


class OfferBus(Protocol):
    """Messages by the servers. Implemented by jetstream.bus.Bus."""

    async def publish(self, topic: str, content: bytes) -> bool: ...
    def answer(
        self, topic: str, handler: Callable[[bytes], Awaitable[bytes]]
    ) -> AbstractAsyncContextManager[None]: ...


class OfferedProcess(Protocol):
    """A judge process that was started. Implemented by worker_process.ProcessStream."""

    async def write(self, content: bytes) -> None: ...
    async def read(self, limit: int) -> bytes: ...
    async def stop(self) -> None: ...


class ProcessStarter(Protocol):
    """Starter of a judge process. Raises WorkerLostError."""

    async def __call__(self, services: Sequence[Service], /) -> OfferedProcess: ...


class JudgeSlot:
    """One judge process, for the collector that leads."""

    def __init__(self, name: str, bus: OfferBus, start: ProcessStarter) -> None:
        self._name = name
        self._bus = bus
        self._start = start
        self._held_by = Assignment()
        self._process: OfferedProcess | None = None  # of the assignment that holds it
        self._is_ended = False
        self._is_closed = False  # no process is started any more
        self._settled = asyncio.Event()  # the process has started, or could not
        self._changing = asyncio.Lock()  # one process ends before the next one starts
        self._written_count = 0
        self._read_count = 0
        self._unsent = bytearray()  # what the process wrote, and nobody has got yet
        self._last_read = b""

    async def run(self) -> None:
        """Offer the process each OFFER_S, and serve who holds it; until cancelled."""
        try:
            async with asyncio.TaskGroup() as group, self._answering(group):
                await self._offer()
        finally:
            if self._process is not None:
                await self._process.stop()

    async def _offer(self) -> None:
        try:
            while True:
                offer = JudgeOffer(version=VERSION, held_by=self._held_by)
                await self._bus.publish(f"{OFFER}.{self._name}", encode(offer))
                await asyncio.sleep(OFFER_S)
        finally:
            self._is_closed = True  # a message that came before may be answered after this

    def _answering(self, group: asyncio.TaskGroup) -> AbstractAsyncContextManager[None]:
        return self._bus.answer(f"{WORK}.{self._name}", partial(self.answer, group))

    async def answer(self, group: asyncio.TaskGroup, content: bytes) -> bytes:
        """Answer a message of a leader; `group` runs the start of a process."""
        try:
            request = decode_work(content)
        except MessageError as error:
            log.warning("A message to a judge process is not understood: %s", error)
            return encode(WorkReply(is_held=False))
        is_later = request.assignment > self._held_by and not self._is_closed
        if isinstance(request, Assign) and is_later:
            self._held_by = request.assignment
            self._is_ended = False
            self._settled.clear()
            earlier = self._process
            self._process = None
            group.create_task(self._replace(earlier, request))
        if request.assignment != self._held_by:
            return encode(WorkReply(is_held=False))
        try:
            return encode(await self._serve(request))
        except (OSError, EOFError, MessageError):
            self._is_ended = True
            return encode(WorkReply(is_ended=True))

    async def _replace(self, earlier: OfferedProcess | None, request: Assign) -> None:
        """End the process of an earlier assignment, and start one for this."""
        async with self._changing:
            if earlier is not None:
                await earlier.stop()
            if request.assignment != self._held_by:
                return
            try:
                process = await self._start(request.services)
            except WorkerLostError as error:
                log.error("A judge process could not start (%s).", error)
                process = None
            if request.assignment != self._held_by:  # another came meanwhile
                if process is not None:
                    await process.stop()
                return
            self._process = process
            self._is_ended = process is None
            self._written_count = 0
            self._read_count = 0
            self._unsent.clear()
            self._settled.set()

    async def _serve(self, request: JudgeWork) -> WorkReply:
        """Do what who holds the process asks for. Raises OSError, EOFError."""
        with suppress(TimeoutError):
            async with asyncio.timeout(HOLD_S):
                await self._settled.wait()
        if self._process is None or self._is_ended:
            return WorkReply(is_ended=self._is_ended, is_ready=False)
        if isinstance(request, WriteBytes):
            await self._write(self._process, request)
        elif isinstance(request, ReadBytes):
            return WorkReply(content=await self._read(self._process, request))
        return WorkReply()

    async def _write(self, process: OfferedProcess, request: WriteBytes) -> None:
        """Pass on bytes, unless they were passed on before. Raises OSError, EOFError."""
        if request.part == self._written_count:
            async with asyncio.timeout(WRITE_S):
                await process.write(unpack_part(request.content))
            self._written_count += 1
        elif request.part > self._written_count:
            raise EOFError("a part is missing")

    async def _read(self, process: OfferedProcess, request: ReadBytes) -> bytes:
        """Return the process's output, or the part that was returned before.

        Raises OSError, EOFError.
        """
        if request.part < self._read_count:
            return self._last_read
        least_bytes = min(request.wanted, PART_BYTES)
        with suppress(TimeoutError):
            async with asyncio.timeout(HOLD_S):
                while len(self._unsent) < least_bytes:
                    content = await process.read(PART_BYTES - len(self._unsent))
                    if not content:
                        raise EOFError("the process ended")
                    self._unsent += content
        if len(self._unsent) < least_bytes:
            return b""
        self._last_read = pack_part(bytes(self._unsent))
        self._unsent.clear()
        self._read_count += 1
        return self._last_read


async def _start_process(data: str, secret: bytes, services: Sequence[Service]) -> OfferedProcess:
    """Start a judge process with this host's keys and lists. Raises WorkerLostError."""
    return await start_stream(
        JudgeSetup(version=VERSION, data=data, secret=secret, services=list(services))
    )


@asynccontextmanager
async def run_judge_host(config: Config, servers: JournalSettings) -> AsyncIterator[None]:
    """Run a host that only judges inside the block. Raises CannotServeError."""
    check_key_files(config.data)
    async with AsyncExitStack() as stack:
        with explain_errors(JournalError):
            side = await stack.enter_async_context(open_to_judge(servers))
        with explain_errors(KeysError, data=config.data):
            keyring = open_keyring(config.data, ())
            fleet = Fleet(config.data)  # the lists of fingerprints
            stack.callback(fleet.close)
        follower = FleetFollower(fleet, side.table)
        await follower.load_shared(keyring)
        endpoint_file = EndpointFile(config)
        stack.callback(endpoint_file.remove)
        start = partial(_start_process, str(config.data), keyring.secret)
        host = secrets.token_hex(4)  # of this run alone
        count = config.judge_workers or max(1, choose_worker_count(None))
        slots = [JudgeSlot(f"{host}-{number}", side.bus, start) for number in range(count)]
        group = await stack.enter_async_context(asyncio.TaskGroup())
        for run in (follower.follow, *(slot.run for slot in slots)):
            stack.callback(group.create_task(run()).cancel)
        endpoint_file.publish(roles=JUDGE)
        log.info("Judge processes offered to the collector that leads: %s.", count)
        yield
