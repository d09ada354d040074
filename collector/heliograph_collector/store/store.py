"""The store: every write and every question goes through here, each kind in its own threads."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from heliograph_collector.model.records import (
    Block,
    Cell,
    CellFilter,
    Count,
    Health,
    Judged,
    Judgement,
    MeasurementFilter,
    MeasurementPage,
    Opinion,
    Silence,
    Taken,
    Vote,
    WorldTally,
)
from heliograph_collector.store import (
    aggregation,
    arrow_rows,
    migrations,
    queries,
    vote_queries,
)
from heliograph_collector.store import (
    late_queries as opinions,
)
from heliograph_collector.store.clickhouse import (
    READERS,
    ClickHouse,
    Limits,
    StoreError,
    TooMuchError,
)
from heliograph_collector.store.daily_totals import By, Days, live, marks
from heliograph_collector.store.directory_lock import DirectoryInUseError
from heliograph_collector.store.queries import Cells, Query

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped] # it ships no types

__all__ = ["DirectoryInUseError", "Limits", "Store", "StoreError", "TooMuchError"]

MAX_PAGE = 500
LONGEST_DAYS = 18_250  # of retention: the engine's DateTime ends in 2106 and would wrap round
READ_S, WRITE_S = 60.0, 300.0  # waiting for a thread and for the engine
BACKUP_S = 6 * 3_600.0
_BEGUN, _DONE = "begun", "done"
_KEPT = {
    "measurements": "started",
    "observations": "started",
    "quarantine": "received",
    "verdicts": "started",
    "presence": "received",
    "minute_cells": "start",
    "days": "day",
}  # table → the time its retention counts from; the other cells stay for ever

_AS_LONG = ("verdicts", "presence", "days")
TABLES = (*sorted(_KEPT.keys() - {"days"}), "cells", "blocks")  # days are made again from verdicts

_T = TypeVar("_T")


class Store:
    """`url` is chdb:///PATH, clickhouse://HOST:PORT or clickhouses://HOST:PORT."""

    def __init__(
        self,
        url: str,
        *,
        limits: Limits | None = None,
        observations_days: int = 30,
        verdicts_days: int = 180,
        minutes_days: int = 2,
    ) -> None:
        """Raises StoreError when `url` is none of these."""
        self._clickhouse = ClickHouse(url, limits or Limits())
        # A measurement is never kept without its verdicts.
        long = dict.fromkeys(_AS_LONG, max(verdicts_days, observations_days))
        long["minute_cells"] = minutes_days
        self._kept = {table: long.get(table, observations_days) for table in _KEPT}
        self._days, self._cells = Days(self._clickhouse), Cells(self._clickhouse)
        self.closed = False
        self._writing = ThreadPoolExecutor(1, thread_name_prefix="store-writer")
        self._reading = ThreadPoolExecutor(READERS, thread_name_prefix="store-reader")

    async def open(self) -> None:
        """Start the engine, bring the schema up to date, set retention.

        Raises StoreError, DirectoryInUseError, SchemaError.
        """
        await self._write(self._open)

    async def close(self) -> None:
        """Again does nothing."""
        if self.closed:
            return
        self.closed = True
        await asyncio.to_thread(self._reading.shutdown)  # questions under way hold handles
        await _within(self._writing, self._clickhouse.close, WRITE_S)
        self._writing.shutdown()

    async def cursor(self, journal: str) -> int:
        """The last position of this journal that is wholly in. Raises StoreError."""
        return (await self._write(lambda: self._marked(journal, _DONE)))[1]

    async def pending(self, journal: str) -> tuple[int, int] | None:
        """First and last position of a block that was begun and may be partly in.

        It must come again with the same bounds: by them it is known for a replay.
        """
        begun = await self._write(lambda: self._marked(journal, _BEGUN))
        return begun if begun[1] > await self.cursor(journal) else None

    async def insert_block(self, block: Block) -> None:
        """Take a block in. Doing it again, wholly or from any point on, changes nothing.

        Raises StoreError; then the same block may come again.
        """
        await self._write(lambda: self._insert(block))

    async def replace_cells(self, cells: Sequence[Cell]) -> None:
        """Cells as they are now, in place of those with the same key. Raises StoreError."""
        await self._write(lambda: self._cells.put(cells))

    async def votes(self, since_us: int, until_us: int, bin_s: int, **only: Any) -> list[Vote]:
        """What each volunteer's vantage found in each bin, by whole targets.

        `only`: any of country, region, asn, access, service, here as in `counts`, `silences`.
        """
        asked = queries.within(only).between("started", since_us, until_us)
        return await self._read(vote_queries.votes(asked, bin_s))

    async def counts(
        self, since_us: int, until_us: int, bin_s: int, *, wider: Collection[str] = (), **only: Any
    ) -> list[Count]:
        """The votes of all cells, or `only` of a place or service, counted where they lie.

        `wider` names what of the place and service cells are not told apart by.
        """
        asked = queries.within(only).between("started", since_us, until_us)
        return await self._read(vote_queries.counts(asked, bin_s, wider))

    async def silences(
        self, since_us: int, until_us: int, bin_s: int, **only: Any
    ) -> list[Silence]:
        """How many vantages of each place were gone without goodbye when each bin ended."""
        asked = queries.within(only)
        return await self._read(queries.silences(asked, since_us, until_us, bin_s))

    async def opinions(
        self, service: str, country: str, since_us: int, until_us: int
    ) -> list[Opinion]:
        """Every volunteer's verdicts on a service in one country, one by one, oldest first.

        Raises TooMuchError over opinions.MAX_OPINIONS, StoreError.
        """
        asked = opinions.opinions(service, country, since_us, until_us)
        return opinions.complete(await self._read(asked), service, country)

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
        """How a service fares in all other countries: each bin in which anybody knows.

        What a vantage said last counts for `fresh_s` (a bin if 0, else whole bins). Down and k of n
        endpoints are bad as well as blocked; slowness is not known here. Raises StoreError.
        """
        asked = (service, not_country, since_us, until_us, bin_s, max(fresh_s, bin_s))
        return await self._read(opinions.world_tally(*asked))

    async def totals(self, wanted: aggregation.Wanted) -> list[aggregation.Total]:
        """Raises TooMuchError, StoreError."""
        window = (wanted.since_us, wanted.until_us)
        counted = live(await self._read(marks(*window)), wanted.by, *window)
        return aggregation.complete(await self._read(aggregation.totals(wanted, counted)))

    async def due_days(self, before_us: int, by: By, *, every: bool) -> list[date]:
        """Days before that are not summed; `every` looks at all verdicts. Raises StoreError."""
        return await self._write(lambda: self._days.due(before_us, by, every=every))

    async def sum_up(self, day: date, by: By) -> bool:
        """Sum a day for `totals`, if it is not; whether it was done now. Raises StoreError."""
        return await self._write(lambda: self._days.sum_up(day, by))

    async def measurements(
        self, wanted: MeasurementFilter, cursor: str = "", limit: int = 50
    ) -> MeasurementPage:
        """A page, newest first. Raises ValueError for a cursor that is not one of ours."""
        after = queries.parse_cursor(cursor)
        size = max(1, min(limit, MAX_PAGE))
        found = await self._read(queries.found(wanted, after, size + 1))
        if not found:
            return MeasurementPage(items=())
        id_, started_us = found[:size][-1]
        taken = await self._read(queries.measurements(found[:size]))
        verdicts = await self._read(queries.verdicts(taken))
        more = f"{started_us}.{id_}" if len(found) > size else ""
        return MeasurementPage(items=queries.paired(taken, verdicts), next=more)

    async def measurement(self, id: str) -> Judged | None:  # noqa: A002 the word of the row
        taken = await self._read(queries.measurement(id))
        if not taken:
            return None
        return queries.paired(taken, await self._read(queries.verdicts(taken)))[0]

    async def stretch(
        self,
        since_us: int,
        until_us: int,
        *,
        service: str = "",
        after: tuple[int, str] | None = None,
    ) -> list[Judgement]:
        """Up to MAX_PAGE measurements, oldest first, from `after` (started, id) on.

        Raises StoreError.
        """
        asked = queries.stretch(since_us, until_us, service or None, after, MAX_PAGE)
        taken = await self._read(asked)
        given = await self._read(queries.verdicts(taken)) if taken else []
        numbers = queries.last_judged(given)
        return [
            Judgement(taken=one, verdicts=verdicts, number=numbers.get(one.id, 0))
            for one, verdicts in queries.paired(taken, given)
        ]

    async def judged(self, taken: Sequence[Taken]) -> Sequence[Judged]:
        """With their last verdicts. Raises StoreError."""
        return queries.paired(taken, await self._read(queries.verdicts(taken))) if taken else ()

    async def judge_again(self, judgements: Sequence[Judgement]) -> None:
        """In place of what was said under a lower number. Raises StoreError."""

        def put() -> None:
            self._days.touch((j.taken.started_us, j.taken.vantage.country) for j in judgements)
            self._clickhouse.insert("verdicts", arrow_rows.judgements(judgements), "")

        await self._write(put)

    async def cells(self, wanted: CellFilter) -> list[Cell]:
        """As stored: `rollup.in_every_bin` adds the rows of nobody. Raises StoreError."""
        return await self._read(queries.cells(wanted))

    async def cell_days(self, since_us: int) -> list[tuple[int, int]]:
        """Each day's midnight, and when its five minutes were last written. Raises StoreError."""
        return await self._read(queries.cell_days(since_us))

    async def health(self) -> Health:
        """Raises StoreError when the store does not answer."""
        (row,) = await self._read(queries.health())
        free = self._clickhouse.free_bytes()
        return Health(engine=row[0], rows=row[1], bytes=row[2], parts=row[3], free_bytes=free)

    async def export(self, directory: Path) -> dict[str, int]:
        """Every table into a file of its own, all of one moment; how many rows each has."""
        return await self._write(lambda: {t: self._export(t, directory) for t in TABLES}, BACKUP_S)

    async def load(self, directory: Path, rows: Mapping[str, int]) -> None:
        """Fill empty tables from what `export` wrote. Raises StoreError when rows are missing."""

        def load() -> None:
            for table in TABLES:
                if table in rows:  # else the snapshot is from before that table
                    self._load(table, directory, rows[table])

        await self._write(load, BACKUP_S)

    async def empty(self) -> bool:
        """Whether nothing was ever put in."""
        return await self._write(lambda: not any(self._rows(table) for table in TABLES))

    def _export(self, table: str, directory: Path) -> int:
        self._clickhouse.export(table, directory / f"{table}.native")
        return self._rows(table)

    def _load(self, table: str, directory: Path, rows: int) -> None:
        self._clickhouse.load(table, directory / f"{table}.native")
        if self._rows(table) != rows:
            raise StoreError(f"{directory}: {table} has not the {rows} rows it was written with.")

    def _rows(self, table: str) -> int:
        return int(self._clickhouse.written(queries.rows(table), {})[0][0])

    def _open(self) -> None:
        self._clickhouse.open()
        try:
            cluster = self._clickhouse.cluster
            words = migrations.cluster(cluster) if cluster else migrations.LOCAL
            migrations.migrate(self._clickhouse.command, self._versions, words)
            for table, most in self._kept.items():
                self._keep(table, most)
        except (StoreError, migrations.SchemaError):
            self._clickhouse.close()
            raise

    def _versions(self) -> set[int]:
        return {row[0] for row in self._clickhouse.written("SELECT version FROM migrations", {})}

    def _keep(self, table: str, days: int) -> None:
        """Set a table's retention, unless it is set already: setting it rewrites parts."""
        days = min(days, LONGEST_DAYS)
        query = (
            "SELECT create_table_query FROM system.tables WHERE database = currentDatabase() "
            "AND name = {name:String}"
        )
        ((made,),) = self._clickhouse.written(query, {"name": table})
        rule = f"toDateTime({_KEPT[table]}) + toIntervalDay({days:d})"
        if rule not in made:
            self._clickhouse.command(f"ALTER TABLE {table} MODIFY TTL {rule}")

    def _insert(self, block: Block) -> None:
        """In this order: that it was begun, its rows, that it is done; measurements last of the
        rows, so that nobody sees one without its verdicts.

        Tokens alone do not hold on the embedded engine: after a kill it was seen to refuse the
        replay of a block whose rows were not in. So a replay asks what is there.
        """
        again = self._marked(block.journal, _BEGUN) == (block.first, block.last)
        fresh = [judged for judged in block.judged if judged[0].position >= block.first]
        rows = {
            "presence": arrow_rows.presence(block.presence, block.journal),
            "quarantine": arrow_rows.refused(block.refused, block.journal),
            "verdicts": arrow_rows.verdicts(block.judged, block.last),
            "observations": arrow_rows.observations(fresh),
            "measurements": arrow_rows.measurements(fresh),
        }
        self._days.touch((t.started_us, t.vantage.country) for t, _ in block.judged)
        token = f"{block.journal}-{block.first}-{block.last}"
        if not again:
            self._mark(block, _BEGUN)
        for table, found in rows.items():
            missing = self._missing(table, found, block) if again else found
            self._clickhouse.insert(table, missing, token)
        self._mark(block, _DONE)

    def _missing(self, table: str, rows: "pa.Table", block: Block) -> "pa.Table":
        query, key = queries.there(table)
        bounds = {"journal": block.journal, "first": block.first, "last": block.last}
        return arrow_rows.without(rows, key, set(self._clickhouse.written(query, bounds)))

    def _mark(self, block: Block, kind: str) -> None:
        mark = arrow_rows.blocks(block.journal, kind, block.first, block.last)
        self._clickhouse.insert("blocks", mark, f"{block.journal}-{block.last}-{kind}")

    def _marked(self, journal: str, kind: str) -> tuple[int, int]:
        query = (
            "SELECT first, last FROM blocks WHERE journal = {journal:String} AND kind = "
            "{kind:String} ORDER BY last DESC LIMIT 1"
        )
        found = self._clickhouse.written(query, {"journal": journal, "kind": kind})
        return (found[0][0], found[0][1]) if found else (0, 0)

    async def _read(self, query: Query) -> list[Any]:
        """Raises StoreError."""

        def ask() -> list[Any]:
            found = self._clickhouse.ask(query.text, query.parameters, query.binary)
            return [query.row(row) for row in found]

        self._need_open()
        return await _within(self._reading, ask, READ_S)

    async def _write(self, work: Callable[[], _T], deadline_s: float = WRITE_S) -> _T:
        """Raises StoreError."""
        self._need_open()
        return await _within(self._writing, work, deadline_s)

    def _need_open(self) -> None:
        if self.closed:
            raise StoreError("The store is closed.")


async def _within(pool: ThreadPoolExecutor, work: Callable[[], _T], deadline_s: float) -> _T:
    """After a deadline the thread goes on: a question has its own limit, a block comes again."""
    try:
        async with asyncio.timeout(deadline_s):
            return await asyncio.get_running_loop().run_in_executor(pool, work)
    except TimeoutError:
        raise StoreError(f"The store did not answer within {deadline_s:.0f} s.") from None
