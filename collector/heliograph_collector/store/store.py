"""Store: all writes and queries, each kind in its own threads."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Any, TypeVar, TypeVarTuple, Unpack

from heliograph_collector.model.filters import CellFilter, MeasurementFilter, PlaceFilter
from heliograph_collector.model.judgement import Judgement, MeasurementPage
from heliograph_collector.model.records import (
    Block,
    Cell,
    Count,
    JudgedMeasurement,
    ReceivedMeasurement,
    SilenceCount,
    StoredVote,
    Vote,
    WorldTally,
)
from heliograph_collector.store import (
    aggregation,
    heard_votes,
    migrations,
    partial_votes,
    queries,
    vote_queries,
)
from heliograph_collector.store.certificates import query_certificates
from heliograph_collector.store.clickhouse import (
    READERS,
    ClickHouse,
    StoreError,
    StoreLimits,
    TooMuchError,
    WritePermission,
    run_with_deadline,
)
from heliograph_collector.store.daily_totals import (
    AnonymityRule,
    DailyTotals,
    find_uncached,
    query_marks,
)
from heliograph_collector.store.directory_lock import DirectoryInUseError
from heliograph_collector.store.losses import Losses, read_losses, read_silences
from heliograph_collector.store.page_ids import find_page_ids
from heliograph_collector.store.queries import Query
from heliograph_collector.store.retention import PARTITION_BY_TABLE, Retention, choose_retention
from heliograph_collector.store.table_snapshot import StoreSnapshot, TableSnapshot, TableSummary
from heliograph_collector.store.writers import BEGUN_MARK, DONE_MARK, BlockWriter, CellWriter

__all__ = ["DirectoryInUseError", "Store", "StoreError", "StoreLimits", "TooMuchError"]

MAX_PAGE_SIZE = 500
READ_TIMEOUT_S = 60.0  # both include waiting for a thread and for the engine
WRITE_TIMEOUT_S = 300.0
BACKUP_TIMEOUT_S = 6 * 3_600.0
# `days` is computed from verdicts
TABLES = (*sorted(PARTITION_BY_TABLE.keys() - {"days"}), "cells", "blocks")

_T = TypeVar("_T")
_Args = TypeVarTuple("_Args")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreHealth:
    """The state of the store."""

    engine: str  # its version
    rows: int
    bytes: int
    parts: int
    free_bytes: int | None  # of the embedded store's disk


class Store:
    """Store at chdb:///PATH, clickhouse://HOST:PORT or clickhouses://HOST:PORT."""

    def __init__(
        self,
        url: str,
        *,
        limits: StoreLimits | None = None,
        permission: WritePermission | None = None,
        observations_days: int = 30,
        verdicts_days: int = 180,
        minutes_days: int = 2,
    ) -> None:
        """Prepare the store without connecting. Raises StoreError for an invalid `url`."""
        self._clickhouse = ClickHouse(url, limits or StoreLimits(), permission)
        days_by_table = choose_retention(observations_days, verdicts_days, minutes_days)
        self._retention = Retention(self._clickhouse, days_by_table)
        self._daily_totals = DailyTotals(self._clickhouse)
        self._cell_writer = CellWriter(self._clickhouse)
        self._block_writer = BlockWriter(self._clickhouse, self._daily_totals)
        self._snapshot = TableSnapshot(self._clickhouse, TABLES)
        self.is_closed = False
        self._writer_pool = ThreadPoolExecutor(1, thread_name_prefix="store-writer")
        self._export_pool = ThreadPoolExecutor(1, thread_name_prefix="store-export")
        self._reader_pool = ThreadPoolExecutor(READERS, thread_name_prefix="store-reader")

    async def open(self) -> None:
        """Start the engine and bring the schema up to date.

        Raises StoreError, DirectoryInUseError, SchemaError.
        """
        await self._run_write(self._open_engine)

    async def close(self) -> None:
        """Finish running queries and close; a second call does nothing."""
        if self.is_closed:
            return
        self.is_closed = True
        await asyncio.to_thread(self._reader_pool.shutdown)  # running queries hold handles
        await asyncio.to_thread(self._export_pool.shutdown)
        await run_with_deadline(self._writer_pool, WRITE_TIMEOUT_S, self._clickhouse.close)
        self._writer_pool.shutdown()

    async def cursor(self, journal: str) -> int:
        """Return the last fully stored position of this journal. Raises StoreError."""
        return (await self._run_write(self._block_writer.read_mark, journal, DONE_MARK))[1]

    async def pending(self, journal: str) -> tuple[int, int] | None:
        """Return the first and last position of a block that may be partly stored.

        It must be inserted again with the same bounds, which make it a replay; None: none is.
        """
        bounds = await self._run_write(self._block_writer.read_mark, journal, BEGUN_MARK)
        return bounds if bounds[1] > await self.cursor(journal) else None

    async def insert_block(self, block: Block) -> None:
        """Insert a block; repeating it changes nothing, after a StoreError neither."""
        await self._run_write(self._block_writer.put, block)

    async def replace_cells(self, cells: Sequence[Cell]) -> None:
        """Replace cells that have the same keys. Raises StoreError."""
        await self._run_write(self._cell_writer.put, cells)

    async def votes(
        self, since_us: int, until_us: int, bin_s: int, **filters: Unpack[PlaceFilter]
    ) -> list[Vote]:
        """Return the votes of each volunteer's vantage per bin, by whole targets."""
        rows = await self.votable(since_us, until_us, None, **filters)
        return await asyncio.to_thread(heard_votes.tally_votes, rows, bin_s)

    async def votable(
        self, since_us: int, until_us: int, most: int | None, **filters: Unpack[PlaceFilter]
    ) -> list[heard_votes.VerdictRow]:
        """Return the verdicts of `votes`. Raises TooMuchError over `most`, StoreError."""
        clause = queries.filter_place(**filters).add_time_range("started", since_us, until_us)
        rows = await self._read_rows(heard_votes.query_verdicts(clause, most))
        return heard_votes.check_verdict_count(rows, most)

    async def counts(
        self,
        since_us: int,
        until_us: int,
        bin_s: int,
        *,
        wider: Collection[str] = (),
        **filters: Unpack[PlaceFilter],
    ) -> list[Count]:
        """Count the votes of cells inside the engine; `wider` names merged fields."""
        clause = queries.filter_place(**filters).add_time_range("started", since_us, until_us)
        query = vote_queries.query_counts(clause, bin_s, wider)
        rows = await self._run_query(query, vote_queries.parse_count)
        counts = sorted((count for count, _ in rows), key=vote_queries.get_key)
        if not any(has_partial for _, has_partial in rows):
            return counts  # the engine reads the next question for 70 ms, whatever there is
        query = partial_votes.query_partial_votes(clause, bin_s, wider)
        votes = await self._run_query(query, partial_votes.parse_partial_vote)
        return partial_votes.add_partial_causes(counts, votes)

    async def silences(
        self, since_us: int, until_us: int, bin_s: int, **filters: Unpack[PlaceFilter]
    ) -> list[SilenceCount]:
        """Count, per place and bin, the vantages lost without goodbye at the bin's end."""
        clause = queries.filter_place(**filters)
        return await read_silences(self._read_rows, clause, since_us, until_us, bin_s)

    async def losses(
        self, since_us: int, until_us: int, most: int, **filters: Unpack[PlaceFilter]
    ) -> Losses:
        """Return the losses of vantages in a window. Raises TooMuchError, StoreError."""
        clause = queries.filter_place(**filters)
        return await read_losses(self._read_rows, clause, since_us, until_us, most)

    async def opinions(
        self, service: str, country: str, since_us: int, until_us: int
    ) -> list[StoredVote]:
        """Return volunteers' verdicts, oldest first. Raises TooMuchError over MAX_VOTES."""
        query = vote_queries.query_single_votes(service, country, since_us, until_us)
        votes = await self._run_query(query, vote_queries.parse_single_vote)
        return vote_queries.check_vote_count(votes, service, country)

    async def world_tally(
        self,
        service: str,
        not_country: str,
        since_us: int,
        until_us: int,
        bin_s: int,
        *,
        fresh_s: int = 0,
    ) -> list[WorldTally]:
        """Count how a service works in all other countries, in each bin with results.

        A vantage's last vote counts for `fresh_s` (one bin if 0, else whole bins). Down and k of n
        endpoints are bad as well as blocked; throttling is not known here. Raises StoreError.
        """
        query = vote_queries.query_world_tally(
            service, not_country, since_us, until_us, bin_s, max(fresh_s, bin_s)
        )
        return await self._run_query(query, partial(queries.build_record, WorldTally))

    async def totals(
        self, request: aggregation.AggregationQuery
    ) -> list[aggregation.AggregationRow]:
        """Aggregate measurements. Raises TooMuchError, StoreError."""
        window = (request.since_us, request.until_us)
        marks = await self._read_rows(query_marks(*window))
        uncached = find_uncached(marks, request.anonymity_rule, *window)
        query = aggregation.query_totals(request, uncached)
        return aggregation.check_row_count(await self._run_query(query, aggregation.parse_total))

    async def list_due_days(
        self, before_us: int, rule: AnonymityRule, *, include_new: bool
    ) -> list[date]:
        """List earlier days to sum; `include_new` reads all verdicts. Raises StoreError."""
        return await self._run_write(self._daily_totals.list_due, before_us, rule, include_new)

    async def sum_day(self, day: date, rule: AnonymityRule) -> bool:
        """Sum a day for `totals` if needed; return whether it was. Raises StoreError."""
        return await self._run_write(self._daily_totals.sum_day, day, rule)

    async def measurements(
        self, measurement_filter: MeasurementFilter, cursor: str = "", limit: int = 50
    ) -> MeasurementPage:
        """Return a page, newest first. Raises ValueError for an invalid cursor."""
        after = queries.parse_cursor(cursor)
        size = max(1, min(limit, MAX_PAGE_SIZE))
        page_ids = await find_page_ids(self._read_rows, measurement_filter, after, size + 1)
        if not page_ids:
            return MeasurementPage(items=())
        id_, started_us = page_ids[:size][-1]
        records = await self._read_records(queries.query_measurements(page_ids[:size]))
        next_cursor = f"{started_us}.{id_}" if len(page_ids) > size else ""
        return MeasurementPage(items=await self.judged(records), next=next_cursor)

    async def measurement(self, id: str) -> JudgedMeasurement | None:  # noqa: A002 the column's name
        judged = await self.judged(await self._read_records(queries.query_measurement(id)))
        return judged[0] if judged else None

    async def list_judgements(
        self,
        since_us: int,
        until_us: int,
        *,
        service: str = "",
        after: tuple[int, str] | None = None,
    ) -> list[Judgement]:
        """List up to MAX_PAGE_SIZE measurements, oldest first, after (started, id).

        Raises StoreError.
        """
        query = queries.query_time_range(since_us, until_us, service or None, after, MAX_PAGE_SIZE)
        records = await self._read_records(query)
        verdict_rows = await self._read_verdicts(records)
        numbers = queries.find_last_judgements(verdict_rows)
        return [
            Judgement(measurement=record, verdicts=verdicts, number=numbers.get(record.id, 0))
            for record, verdicts in queries.pair_verdicts(records, verdict_rows)
        ]

    async def read_certificates(self, digests: Sequence[str]) -> dict[str, bytes]:
        """Return the stored certificates of these SHA-256. Raises StoreError."""
        return dict(await self._read_rows(query_certificates(digests))) if digests else {}

    async def judged(self, records: Sequence[ReceivedMeasurement]) -> tuple[JudgedMeasurement, ...]:
        """Pair measurements with their last verdicts. Raises StoreError."""
        return queries.pair_verdicts(records, await self._read_verdicts(records))

    async def _read_records(self, query: Query) -> list[ReceivedMeasurement]:
        return await self._run_query(query, queries.parse_record)

    async def _read_verdicts(
        self, records: Sequence[ReceivedMeasurement]
    ) -> list[queries.VerdictRow]:
        if not records:
            return []
        return await self._run_query(queries.query_verdicts(records), queries.parse_verdict)

    async def replace_verdicts(self, judgements: Sequence[Judgement]) -> None:
        """Replace judgements with lower numbers. Raises StoreError."""
        await self._run_write(self._block_writer.put_judgements, judgements)

    async def cells(self, cell_filter: CellFilter) -> list[Cell]:
        """Return stored cells; `rollup.fill_bins` adds empty ones. Raises StoreError."""
        return await self._run_query(queries.query_cells(cell_filter), queries.parse_cell)

    async def cell_days(self, since_us: int) -> list[tuple[int, int]]:
        """Return each day's midnight and last 5-minute write, in µs. Raises StoreError."""
        return await self._read_rows(queries.query_cell_days(since_us))

    async def health(self) -> StoreHealth:
        """Return the engine's state. Raises StoreError when it does not answer."""
        (row,) = await self._read_rows(queries.query_health())
        free = self._clickhouse.free_bytes()
        return StoreHealth(engine=row[0], rows=row[1], bytes=row[2], parts=row[3], free_bytes=free)

    @asynccontextmanager
    async def open_snapshot(self) -> AsyncIterator[StoreSnapshot]:
        """Snapshot all tables between two blocks, for `read_table`. Raises StoreError."""
        await self._run_write(self._snapshot.create)
        try:
            yield await self._run_export(self._snapshot.summarize, deadline_s=BACKUP_TIMEOUT_S)
        finally:
            await self._run_write(self._snapshot.drop)

    async def read_table(self, table: str) -> AsyncGenerator[bytes, None]:
        """Read a table of the snapshot in the engine's Native format. Raises StoreError."""
        pieces = self._snapshot.read(table)
        try:
            while piece := await self._run_export(next, pieces, b""):
                yield piece
        finally:
            await self._run_export(pieces.close)

    async def load_table(self, summary: TableSummary, pieces: Iterable[bytes]) -> None:
        """Fill an empty table. Raises StoreError if it differs from its summary."""
        load = self._snapshot.load
        await self._run_write(load, summary, pieces, deadline_s=BACKUP_TIMEOUT_S)

    async def delete_expired(self, expiry_us: int) -> int:
        """Delete what expired by a time; return the partitions' number. Raises StoreError."""
        return await self._run_write(self._retention.delete_expired, expiry_us)

    async def is_empty(self) -> bool:
        """Return whether all tables are empty. Raises StoreError."""
        return await self._run_write(self._snapshot.count_rows) == 0

    async def clear(self) -> None:
        """Delete all rows."""
        await self._run_write(self._snapshot.clear)

    def _open_engine(self) -> None:
        self._clickhouse.open()
        try:
            migrations.prepare_schema(self._clickhouse)
            self._snapshot.drop()
        except (StoreError, migrations.SchemaError):
            self._clickhouse.close()
            raise

    async def _read_rows(self, query: Query) -> list[Any]:
        """Run a query in a reading thread. Raises StoreError."""
        return await self._run_query(query, tuple)

    async def _run_query(
        self, query: Query, parse_row: Callable[[tuple[Any, ...]], _T]
    ) -> list[_T]:
        """Run a query and parse its rows in a reading thread. Raises StoreError."""
        self._check_open()
        return await run_with_deadline(
            self._reader_pool, READ_TIMEOUT_S, self._fetch_rows, query, parse_row
        )

    def _fetch_rows(self, query: Query, parse_row: Callable[[tuple[Any, ...]], _T]) -> list[_T]:
        rows = self._clickhouse.query(query.sql, query.parameters, query.binary_columns)
        return [parse_row(row) for row in rows]

    async def _run_write(
        self,
        operation: Callable[[*_Args], _T],
        *args: *_Args,
        deadline_s: float = WRITE_TIMEOUT_S,
    ) -> _T:
        """Run a write in the writing thread. Raises StoreError."""
        self._check_open()
        return await run_with_deadline(self._writer_pool, deadline_s, operation, *args)

    async def _run_export(
        self,
        operation: Callable[[*_Args], _T],
        *args: *_Args,
        deadline_s: float = WRITE_TIMEOUT_S,
    ) -> _T:
        """Run a part of an export in the exporting thread. Raises StoreError."""
        return await run_with_deadline(self._export_pool, deadline_s, operation, *args)

    def _check_open(self) -> None:
        if self.is_closed:
            raise StoreError("The store is closed.")
