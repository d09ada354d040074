"""Judge the journal into the store, in this process and in others.

Theory of operation of judge processes on other hosts. A host (`judge_host`) offers its processes by
the servers, each second. The leader assigns one to itself, writes requests to it and reads the
replies, as it does with a process on its own machine. Only the leader reads the journal, decides
what a block is, and stores it. So no host can store anything, late or twice: an answer counts only
within the block that asks for it. An offered process is *free*, or *held* by an assignment. That of
a later leader takes it away, and the earlier leader is refused. A process that answers nothing for
LOST_S is lost, as one that was killed is; the leader judges its share of the block itself.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from prometheus_client import Gauge

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
    decode_offer,
    decode_work_reply,
    encode,
    pack_part,
    unpack_part,
)
from heliograph_collector.app.context import AppContext
from heliograph_collector.app.judge_messages import VERSION, JudgeSetup
from heliograph_collector.app.judge_workers import JudgeWorkers, WorkerSource
from heliograph_collector.app.worker_count import choose_worker_count
from heliograph_collector.app.worker_process import (
    START_S,
    LocalWorkers,
    WorkerLostError,
    WorkerProcess,
)
from heliograph_collector.control import Assessor
from heliograph_collector.fleet.signed_lists import SignedLists
from heliograph_collector.judge import judge
from heliograph_collector.judge.row_judge import RowJudge
from heliograph_collector.judge.writer import BlockListener, StoreWriter
from heliograph_collector.store.journal.journal import JournalBusyError
from heliograph_collector.store.pseudonyms import Pseudonyms
from heliograph_collector.store.store import Store

MOST_WORKERS = 32  # assumed; one of them takes up the results of all others
FRESH_S = 5.0  # of an offer; they come each second
TRY_S = 3.0  # of one question; a host holds it for a second at most
RETRY_S = 0.25  # assumed; a host that starts its link again is not asked in a loop
LOST_S = 5.0  # assumed; a host whose server was killed finds the next one in 1 to 3 s
_LOG = logging.getLogger("heliograph.judge")


class MessageBus(Protocol):
    """Messages by the servers. Implemented by jetstream.bus.Bus."""

    async def ask(self, topic: str, content: bytes, timeout_s: float) -> bytes:
        """Ask, and return the first answer. Raises JournalBusyError."""
        ...

    def listen(self, topic: str) -> AsyncIterator[tuple[str, bytes]]: ...


class RemoteStream:
    """Bytes to and from a judge process on another host."""

    def __init__(self, bus: MessageBus, name: str, assignment: Assignment) -> None:
        self.name = name
        self._bus = bus
        self._assignment = assignment
        self._written_count = 0
        self._read_count = 0
        self._unread = bytearray()
        self.is_ended = False

    async def assign(self, services: Sequence[Service]) -> None:
        """Wait until the process is ready. Raises OSError, EOFError, TimeoutError."""
        request = Assign(assignment=self._assignment, services=list(services))
        async with asyncio.timeout(START_S):
            while not (await self._ask(request)).is_ready:  # the host holds each question
                pass

    async def write(self, content: bytes) -> None:
        """Send bytes. Raises OSError, EOFError."""
        for start in range(0, len(content), PART_BYTES):
            part = content[start : start + PART_BYTES]
            await self._ask(
                WriteBytes(
                    assignment=self._assignment,
                    part=self._written_count,
                    content=pack_part(part),
                )
            )
            self._written_count += 1

    async def read_exactly(self, count: int) -> bytes:
        """Read that many bytes. Raises OSError, EOFError."""
        while (wanted := count - len(self._unread)) > 0:
            reply = await self._ask(
                ReadBytes(assignment=self._assignment, part=self._read_count, wanted=wanted)
            )
            if reply.content:
                self._read_count += 1
                self._unread += _unpack_reply(reply)
        content = bytes(self._unread[:count])
        del self._unread[:count]
        return content

    async def stop(self) -> None:
        self.kill()

    def kill(self) -> None:
        """Ask no more; the next assignment ends the process."""
        self.is_ended = True

    async def _ask(self, request: JudgeWork) -> WorkReply:
        """Ask until the host answers, for LOST_S at most. Raises OSError, EOFError."""
        content = encode(request)
        lost_at_s = asyncio.get_running_loop().time() + LOST_S
        while True:
            try:
                answer = await self._bus.ask(f"{WORK}.{self.name}", content, TRY_S)
            except JournalBusyError:
                if asyncio.get_running_loop().time() >= lost_at_s:
                    raise ConnectionError("its host does not answer") from None
                await asyncio.sleep(RETRY_S)
            else:
                return _check_reply(answer)


def _check_reply(content: bytes) -> WorkReply:
    """Decode a reply of the assigned process. Raises OSError, EOFError."""
    try:
        reply = decode_work_reply(content)
    except MessageError as error:
        raise ConnectionError(str(error)) from error
    if not reply.is_held:
        raise ConnectionError("another leader has it, or its host began again")
    if reply.is_ended:
        raise EOFError("it ended on its host")
    return reply


def _unpack_reply(reply: WorkReply) -> bytes:
    """Return the bytes of a reply. Raises OSError."""
    try:
        return unpack_part(reply.content)
    except MessageError as error:
        raise ConnectionError(str(error)) from error


class RemoteWorkers:
    """Judge processes that other hosts offer to the leader of a term.

    The servers count terms.
    """

    def __init__(self, bus: MessageBus, term: int, services: Sequence[Service]) -> None:
        self._bus = bus
        self._term = term
        self._services = services
        self._count = 0  # of assignments
        self._heard: dict[str, tuple[float, JudgeOffer]] = {}
        self._streams: dict[str, RemoteStream] = {}
        self._other_versions: set[str] = set()

    async def run(self) -> None:
        """Listen to offers until cancelled."""
        async for name, content in self._bus.listen(f"{OFFER}.*"):
            try:
                self.note_offer(name, decode_offer(content))
            except MessageError as error:
                _LOG.debug("An offer to judge is not understood: %s", error)

    def note_offer(self, name: str, offer: JudgeOffer) -> None:
        """Take note of an offer; of another version only a line of the log is made."""
        if offer.version == VERSION:
            self._heard[name] = (asyncio.get_running_loop().time(), offer)
        elif offer.version not in self._other_versions:
            self._other_versions.add(offer.version)
            _LOG.warning(
                "A host offers to judge with version %s, and the collector that leads is %s: it "
                "stays idle until both are the same.",
                *(offer.version, VERSION),
            )

    def has_room(self, count: int) -> bool:
        """Return whether another may be started beside `count` that there are."""
        return count < MOST_WORKERS and self._find_offer() is not None

    async def start(self) -> WorkerProcess:
        """Start one. Raises WorkerLostError."""
        name = self._find_offer()
        if name is None:
            raise WorkerLostError("no host offers one any more")
        self._count += 1
        stream = RemoteStream(self._bus, name, Assignment(self._term, self._count))
        del self._heard[name]  # it must be offered again before it is asked again
        try:
            await stream.assign(self._services)
        except (OSError, EOFError, TimeoutError) as error:
            raise WorkerLostError(f"{name}: {str(error) or type(error).__name__}") from error
        self._streams[name] = stream
        return WorkerProcess(stream)

    def _find_offer(self) -> str | None:
        """Find a process that is offered, and is none of ours or of a later leader."""
        now_s = asyncio.get_running_loop().time()
        for name, (heard_s, offer) in self._heard.items():
            stream = self._streams.get(name)
            is_ours = stream is not None and not stream.is_ended
            if not is_ours and now_s - heard_s < FRESH_S and offer.held_by.term <= self._term:
                return name
        return None


def build_judge(context: AppContext, elsewhere: Sequence[WorkerSource] = ()) -> JudgeWorkers:
    """Build the judge of journal rows; its `run` starts processes for it.

    Args:
        elsewhere: Sources of processes that are better than this machine.
    """
    services = context.services.services
    secret = context.keyring.secret
    setup = JudgeSetup(
        version=VERSION,
        data=str(context.config.data),
        secret=secret,
        services=list(services),
    )
    local = LocalWorkers(setup, choose_worker_count(context.config.judge_workers))
    return JudgeWorkers(
        Assessor(judge, services),
        (*elsewhere, local),
        context.journal,
        SignedLists(context.config.data),
        pseudonyms=Pseudonyms(secret),
        clock=context.clock,
        rng=context.rng,
        registry=context.registry,
    )


def build_writer(
    context: AppContext, store: Store, judge: RowJudge, listeners: Sequence[BlockListener]
) -> StoreWriter:
    """Build the judge role, which judges the journal into the store.

    Stored blocks are passed on to the listeners.
    """
    writer = StoreWriter(
        context.journal,
        store,
        judge,
        clock=context.clock,
        expiry=context.expiry,
        rng=context.rng,
        listeners=listeners,
    )
    Gauge(
        "heliograph_unstored_rows",
        "Rows of the journal that are not judged and stored yet.",
        registry=context.registry,
    ).set_function(lambda: writer.behind or 0)
    return writer
