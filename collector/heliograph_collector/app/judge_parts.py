"""Parts of a block that judge processes decode, and the shares that they judge; pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from heliograph_collector.app.judge_messages import (
    Chunk,
    DecodeReply,
    JudgeRequest,
    TakeUpRequest,
    encode_chunks,
)
from heliograph_collector.app.worker_process import WorkerProcess
from heliograph_collector.control.assessor import Selection
from heliograph_collector.control.target_key import weigh_measurement
from heliograph_collector.model.records import JournalRow, ReceivedMeasurement, RowKind
from heliograph_collector.store.journal.decode import DecodedRows


@dataclass(slots=True)
class BlockPart:
    """A part of a block: who decodes it, and what it holds."""

    worker: WorkerProcess | None  # None: `serve` itself
    rows: list[JournalRow] = field(default_factory=list)
    chunks: list[Chunk] = field(default_factory=list)
    decoded: DecodedRows = field(default_factory=DecodedRows)

    def take_reply(self, reply: DecodeReply, records: list[ReceivedMeasurement]) -> None:
        """Keep what its process decoded."""
        self.chunks = reply.chunks
        self.decoded = DecodedRows(records=records, failures=reply.failures, bodies=reply.bodies)


@dataclass(slots=True, kw_only=True)
class PartedRows(DecodedRows):
    """A block that processes decoded."""

    number: int
    parts: list[BlockPart]

    def build_take_up(self, at: int) -> TakeUpRequest:
        """Build the request to the process that decoded a part."""
        return TakeUpRequest(
            number=self.number,
            before=[chunk for part in self.parts[:at] for chunk in part.chunks],
            after=[chunk for part in self.parts[at + 1 :] for chunk in part.chunks],
        )


def list_envelopes(rows: Sequence[JournalRow]) -> list[JournalRow]:
    return [row for row in rows if row.kind is RowKind.ENVELOPE]


def divide_rows(rows: Sequence[JournalRow], workers: Sequence[WorkerProcess]) -> list[BlockPart]:
    """Divide rows into as many runs as there are workers, of about the same number of bytes."""
    total = sum(len(row.body) for row in rows)
    parts = [BlockPart(worker) for worker in workers]
    size = 0
    for row in rows:
        number = min(size * len(parts) // max(1, total), len(parts) - 1)
        parts[number].rows.append(row)
        size += len(row.body)
    return parts


def divide_records(records: Sequence[ReceivedMeasurement], count: int) -> list[list[int]]:
    """Divide the indices of records into shares with about the same number of observations."""
    shares: list[list[int]] = [[] for _ in range(count)]
    weights = [0] * count
    for index, record in enumerate(records):
        lightest = weights.index(min(weights))
        shares[lightest].append(index)
        weights[lightest] += weigh_measurement(record.measurement)
    return shares


def build_judge_request(selection: Selection, share: Sequence[int]) -> JudgeRequest:
    """Build the request for the records of a selection with the indices of a share."""
    records = selection.list_records()
    block_size = len(selection.block)
    return JudgeRequest(
        judged=[index for index in share if index < block_size],
        due=encode_chunks([records[index] for index in share if index >= block_size]),
    )
