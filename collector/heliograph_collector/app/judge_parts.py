"""Divide a block into judge processes' parts to decode and shares to judge. Pure."""

from bisect import bisect_right
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from heliograph_collector.app.judge_messages import (
    EMPTY_PART,
    DecodedPart,
    DecodeReply,
    JudgeRequest,
    TakeUpRequest,
    encode_chunks,
)
from heliograph_collector.app.worker_process import WorkerProcess
from heliograph_collector.control.assessor import Selection
from heliograph_collector.model.records import JournalRow, ReceivedMeasurement, RowKind
from heliograph_collector.store.journal.decode import DecodedRows

# Work of the process with the context for the block of others, beside what decoding and judging
# an own part of a block takes: taking up, finding views, judging what those do not suffice for and
# what is due. Measured: 0.38 of 0.85 ms a result.
CONTEXT_WORK = 0.45


@dataclass(slots=True)
class BlockPart:
    """A part of a block, and the process that decodes it."""

    worker: WorkerProcess | None  # None: `serve` itself
    rows: list[JournalRow] = field(default_factory=list)
    sent: DecodedPart = EMPTY_PART  # to the process that takes it up
    decoded: DecodedRows = field(default_factory=DecodedRows)

    def take_reply(self, reply: DecodeReply, records: list[ReceivedMeasurement]) -> None:
        """Keep what its process decoded."""
        self.sent = reply.part
        self.decoded = DecodedRows(
            records=records, failures=reply.failures, bodies=reply.part.bodies
        )


@dataclass(slots=True, kw_only=True)
class PartedRows(DecodedRows):
    """A block that processes decoded."""

    number: int
    parts: list[BlockPart]

    def build_take_up(self) -> TakeUpRequest:
        """Build the request to the process that decoded the first part."""
        return TakeUpRequest(number=self.number, others=[part.sent for part in self.parts[1:]])


def list_envelopes(rows: Sequence[JournalRow]) -> list[JournalRow]:
    return [row for row in rows if row.kind is RowKind.ENVELOPE]


def divide_rows(rows: Sequence[JournalRow], workers: Sequence[WorkerProcess]) -> list[BlockPart]:
    """Divide rows into a run for each worker, by bytes; the first one has the context."""
    total = sum(len(row.body) for row in rows)
    parts = [BlockPart(worker) for worker in workers]
    other = min((1.0 + CONTEXT_WORK) / len(parts), 1.0 / max(1, len(parts) - 1))
    ends = [max(0.0, 1.0 - other * (len(parts) - 1 - at)) for at in range(len(parts))]
    size = 0
    for row in rows:
        number = bisect_right(ends, size / max(1, total), hi=len(parts) - 1)
        parts[number].rows.append(row)
        size += len(row.body)
    return parts


@dataclass(slots=True)
class JudgeShare:
    """Share of one process in judging a block."""

    worker: WorkerProcess
    judged: list[int] = field(default_factory=list)  # indices of results with a possible time
    own: list[int] = field(default_factory=list)  # … and of the same among what it decoded


def list_shares(decoded: PartedRows, workers: Collection[WorkerProcess]) -> list[JudgeShare]:
    """List what each of these processes decoded of a block, as its share."""
    shares: list[JudgeShare] = []
    index = 0
    for part in decoded.parts:
        share = JudgeShare(part.worker) if part.worker is not None else None
        for at, record in enumerate(part.decoded.records):
            if record.is_time_bad:
                continue
            if share is not None:
                share.judged.append(index)
                share.own.append(at)
            index += 1
        if share is not None and share.worker in workers:
            shares.append(share)
    return shares


def build_judge_request(selection: Selection, share: Sequence[int]) -> JudgeRequest:
    """Build the request for the records of a selection with the indices of a share."""
    records = selection.list_records()
    block_size = len(selection.block)
    return JudgeRequest(
        judged=[index for index in share if index < block_size],
        due=encode_chunks([records[index] for index in share if index >= block_size]),
    )
