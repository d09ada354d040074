"""Judge journal rows: the writer's port, and the judge in the writer's process."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from heliograph_collector.model.records import (
    TIME_BAD,
    DecodeFailure,
    JournalRow,
    JudgedMeasurement,
    PresenceRow,
    ReceivedMeasurement,
    Verdict,
    VerdictState,
)
from heliograph_collector.store.journal.decode import DecodedRows, read_rows
from heliograph_collector.store.pseudonyms import Pseudonyms

NO_VERDICT = Verdict(state=VerdictState.UNKNOWN, rule=TIME_BAD)


class BlockAssessor(Protocol):
    """Judge of blocks, which keeps state from block to block.

    It never gets a measurement with an impossible time. Implemented by control.assessor.Assessor.
    """

    def restore(self, records: Sequence[ReceivedMeasurement]) -> None:
        """Take up results that were judged before this process began."""
        ...

    def assess(self, block: Sequence[ReceivedMeasurement]) -> Sequence[JudgedMeasurement]:
        """Judge a block; may add older measurements that it judged again."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedRows:
    """The content of journal rows, judged; `judged` may hold older measurements too."""

    judged: tuple[JudgedMeasurement, ...] = ()
    presence: tuple[PresenceRow, ...] = ()
    refused: tuple[DecodeFailure, ...] = ()
    bodies: Mapping[str, bytes] = field(default_factory=dict)  # by id: see `Block.bodies`


class RowJudge(Protocol):
    """Judge of journal rows, block by block, with one call of each kind at a time.

    Implemented by LocalJudge, and by app.judge_workers.JudgeWorkers.
    """

    async def restore(self, rows: Sequence[JournalRow]) -> None:
        """Take up rows that were judged before this process began."""
        ...

    async def decode(self, rows: Sequence[JournalRow], *, is_behind: bool) -> DecodedRows:
        """Decode the rows of a block, perhaps while the block before it is judged.

        `is_behind`: more rows wait already.
        """
        ...

    async def judge(self, decoded: DecodedRows) -> JudgedRows:
        """Judge what `decode` returned, once and in the order of the blocks."""
        ...

    def count_workers(self) -> int:
        """Count the processes that share a block; 0: it is judged in this process."""
        ...


class LocalJudge:
    """Judge in a thread of this process."""

    def __init__(self, assessor: BlockAssessor, pseudonyms: Pseudonyms) -> None:
        self._assessor = assessor
        self._pseudonyms = pseudonyms

    async def restore(self, rows: Sequence[JournalRow]) -> None:
        await asyncio.to_thread(self._restore, rows)

    async def decode(self, rows: Sequence[JournalRow], *, is_behind: bool) -> DecodedRows:
        return await asyncio.to_thread(read_rows, rows, self._pseudonyms)

    async def judge(self, decoded: DecodedRows) -> JudgedRows:
        return await asyncio.to_thread(self._judge, decoded)

    def count_workers(self) -> int:
        return 0

    def _restore(self, rows: Sequence[JournalRow]) -> None:
        self._assessor.restore(select_sane(read_rows(rows, self._pseudonyms).records))

    def _judge(self, decoded: DecodedRows) -> JudgedRows:
        records = select_sane(decoded.records)
        return collect_judged(decoded, self._assessor.assess(records) if records else ())


def select_sane(records: Sequence[ReceivedMeasurement]) -> list[ReceivedMeasurement]:
    """Return the records that a judge may see: those with a possible time."""
    return [record for record in records if not record.is_time_bad]


def collect_judged(decoded: DecodedRows, judged: Sequence[JudgedMeasurement]) -> JudgedRows:
    """Combine the results for rows.

    A measurement with an impossible time gets NO_VERDICT.
    """
    bad = [(record, (NO_VERDICT,)) for record in decoded.records if record.is_time_bad]
    return JudgedRows(
        judged=(*judged, *bad),
        presence=tuple(decoded.presence),
        refused=tuple(decoded.failures),
        bodies=decoded.bodies,
    )
