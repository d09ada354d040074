"""Caches of costly answers: stale-while-revalidate, and cells by day.

A reader of a stale answer gets it at once, and the cache refreshes it in the background (RFC 5861).
A reader waits only when the key has no recent answer. The store counts cells day by day: past days
are cached for minutes, the current day for seconds. The number of cells bounds the cache.
"""

import asyncio
import logging
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Collection,
    Hashable,
    Iterator,
    Sequence,
)
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Generic, Protocol, TypeVar, Unpack, cast

from heliograph.clock import Clock
from heliograph.units import DAY_US, HOUR_US
from heliograph_collector.aggregate.disclosure import (
    BIN_US,
    find_instant,
    find_least,
    list_atom_fields,
)
from heliograph_collector.aggregate.rollup import fill_bins, roll_up_bins
from heliograph_collector.aggregate.vote_counts import count_verdicts
from heliograph_collector.aggregate.wider_scopes import widen_silences
from heliograph_collector.model.filters import PlaceFilter
from heliograph_collector.model.records import Cell, Count, SilenceCount
from heliograph_collector.store.clickhouse import StoreError, TooMuchError
from heliograph_collector.store.heard_votes import VerdictRow, select_many
from heliograph_collector.store.losses import Losses

log = logging.getLogger(__name__)

_T = TypeVar("_T")
_T_co = TypeVar("_T_co", covariant=True)
_MAX_STALE = 64  # keys that wait for a refresh; assumed
_COST_FACTOR = 5  # to limit load, fresh for at least 5 times the time that it took to compute


@dataclass(frozen=True, slots=True)
class Ttl:
    """The time in which an answer is fresh, and a grace period during its refresh."""

    fresh_us: int
    grace_us: int = 0


class AnswerMaker(Protocol[_T_co]):
    """Compute an answer."""

    def __call__(self) -> Awaitable[_T_co]: ...


@dataclass(frozen=True, slots=True)
class _CacheEntry(Generic[_T]):
    value: _T
    make: AnswerMaker[_T]
    ttl: Ttl
    stale_us: int  # monotonic
    expires_us: int  # after this time the answer is not served


class StaleWhileRevalidate(Generic[_T]):
    """A cache of at most `max_weight` by `weigh`; it evicts the oldest answers."""

    def __init__(self, clock: Clock, max_weight: int) -> None:
        self._clock = clock
        self._max_weight = max_weight
        self._entries: dict[Hashable, _CacheEntry[_T]] = {}
        self._key_locks: dict[Hashable, asyncio.Lock] = {}
        self._stale: dict[Hashable, tuple[AnswerMaker[_T], Ttl]] = {}  # keys to refresh
        self._wake_up = asyncio.Event()
        self._errors: dict[Hashable, StoreError] = {}  # of the last refresh of some of them
        self._turn = asyncio.Event()  # set, and replaced, after each refresh
        self._running = False

    async def get(self, key: Hashable, make: AnswerMaker[_T], ttl: Ttl) -> _T:
        """Return the answer, computed once for all concurrent readers.

        Raises: every exception of `make`.
        """
        if (entry := self._lookup(key)) is not None:
            return entry.value
        async with self._lock_key(key):
            entry = self._lookup(key) or await self._refresh(key, make, ttl)
            return entry.value

    async def get_last(
        self, key: Hashable, make: AnswerMaker[_T], ttl: Ttl, patience_s: float
    ) -> _T:
        """Return the answer, or the last one if a newer fails or exceeds the patience.

        With `run`, `make` continues after the patience, for later readers.

        Raises: StoreError where no answer is younger than an hour.
        """
        if (entry := self._lookup(key)) is not None:
            return entry.value
        if not self._running:
            try:
                return await self.get(key, make, ttl)
            except StoreError as error:
                return self._read_last(key, error)
        if len(self._stale) < _MAX_STALE:
            self._stale.setdefault(key, (make, ttl))
            self._wake_up.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                while key in self._stale:
                    await self._turn.wait()
        return self._read_last(key, self._errors.get(key))

    def _read_last(self, key: Hashable, error: StoreError | None) -> _T:
        entry = self._entries.get(key)
        if entry is None or self._clock.monotonic_us() >= entry.stale_us + HOUR_US:
            raise error or StoreError("The store has not answered in time.")
        return entry.value

    def weigh(self, value: _T) -> int:
        """Return the weight of an answer, by default 1."""
        return 1

    async def run(self) -> None:
        """Refresh stale answers that were served; never return.

        Without this task the cache serves no stale answers.
        """
        self._running = True
        try:
            while True:
                await self._wake_up.wait()
                self._wake_up.clear()
                await self._refresh_stale()
        finally:
            self._running = False

    async def _refresh_stale(self) -> None:
        while self._stale:
            key, (make, ttl) = next(iter(self._stale.items()))
            async with self._lock_key(key):
                self._errors.pop(key, None)
                try:
                    await self._refresh(key, make, ttl)
                except StoreError as error:
                    self._errors[key] = error
                    if len(self._errors) > _MAX_STALE:
                        del self._errors[next(iter(self._errors))]
                except Exception:  # the next reader after expiry gets the same error
                    log.exception("an answer could not be computed")
            self._stale.pop(key, None)
            turn = self._turn
            self._turn = asyncio.Event()
            turn.set()

    @asynccontextmanager
    async def _lock_key(self, key: Hashable) -> AsyncIterator[None]:
        key_lock = self._key_locks.setdefault(key, asyncio.Lock())
        try:
            async with key_lock:
                yield
        finally:
            if not key_lock.locked():
                self._key_locks.pop(key, None)

    def _lookup(self, key: Hashable) -> _CacheEntry[_T] | None:
        entry = self._entries.get(key)
        now_us = self._clock.monotonic_us()
        if entry is None or now_us >= (entry.expires_us if self._running else entry.stale_us):
            return None
        if now_us >= entry.stale_us:
            self._stale[key] = (entry.make, entry.ttl)
            self._wake_up.set()
        return entry

    async def _refresh(self, key: Hashable, make: AnswerMaker[_T], ttl: Ttl) -> _CacheEntry[_T]:
        began_us = self._clock.monotonic_us()
        value = await make()
        now_us = self._clock.monotonic_us()
        stale_us = now_us + max(ttl.fresh_us, _COST_FACTOR * (now_us - began_us))
        entry = _CacheEntry(value, make, ttl, stale_us, stale_us + ttl.grace_us)
        self._entries.pop(key, None)
        self._entries[key] = entry
        while len(self._entries) > 1 and self._total_weight() > self._max_weight:
            del self._entries[next(iter(self._entries))]
        return entry

    def _total_weight(self) -> int:
        return sum(self.weigh(entry.value) for entry in self._entries.values())


class _CellCache(StaleWhileRevalidate[Sequence[Cell]]):
    def weigh(self, value: Sequence[Cell]) -> int:
        return 1 + len(value)


_SETTLED_TTL = Ttl(fresh_us=300_000_000, grace_us=900_000_000)
_CURRENT_TTL = Ttl(fresh_us=15_000_000, grace_us=30_000_000)
_SETTLED_US = 600_000_000  # most data of a bin arrive within this time after its end
_MAX_CELLS = 250_000  # cells, some 300 bytes each
FEW_VERDICTS = 60_000  # counted here; the engine takes longer to read and answer the question
FEW_LOSSES = 20_000  # arrivals and losses of a day; the engine then needs less than this process
_SAME_PAGE_US = 5_000_000  # between two questions of one page; assumed


class CountStore(Protocol):
    """The queries of the store that the cache needs."""

    async def votable(
        self, since_us: int, until_us: int, most: int | None, **filters: Unpack[PlaceFilter]
    ) -> list[VerdictRow]: ...
    async def counts(
        self,
        since_us: int,
        until_us: int,
        bin_s: int,
        *,
        wider: Collection[str] = (),
        **filters: Unpack[PlaceFilter],
    ) -> list[Count]: ...
    async def losses(
        self, since_us: int, until_us: int, most: int, **filters: Unpack[PlaceFilter]
    ) -> Losses: ...
    async def silences(
        self, since_us: int, until_us: int, bin_s: int, **filters: Unpack[PlaceFilter]
    ) -> list[SilenceCount]: ...


@dataclass(frozen=True, slots=True)
class _DayQuery:
    """One day of a query."""

    since_us: int
    until_us: int
    bin_s: int
    merged_fields: tuple[str, ...]
    filters: tuple[tuple[str, object], ...]  # the items of a `PlaceFilter`

    def widen(self) -> "_DayQuery":
        """Return the question about whole five minutes, which the same page may ask next."""
        width_us = BIN_US
        since_us = self.since_us // width_us * width_us
        return replace(self, since_us=since_us, until_us=-(-self.until_us // width_us) * width_us)


class _Ask(Protocol[_T_co]):
    """A question to the store. Raises TooMuchError over `most`, StoreError."""

    async def __call__(
        self, since_us: int, until_us: int, most: int, **filters: Unpack[PlaceFilter]
    ) -> _T_co: ...


class _LastAnswer(Generic[_T]):
    """Last answer of the store, for queries on the same scope that follow at once.

    A page asks twice, by networks and by regions, or by minutes what it has by five of them.
    """

    def __init__(self, clock: Clock, ask: "_Ask[_T]", most: int) -> None:
        self._clock = clock
        self._ask = ask
        self._most = most
        self._last: tuple[_DayQuery, PlaceFilter, int, _T | None] | None = None  # when: monotonic

    async def get(self, query: _DayQuery, filters: PlaceFilter) -> _T | None:
        """Return the data to count here; None for too much. Raises StoreError."""
        if self._last is not None:
            known, known_filters, read_us, value = self._last
            is_within = known.since_us <= query.since_us and query.until_us <= known.until_us
            is_recent = self._clock.monotonic_us() < read_us + _SAME_PAGE_US
            if is_within and is_recent and known_filters == filters:
                return value
        wide = query.widen()
        try:
            value = await self._ask(wide.since_us, wide.until_us, self._most, **filters)
        except TooMuchError:
            value = None
        self._last = (wide, filters, self._clock.monotonic_us(), value)
        return value


class CellQueryCache:
    """Cells merged over some dimensions, cached by day.

    `cache.run` belongs in the collector's TaskGroup.
    """

    def __init__(self, store: CountStore, clock: Clock, k: int = 1) -> None:
        """With `k` over 1, cells hold what had arrived at the last instant of publication.

        Those of which nothing can be released may be missing.
        """
        self.cache = _CellCache(clock, _MAX_CELLS)
        self._k = k
        self._store = store
        self._clock = clock
        self._query_lock = asyncio.Lock()  # one query at a time: the store has other work
        self._verdicts = _LastAnswer[list[VerdictRow]](clock, store.votable, FEW_VERDICTS)
        self._losses = _LastAnswer[Losses](clock, store.losses, FEW_LOSSES)

    async def cells(
        self,
        since_us: int,
        until_us: int,
        bin_s: int,
        *,
        wider: Collection[str],
        empty: bool = True,
        **filters: Unpack[PlaceFilter],
    ) -> list[Cell]:
        """Return a row for every key and bin, merged over the fields in `wider`.

        Without `empty` a bin has rows of votes, and of a silence without votes one that names no
        service. Raises StoreError.
        """
        cells: list[Cell] = []
        for first_us, last_us in split_days(since_us, until_us, bin_s):
            query = _DayQuery(
                first_us, last_us, bin_s, tuple(sorted(wider)), tuple(sorted(filters.items()))
            )
            cells += await self.cache.get(
                query, partial(self._query_cells, query), self._ttl_for(query)
            )
        if not empty:  # most rows would be silences, one for each service
            return cells
        return await asyncio.to_thread(fill_bins, cells, since_us, until_us, bin_s)

    def _ttl_for(self, query: _DayQuery) -> Ttl:
        is_settled = query.until_us + _SETTLED_US <= self._clock.wall_us()
        return _SETTLED_TTL if is_settled else _CURRENT_TTL

    async def _query_cells(self, query: _DayQuery) -> Sequence[Cell]:
        filters = cast("PlaceFilter", dict(query.filters))
        if self._k > 1:
            filters["received_before_us"] = find_instant(self._clock.wall_us(), self._k)
        async with self._query_lock:
            counts = await self._read_counts(query, filters)
            place_filters = filters.copy()
            place_filters.pop("service", None)
            silences = await self._read_silences(query, place_filters)
            return await asyncio.to_thread(_roll_up, counts, silences, query)

    async def _read_counts(self, query: _DayQuery, filters: PlaceFilter) -> Sequence[Count]:
        """Count few verdicts here, and have the engine count many."""
        verdicts = await self._verdicts.get(query, filters)
        if verdicts is not None:
            return await asyncio.to_thread(_count, verdicts, query, self._k)
        window = (query.since_us, query.until_us, query.bin_s)
        return await self._store.counts(*window, wider=query.merged_fields, **filters)

    async def _read_silences(
        self, query: _DayQuery, filters: PlaceFilter
    ) -> Sequence[SilenceCount]:
        """Count few losses here, and have the engine count many."""
        losses = await self._losses.get(query, filters)
        window = (query.since_us, query.until_us, query.bin_s)
        if losses is None:
            return await self._store.silences(*window, **filters)
        fields = _list_fields(query) - {"service"}
        least = find_least(self._k, query.bin_s) if self._k > 1 else 1
        return await asyncio.to_thread(losses.count, *window, fields, least)


def _count(verdicts: Sequence[VerdictRow], query: _DayQuery, k: int) -> list[Count]:
    """Count what can be released: in most minutes fewer persons of a network measured."""
    if k > 1:
        least = find_least(k, query.bin_s)
        verdicts = select_many(verdicts, query.bin_s, _list_fields(query), least)
    window = (query.since_us, query.until_us, query.bin_s)
    return count_verdicts(verdicts, *window, query.merged_fields)


def _list_fields(query: _DayQuery) -> set[str]:
    """List the fields by which persons are counted to tell what cannot be released."""
    return set(list_atom_fields(query.bin_s)).difference(query.merged_fields)


def _roll_up(
    counts: Sequence[Count], silences: Sequence[SilenceCount], query: _DayQuery
) -> list[Cell]:
    wide = widen_silences(silences, query.merged_fields)
    return roll_up_bins(counts, wide, query.since_us, query.until_us, query.bin_s)


def split_days(since_us: int, until_us: int, bin_s: int) -> Iterator[tuple[int, int]]:
    """Split [since, until) at midnights: a query covers at most one day, or one bin."""
    width = max(DAY_US, bin_s * 1_000_000)
    while since_us < until_us:
        end_us = min(until_us, (since_us // width + 1) * width)
        yield since_us, end_us
        since_us = end_us
