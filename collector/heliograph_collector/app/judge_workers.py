"""Judge rows in several processes, of which any may die at any time.

Theory of operation. `serve` keeps the order of the journal, and the assessor with its open
measurements. Each judge process has a control context, which gets the same results in the same
order, so every process finds the same verdicts on a record. A block takes three requests of each
process:

1. *decode*: each decodes a part of the block's envelopes and returns the records.
2. *take up*: each gets the records of the others, and takes up all of them. The first answer tells
   which older measurements they concern.
3. *judge*: each judges a share of the block and of those older measurements.

The next block may be decoded before this one is taken up: a process works on it while `serve` takes
in what it decoded before. Shares are of equal size by the number of observations.

A process that is lost costs no result: `serve` does its part of the same block itself, with the
same verdicts, and stores the block once with its bounds as always. It takes up nothing while others
do, so before it judges it *learns* what they took up alone. Meanwhile another process is started.
That one learns too (the last rows of the journal, beside the work of the others) and then *joins*
between two blocks, when it has taken up all rows before the next.

A collector that keeps up judges in its own process, as one with one core does always: processes
start when BEHIND_BLOCKS blocks in a row left rows waiting. They run on this machine or on others
(`judge_role.RemoteWorkers`), with the same verdicts.
"""

import asyncio
import logging
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge

from heliograph.backoff import Backoff
from heliograph.clock import Clock
from heliograph_collector.app.frames import FrameError
from heliograph_collector.app.judge_messages import (
    DecodeRequest,
    TakeUpRequest,
    decode_chunks,
    encode_chunks,
)
from heliograph_collector.app.judge_parts import (
    BlockPart,
    PartedRows,
    build_judge_request,
    divide_records,
    divide_rows,
    list_envelopes,
)
from heliograph_collector.app.worker_process import WorkerLostError, WorkerProcess
from heliograph_collector.control.assessor import Assessor, Selection, TakenUp
from heliograph_collector.judge.fingerprints.library import LIBRARY, ListSource
from heliograph_collector.judge.row_judge import JudgedRows, LocalJudge, collect_judged, select_sane
from heliograph_collector.judge.writer import BLOCK_BYTES, BLOCK_ROWS, RESTORED_ROWS
from heliograph_collector.model.records import JournalRow, ReceivedMeasurement, RowKind, Verdict
from heliograph_collector.store.journal.decode import DecodedRows, read_rows
from heliograph_collector.store.journal.journal import JournalError
from heliograph_collector.store.pseudonyms import Pseudonyms

BEHIND_BLOCKS = 4  # assumed; a second's burst of a few agents is judged without help
JOIN_ROWS = 256  # assumed; a newcomer takes up so many while the others wait, in 0.3 s
_RESTARTS = Backoff(1.0, 60.0)

_PAST = 0  # the number of what a newcomer learns; blocks begin with 1
_TAKE_UP_PAST = TakeUpRequest(number=_PAST, before=[], after=[])

_LOG = logging.getLogger("heliograph.judge")


class JournalHistory(Protocol):
    """Rows of the journal that were judged before. Implemented by Journal."""

    async def read(self, after: int, limit: int, *, limit_bytes: int) -> list[JournalRow]: ...


class WorkerSource(Protocol):
    """Where judge processes come from. Implemented by LocalWorkers and RemoteWorkers."""

    def has_room(self, count: int) -> bool:
        """Return whether another may be started beside `count` that there are."""
        ...

    async def start(self) -> WorkerProcess:
        """Start one. Raises WorkerLostError."""
        ...


@dataclass(slots=True)
class _Newcomer:
    """A process that learns; `through` is the last row that it took up."""

    worker: WorkerProcess
    through: int


class JudgeWorkers:
    """Judge rows in processes of some sources, which `run` starts and ends, or else in this one.

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
        self._pseudonyms = pseudonyms
        self._local = LocalJudge(assessor, self._pseudonyms)
        self._sources = sources
        self._history = history
        self._clock = clock
        self._rng = rng
        self._workers: list[WorkerProcess] = []
        self._newcomers: list[_Newcomer] = []
        self._vacancy = asyncio.Event()  # set while a process is brought up
        self._behind_blocks = 0
        self._is_wanted = False
        self._failures = 0
        self._start_at_us = 0  # monotonic
        self._decoded_through = 0
        self._judged_through = 0
        self._learned_through = 0  # by this process
        self._learning = asyncio.Lock()
        self._block_number = _PAST
        self._ended_cpu_us = 0
        self._lost_workers = Counter(
            "heliograph_judge_workers_lost",
            "Judge processes that ended before they were told to.",
            registry=registry,
        )
        Gauge(
            "heliograph_judge_workers",
            "Judge processes that judge now; 0: serve judges itself.",
            registry=registry,
        ).set_function(self.count_workers)
        cpu = Gauge(
            "heliograph_role_cpu_seconds",
            "CPU time by role: of the judge processes, and of serve, which runs all others.",
            ("role",),
            registry=registry,
        )
        cpu.labels("judge").set_function(self.measure_cpu_s)
        cpu.labels("serve").set_function(time.process_time)

    async def restore(self, rows: Sequence[JournalRow]) -> None:
        """Take up rows that were judged before this process began."""
        await self._local.restore(rows)
        through = rows[-1].position if rows else self._decoded_through
        self._decoded_through = self._judged_through = self._learned_through = through

    async def decode(self, rows: Sequence[JournalRow], *, is_behind: bool) -> DecodedRows:
        """Decode the rows of the next block. Raises JournalError."""
        await self._match_load(is_behind=is_behind)
        if self._workers:
            decoded: DecodedRows = await self._decode_apart(rows)
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
        return len(self._workers)

    @property
    def is_starting(self) -> bool:
        return self._vacancy.is_set()

    def list_names(self) -> list[str]:
        """List the processes that judge now, by id or by the name under which they are offered."""
        return [worker.name for worker in self._workers]

    def measure_cpu_s(self) -> float:
        """Return the CPU time of all judge processes, as of their last answers."""
        running_us = sum(worker.cpu_us for worker in self._workers)
        return (self._ended_cpu_us + running_us) / 1_000_000

    async def run(self) -> None:
        """Start processes one after the other, where they are wanted; end all when cancelled."""
        try:
            while True:
                await self._vacancy.wait()
                await self._bring_up()
                self._vacancy.clear()
        finally:
            workers = [*self._workers, *(newcomer.worker for newcomer in self._newcomers)]
            self._workers.clear()
            self._newcomers.clear()
            await asyncio.gather(*(worker.stop() for worker in workers))

    async def _match_load(self, *, is_behind: bool) -> None:
        """Let processes that have learned join, and ask for more once they are needed."""
        self._behind_blocks = self._behind_blocks + 1 if is_behind else 0
        self._is_wanted = self._is_wanted or self._behind_blocks >= BEHIND_BLOCKS
        while self._newcomers:
            await self._admit(self._newcomers.pop())
        is_due = self._clock.monotonic_us() >= self._start_at_us
        if self._is_wanted and is_due and self._find_source() is not None:
            self._vacancy.set()

    async def _bring_up(self) -> None:
        """Start a process, and let it learn what the others know."""
        source = self._find_source()
        if source is None:
            return
        try:
            worker = await source.start()
            newcomer = _Newcomer(worker, max(0, self._decoded_through - RESTORED_ROWS))
            try:
                await self._teach(newcomer, JOIN_ROWS)
            except BaseException:
                worker.kill()
                raise
        except (WorkerLostError, JournalError) as error:
            self._note_loss(f"A judge process could not start ({error})")
        else:
            self._newcomers.append(newcomer)

    def _find_source(self) -> WorkerSource | None:
        count = len(self._workers)
        return next((source for source in self._sources if source.has_room(count)), None)

    async def _admit(self, newcomer: _Newcomer) -> None:
        """Let a process that has learned take up what was judged since, and join."""
        try:
            await self._teach(newcomer, 0)
        except (WorkerLostError, JournalError) as error:
            newcomer.worker.kill()
            self._note_loss(f"A judge process could not join ({error})")
            return
        self._workers.append(newcomer.worker)
        self._failures = 0
        _LOG.info("Judge processes beside serve: %s.", len(self._workers))

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

    async def _decode_apart(self, rows: Sequence[JournalRow]) -> PartedRows:
        """Decode in the processes; what a lost one leaves is done here."""
        self._block_number += 1
        number = self._block_number
        parts = divide_rows(list_envelopes(rows), self._workers)
        await asyncio.gather(*(self._decode_part(part, number) for part in parts))
        here = read_rows([r for r in rows if r.kind is not RowKind.ENVELOPE], self._pseudonyms)
        decoded = PartedRows(presence=here.presence, number=number, parts=parts)
        for part in parts:
            decoded.records += part.decoded.records
            decoded.failures += part.decoded.failures
            decoded.bodies |= part.decoded.bodies
        return decoded

    async def _judge_apart(self, decoded: PartedRows, last: int) -> JudgedRows:
        """Judge in the processes; what a lost one leaves is done here."""
        records = select_sane(decoded.records)
        if not records:  # what is due is judged with the next results, as in one process
            return collect_judged(decoded, ())
        taken_up = await self._take_up(decoded, records, last)
        selection = await asyncio.to_thread(self._assessor.select, records, taken_up)
        verdicts = await self._judge_selection(selection, decoded, last)
        judged = await asyncio.to_thread(self._assessor.conclude, selection, verdicts)
        return collect_judged(decoded, judged)

    async def _take_up(
        self, decoded: PartedRows, records: Sequence[ReceivedMeasurement], last: int
    ) -> TakenUp:
        """Take up a block in all processes that decoded a part, or here without any."""
        work = [self._take_up_part(decoded, at) for at in self._list_judging(decoded)]
        replies = [reply for reply in await asyncio.gather(*work) if reply is not None]
        if replies:  # all of them say the same
            return replies[0]
        await self._learn(self._judged_through)
        self._learned_through = last
        return await asyncio.to_thread(self._assessor.take_up, records)

    async def _take_up_part(self, decoded: PartedRows, at: int) -> TakenUp | None:
        worker = decoded.parts[at].worker
        if worker is None:
            return None
        try:
            return await worker.take_up(decoded.build_take_up(at), len(decoded.records))
        except WorkerLostError as error:
            self._lose(worker, error)
            return None

    def _list_judging(self, decoded: PartedRows) -> list[int]:
        """List the parts whose processes are there still."""
        return [at for at, part in enumerate(decoded.parts) if part.worker in self._workers]

    async def _decode_part(self, part: BlockPart, number: int) -> None:
        if part.worker is not None:
            try:
                reply = await part.worker.decode(DecodeRequest(number=number, rows=part.rows))
                records = await asyncio.to_thread(decode_chunks, reply.chunks)
            except (WorkerLostError, FrameError) as error:
                self._lose(part.worker, error)
                part.worker = None
            else:
                part.take_reply(reply, records)
                return
        part.decoded = await asyncio.to_thread(read_rows, part.rows, self._pseudonyms)
        part.chunks = await asyncio.to_thread(encode_chunks, part.decoded.records)

    async def _judge_selection(
        self, selection: Selection, decoded: PartedRows, last: int
    ) -> list[tuple[Verdict, ...]]:
        """Judge a selection in the processes that took up the block, in its order."""
        records = selection.list_records()
        judging = [decoded.parts[at].worker for at in self._list_judging(decoded)] or [None]
        shares = divide_records(records, len(judging))
        work = [
            self._judge_share(selection, share, worker, last)
            for share, worker in zip(shares, judging, strict=True)
        ]
        verdicts: dict[int, tuple[Verdict, ...]] = {}
        for share, found in zip(shares, await asyncio.gather(*work), strict=True):
            verdicts.update(zip(share, found, strict=True))
        return [verdicts[index] for index in range(len(records))]

    async def _judge_share(
        self, selection: Selection, share: Sequence[int], worker: WorkerProcess | None, last: int
    ) -> list[tuple[Verdict, ...]]:
        """Judge the records with the indices of a share, in a process or here."""
        if worker is not None:
            request = await asyncio.to_thread(build_judge_request, selection, share)
            try:
                return (await worker.judge(request, len(share))).verdicts
            except WorkerLostError as error:
                self._lose(worker, error)
        await self._learn(last)
        return await asyncio.to_thread(self._assessor.judge_share, selection, share)

    def _lose(self, worker: WorkerProcess, error: Exception) -> None:
        worker.kill()
        if worker not in self._workers:  # the other request to it has failed before
            return
        self._workers.remove(worker)
        self._ended_cpu_us += worker.cpu_us
        self._note_loss(f"Judge process {worker.name} is lost ({error}), and no result with it")

    def _note_loss(self, sentence: str) -> None:
        self._lost_workers.inc()
        self._failures += 1
        pause_s = _RESTARTS.draw_s(self._failures, self._rng)
        self._start_at_us = self._clock.monotonic_us() + round(pause_s * 1_000_000)
        _LOG.warning("%s; another starts in %.0f s or later.", sentence, pause_s)
