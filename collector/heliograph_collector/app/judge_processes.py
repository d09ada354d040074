"""Distribute the work of a block among judge processes: see `judge_workers`."""

import asyncio
import logging
import random
import time
from collections.abc import Sequence
from functools import partial

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge

from heliograph.backoff import Backoff
from heliograph.clock import Clock
from heliograph_collector.app.frames import FrameError
from heliograph_collector.app.judge_messages import (
    DecodeRequest,
    FindViewsRequest,
    JudgeRequest,
    ViewShare,
    decode_heads,
    encode_part,
)
from heliograph_collector.app.judge_parts import (
    BlockPart,
    JudgeShare,
    PartedRows,
    build_judge_request,
    divide_rows,
    list_envelopes,
    list_shares,
)
from heliograph_collector.app.worker_process import WorkerLostError, WorkerProcess
from heliograph_collector.control.assessor import Selection, TakenUp
from heliograph_collector.model.records import JournalRow, RowKind, Verdict
from heliograph_collector.store.journal.decode import read_rows
from heliograph_collector.store.pseudonyms import Pseudonyms

_RESTARTS = Backoff(1.0, 60.0)

Verdicts = dict[int, tuple[Verdict, ...]]  # by index in a selection
_LOG = logging.getLogger("heliograph.judge")


class JudgeProcesses:
    """Processes that judge; the first has the context, and without it the others wait.

    Decoding that a lost process leaves is done here; its judging is missing from the results.
    """

    def __init__(
        self, pseudonyms: Pseudonyms, clock: Clock, rng: random.Random, registry: CollectorRegistry
    ) -> None:
        self._pseudonyms = pseudonyms
        self._clock = clock
        self._rng = rng
        self.judging: list[WorkerProcess] = []
        self.waiting: list[WorkerProcess] = []
        self._failures = 0
        self._start_at_us = 0  # monotonic
        self._block_number = 0
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
        ).set_function(lambda: len(self.judging))
        cpu = Gauge(
            "heliograph_role_cpu_seconds",
            "CPU time by role: of the judge processes, and of serve, which runs all others.",
            ("role",),
            registry=registry,
        )
        cpu.labels("judge").set_function(self.measure_cpu_s)
        cpu.labels("serve").set_function(time.process_time)

    def measure_cpu_s(self) -> float:
        """Return the CPU time of all judge processes, as of their last answers."""
        running_us = sum(worker.cpu_us for worker in (*self.judging, *self.waiting))
        return (self._ended_cpu_us + running_us) / 1_000_000

    @property
    def may_start(self) -> bool:
        """Return whether the pause after a loss is over."""
        return self._clock.monotonic_us() >= self._start_at_us

    def join(self, worker: WorkerProcess) -> None:
        """Let a process judge; once the first has learned the context, others continue."""
        self.judging += [worker, *self.waiting]
        self.waiting.clear()
        self._failures = 0
        _LOG.info("Judge processes beside serve: %s.", len(self.judging))

    async def stop(self) -> None:
        workers = [*self.judging, *self.waiting]
        self.judging.clear()
        self.waiting.clear()
        await asyncio.gather(*(worker.stop() for worker in workers))

    async def decode(self, rows: Sequence[JournalRow]) -> PartedRows:
        """Decode the rows of a block."""
        self._block_number += 1
        number = self._block_number
        parts = divide_rows(list_envelopes(rows), self.judging)
        work = [self._decode_part(part, number, is_first=part is parts[0]) for part in parts]
        await asyncio.gather(*work)
        others = read_rows([r for r in rows if r.kind is not RowKind.ENVELOPE], self._pseudonyms)
        decoded = PartedRows(presence=others.presence, number=number, parts=parts)
        for part in parts:
            decoded.records += part.decoded.records
            decoded.failures += part.decoded.failures
            decoded.bodies |= part.decoded.bodies
        return decoded

    async def _decode_part(self, part: BlockPart, number: int, *, is_first: bool) -> None:
        """Let a process decode its part; the first one has the context, and takes up all."""
        if part.worker is not None:
            try:
                reply = await part.worker.decode(
                    DecodeRequest(number=number, rows=part.rows, wants_evidence=not is_first)
                )
                records = await asyncio.to_thread(decode_heads, reply.part)
            except (WorkerLostError, FrameError) as error:
                self._lose(part.worker, error)
                part.worker = None
            else:
                part.take_reply(reply, records)
                return
        part.decoded = await asyncio.to_thread(read_rows, part.rows, self._pseudonyms)
        if not is_first:
            encode = partial(encode_part, part.decoded, has_evidence=True)
            part.sent = await asyncio.to_thread(encode)

    def find_context(self, decoded: PartedRows) -> WorkerProcess | None:
        """Find the process that can take up a block, since it decoded its first part."""
        worker = decoded.parts[0].worker
        return worker if worker in self.judging[:1] else None

    async def take_up(self, decoded: PartedRows, count: int) -> TakenUp | None:
        """Take up a block of `count` records, None where that has to be done here."""
        worker = self.find_context(decoded)
        if worker is None:
            return None
        try:
            return await worker.take_up(decoded.build_take_up(), count)
        except WorkerLostError as error:
            self._lose(worker, error)
            return None

    async def judge(self, selection: Selection, decoded: PartedRows) -> Verdicts:
        """Judge a selection from the block that was taken up last, as far as that comes."""
        worker = self.find_context(decoded)
        if worker is None:
            return {}
        shares = list_shares(decoded, self.judging[1:])
        requests = await self._find_views(worker, shares, decoded.number) if shares else []
        by_others = {index for share in shares for index in share.judged}
        indices = range(len(selection.list_records()))
        own = [index for index in indices if index not in by_others]
        work = [
            self._ask(share.worker, request, share.judged)
            for share, request in zip(shares, requests, strict=False)
        ]
        verdicts: Verdicts = {}
        for part in await asyncio.gather(self._ask_context(worker, selection, own), *work):
            verdicts |= part
        rest = [index for index in indices if index not in verdicts]
        return verdicts | await self._ask_context(worker, selection, rest)

    async def _find_views(
        self, worker: WorkerProcess, shares: Sequence[JudgeShare], number: int
    ) -> Sequence[msgspec.Raw]:
        """Ask the process with the context for the requests to others, none if it is lost."""
        named = [
            ViewShare(judge=share.worker.number, judged=share.judged, own=share.own)
            for share in shares
        ]
        count = sum(len(share.judged) for share in shares)
        try:
            return await worker.find_views(FindViewsRequest(number=number, shares=named), count)
        except WorkerLostError as error:
            self._lose(worker, error)
            return []

    async def _ask_context(
        self, worker: WorkerProcess, selection: Selection, share: Sequence[int]
    ) -> Verdicts:
        """Let the process with the context judge a share of a selection."""
        if not share:
            return {}
        request = await asyncio.to_thread(build_judge_request, selection, share)
        return await self._ask(worker, request, share)

    async def _ask(
        self, worker: WorkerProcess, request: JudgeRequest | msgspec.Raw, share: Sequence[int]
    ) -> Verdicts:
        """Let a process judge; those are missing that it lacks something for, or all."""
        try:
            reply = await worker.judge(request, len(share))
        except WorkerLostError as error:
            self._lose(worker, error)
            return {}
        return {
            index: verdict
            for index, verdict in zip(share, reply, strict=True)
            if verdict is not None
        }

    def _lose(self, worker: WorkerProcess, error: Exception) -> None:
        worker.kill()
        if worker in self.judging[:1]:  # with the context
            self.waiting += self.judging[1:]
            self.judging.clear()
        elif worker in self.judging:
            self.judging.remove(worker)
        elif worker in self.waiting:
            self.waiting.remove(worker)
        else:  # the other request to it has failed before
            return
        self._ended_cpu_us += worker.cpu_us
        self.note_loss(f"Judge process {worker.name} is lost ({error}), and no result with it")

    def note_loss(self, sentence: str) -> None:
        self._lost_workers.inc()
        self._failures += 1
        pause_s = _RESTARTS.draw_s(self._failures, self._rng)
        self._start_at_us = self._clock.monotonic_us() + round(pause_s * 1_000_000)
        _LOG.warning("%s; another starts in %.0f s or later.", sentence, pause_s)
