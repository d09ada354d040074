"""Judge rows in several processes, of which any may die at any time.

Theory of operation. `serve` keeps the order of the journal, and the assessor with its open
measurements. One of the judge processes has the control context: it gets all results, in the order
of the journal. The others decode and judge without one. A block goes so:

1. *decode*: each process decodes a part of the block's envelopes and returns the records.
2. *take up*: that with the context gets the records of the others, and takes up all of them. It
   finds which older measurements they concern.
3. *find views*: it finds what the results of the others' parts are to be compared with (their
   views, see `sent_views`), which `serve` passes on.
4. *judge*: each judges the results of the part that it has; the one with the context judges older
   measurements too, and then what no view was enough for.

The next block may be decoded before this one is taken up: a process works on it while `serve` takes
in what it decoded before. The process with the context decodes less than the others, and none of a
block if they are two or more.

A process that is lost costs no result: `serve` does its part of the same block itself, with the
same verdicts, and stores the block once with its bounds as always. It takes up nothing while others
do, so before it judges it *learns* results taken up elsewhere. Where the process with the context
is lost, `serve` judges alone until another one has it. That one learns too (the last rows of the
journal, beside the work of `serve`) and then *joins* between two blocks, when it has taken up all
rows before the next, and with it those that were there. Any other joins as soon as it has started.

A collector that keeps up judges in its own process, as one with one core does always: processes
start when BEHIND_BLOCKS blocks in a row left rows waiting. They run on this machine or on others
(`judge_role.RemoteWorkers`), with the same verdicts.
"""

import asyncio
import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from prometheus_client import CollectorRegistry

from heliograph.clock import Clock
from heliograph_collector.app.judge_messages import (
    DecodeRequest,
    TakeUpRequest,
)
from heliograph_collector.app.judge_parts import PartedRows, list_envelopes
from heliograph_collector.app.judge_processes import JudgeProcesses
from heliograph_collector.app.worker_process import WorkerLostError, WorkerProcess
from heliograph_collector.control.assessor import Assessor, Selection
from heliograph_collector.judge.fingerprints.library import LIBRARY, ListSource
from heliograph_collector.judge.row_judge import JudgedRows, LocalJudge, collect_judged, select_sane
from heliograph_collector.judge.writer import BLOCK_BYTES, BLOCK_ROWS, RESTORED_ROWS
from heliograph_collector.model.records import JournalRow, Verdict
from heliograph_collector.store.journal.decode import DecodedRows
from heliograph_collector.store.journal.journal import JournalError
from heliograph_collector.store.pseudonyms import Pseudonyms

BEHIND_BLOCKS = 4  # assumed; a second's burst of a few agents is judged without help
JOIN_ROWS = 256  # assumed; a newcomer takes up so many while the others wait, in 0.3 s

_PAST = 0  # the number of what a newcomer learns; blocks begin with 1
_TAKE_UP_PAST = TakeUpRequest(number=_PAST, others=[])

_LOG = logging.getLogger("heliograph.judge")


class JournalHistory(Protocol):
    """Rows of the journal that were judged before. Implemented by Journal."""

    async def read(self, after: int, limit: int, *, limit_bytes: int) -> list[JournalRow]: ...


class WorkerSource(Protocol):
    """Source of judge processes. Implemented by LocalWorkers and RemoteWorkers."""

    def has_room(self, count: int) -> bool:
        """Return whether another may be started beside `count` that there are."""
        ...

    async def start(self) -> WorkerProcess:
        """Start one. Raises WorkerLostError."""
        ...


@dataclass(slots=True)
class _Newcomer:
    """A process that learns the context; `through` is the last row that it took up."""

    worker: WorkerProcess
    through: int


class JudgeWorkers:
    """Judge rows in processes that `run` starts and ends, or else in this one.

    The first source that has room is asked for the next process.
    """

    def __init__(
        self,
        assessor: Assessor,
        sources: Sequence[WorkerSource],
        history: JournalHistory,
        lists: ListSource,
        *,
        pseudonyms: Pseudonyms,
        clock: Clock,
        rng: random.Random,
        registry: CollectorRegistry,
    ) -> None:
        LIBRARY.watch(lists)
        self._assessor = assessor
        self._local = LocalJudge(assessor, pseudonyms)
        self._sources = sources
        self._history = history
        self._newcomers: list[_Newcomer] = []
        self._vacancy = asyncio.Event()  # set while a process is brought up
        self._behind_blocks = 0
        self._is_wanted = False
        self._decoded_through = 0
        self._judged_through = 0
        self._learned_through = 0  # by this process
        self._learning = asyncio.Lock()
        self._processes = JudgeProcesses(pseudonyms, clock, rng, registry)

    async def restore(self, rows: Sequence[JournalRow]) -> None:
        """Take up rows that were judged before this process began."""
        await self._local.restore(rows)
        through = rows[-1].position if rows else self._decoded_through
        self._decoded_through = self._judged_through = self._learned_through = through

    async def decode(self, rows: Sequence[JournalRow], *, is_behind: bool) -> DecodedRows:
        """Decode the rows of the next block. Raises JournalError."""
        await self._match_load(is_behind=is_behind)
        if self._processes.judging:
            decoded: DecodedRows = await self._processes.decode(rows)
        else:
            decoded = await self._local.decode(rows, is_behind=is_behind)
        self._decoded_through = rows[-1].position if rows else self._decoded_through
        return decoded

    async def judge(self, decoded: DecodedRows) -> JudgedRows:
        """Judge a block once, where it was decoded."""
        await asyncio.to_thread(LIBRARY.refresh)
        last = max((record.position for record in decoded.records), default=self._judged_through)
        if isinstance(decoded, PartedRows):
            results = await self._judge_apart(decoded, last)
        else:
            await self._learn(self._judged_through)
            results = await self._local.judge(decoded)
            self._learned_through = last
        self._judged_through = last
        return results

    def count_workers(self) -> int:
        """Count the processes that share a block; 0: it is judged in this process."""
        return len(self._processes.judging)

    @property
    def is_starting(self) -> bool:
        return self._vacancy.is_set()

    def list_names(self) -> list[str]:
        """List the processes that judge now, by id or by the name in their offer."""
        return [worker.name for worker in self._processes.judging]

    def measure_cpu_s(self) -> float:
        return self._processes.measure_cpu_s()

    async def run(self) -> None:
        """Start processes one after the other, as needed; end all when cancelled."""
        try:
            while True:
                await self._vacancy.wait()
                await self._bring_up()
                self._vacancy.clear()
        finally:
            learning = [newcomer.worker for newcomer in self._newcomers]
            self._newcomers.clear()
            stopping = (self._processes.stop(), *(worker.stop() for worker in learning))
            await asyncio.gather(*stopping)

    async def _match_load(self, *, is_behind: bool) -> None:
        """Let processes that have learned join, and ask for more once they are needed."""
        self._behind_blocks = self._behind_blocks + 1 if is_behind else 0
        self._is_wanted = self._is_wanted or self._behind_blocks >= BEHIND_BLOCKS
        while self._newcomers:
            await self._admit(self._newcomers.pop())
        has_idle = bool(self._processes.waiting) or self._find_source() is not None
        if self._is_wanted and self._processes.may_start and has_idle:
            self._vacancy.set()

    async def _bring_up(self) -> None:
        """Let a process learn the context, where none has it; else start another."""
        try:
            worker = await self._find_idle()
            if worker is None:
                return
            if self._processes.judging:
                self._processes.join(worker)
                return
            newcomer = _Newcomer(worker, max(0, self._decoded_through - RESTORED_ROWS))
            try:
                await self._teach(newcomer, JOIN_ROWS)
            except BaseException:
                worker.kill()
                raise
        except (WorkerLostError, JournalError) as error:
            self._processes.note_loss(f"A judge process could not start ({error})")
        else:
            self._newcomers.append(newcomer)

    async def _find_idle(self) -> WorkerProcess | None:
        """Find a process that waits, or start one. Raises WorkerLostError."""
        if self._processes.waiting:
            return self._processes.waiting.pop(0)
        source = self._find_source()
        return await source.start() if source is not None else None

    def _find_source(self) -> WorkerSource | None:
        count = len(self._processes.judging) + len(self._processes.waiting)
        return next((source for source in self._sources if source.has_room(count)), None)

    async def _admit(self, newcomer: _Newcomer) -> None:
        """Let a process that has learned take up the results since; all then join."""
        try:
            await self._teach(newcomer, 0)
        except (WorkerLostError, JournalError) as error:
            newcomer.worker.kill()
            self._processes.note_loss(f"A judge process could not join ({error})")
            return
        self._processes.join(newcomer.worker)

    async def _teach(self, newcomer: _Newcomer, remaining: int) -> None:
        """Let a process take up rows of earlier blocks until `remaining` are left.

        Raises WorkerLostError, JournalError.
        """
        while newcomer.through < self._decoded_through - remaining:
            rows = await self._read_history(newcomer.through, self._decoded_through)
            if not rows:
                newcomer.through = self._decoded_through
                return
            past = DecodeRequest(number=_PAST, rows=list_envelopes(rows), is_past=True)
            await newcomer.worker.decode(past)
            await newcomer.worker.take_up(_TAKE_UP_PAST, len(rows))
            newcomer.through = rows[-1].position

    async def _read_history(self, after: int, through: int) -> list[JournalRow]:
        """Read the next rows of the journal up to a position. Raises JournalError."""
        read = await self._history.read(after, BLOCK_ROWS, limit_bytes=BLOCK_BYTES)
        return [row for row in read if row.position <= through]

    async def _learn(self, through: int) -> None:
        """Take up here what others took up alone, RESTORED_ROWS of it at most."""
        async with self._learning:
            after = max(self._learned_through, through - RESTORED_ROWS)
            try:
                while after < through and (rows := await self._read_history(after, through)):
                    await self._local.restore(rows)
                    after = rows[-1].position
            except JournalError as error:  # the less is known, the more stays in doubt
                _LOG.error("What judge processes knew cannot be read again: %s", error)
            self._learned_through = max(self._learned_through, through)

    async def _judge_apart(self, decoded: PartedRows, last: int) -> JudgedRows:
        """Judge in the processes; what a lost one leaves is done here."""
        records = select_sane(decoded.records)
        if not records:  # what is due is judged with the next results, as in one process
            return collect_judged(decoded, ())
        taken_up = await self._processes.take_up(decoded, len(records))
        if taken_up is None:
            await self._learn(self._judged_through)
            self._learned_through = last
            taken_up = await asyncio.to_thread(self._assessor.take_up, records)
        selection = await asyncio.to_thread(self._assessor.select, records, taken_up)
        verdicts = await self._judge_selection(selection, decoded, last)
        judged = await asyncio.to_thread(self._assessor.conclude, selection, verdicts)
        return collect_judged(decoded, judged)

    async def _judge_selection(
        self, selection: Selection, decoded: PartedRows, last: int
    ) -> list[tuple[Verdict, ...]]:
        """Judge a selection in the processes, in its order; judge the rest here."""
        indices = range(len(selection.list_records()))
        verdicts = await self._processes.judge(selection, decoded)
        rest = [index for index in indices if index not in verdicts]
        if rest:
            await self._learn(last)
            share_verdicts = await asyncio.to_thread(self._assessor.judge_share, selection, rest)
            verdicts |= zip(rest, share_verdicts, strict=True)
        return [verdicts[index] for index in indices]
