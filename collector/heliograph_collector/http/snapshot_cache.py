"""Cache of the current snapshot, shared by all readers.

`refresh` reads the two newest bins from the store, and ended bins only if they are missing, touched
by late data, or due for a full refresh.
"""

import asyncio
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar, cast

from heliograph.units import HOUR_US, MINUTE_US
from heliograph_collector.aggregate.disclosure import BIN_S, BIN_US, find_instant
from heliograph_collector.aggregate.query_cache import AnswerMaker, StaleWhileRevalidate, Ttl
from heliograph_collector.http import snapshot
from heliograph_collector.http.backend import AgentCounts, Feed, LinkCount
from heliograph_collector.http.cell_queries import feed_disclosure, query_store, roll_up_merged
from heliograph_collector.http.dark_places import DarkPlaces
from heliograph_collector.http.incident_document import OPEN_STATES, build_state, parse_us
from heliograph_collector.http.snapshot import Snapshot
from heliograph_collector.http.snapshot_times import (
    begin_at,
    blank_snapshot,
    find_beginning,
    mark_outdated,
)
from heliograph_collector.incidents.state import LoggedIncident
from heliograph_collector.model.records import Cell, SilenceCount, Vote
from heliograph_collector.model.scope import ScopeFilter
from heliograph_collector.store.clickhouse import StoreError

_SNAPSHOT_US = 1_000_000  # a snapshot is fresh for this time
_OUTDATED_US = MINUTE_US  # without an answer for so long it shows its age; a poll comes each 17 s
_MAX_OUTDATED_US = HOUR_US  # and after so long it is not shown; assumed
_HISTORY_US = MINUTE_US  # time between full refreshes of ended bins, which only late data change …
_REPORTED_HISTORY_US = 900_000_000  # … while polled, because `touch` reports late data
_RECENT_US = 2 * BIN_US
_BINS_PER_QUERY = 12  # bins in one query: an hour of the whole world is large
_PAGE_TTL = Ttl(fresh_us=10_000_000, grace_us=20_000_000)
_PATIENCE_S = 3.0  # of a reader, who then gets the last answer with its age; assumed
_IDLE_RATIO = 5  # to limit load, fresh for at least 5 times the time that it took to compute

_CACHE_SIZE = 48  # entries of `page_cache`
_T = TypeVar("_T")


class PublicBin(NamedTuple):
    """Released cells of a bin: whole networks, and vantages by region."""

    cells: Sequence[Cell]
    regions: Sequence[Cell]


class _ReadSnapshot(NamedTuple):
    """A snapshot as read from the store."""

    snapshot: Snapshot
    stale_us: int  # monotonic
    last_event: str  # of the bus when it was read


class _PublicSnapshot(NamedTuple):
    """A snapshot without the readings of dark places, and its source."""

    snapshot: Snapshot
    source: Snapshot
    entry: int  # the newest of the log
    outdated_bin: int  # the present bin where the source is outdated, else 0


class SnapshotCache:
    """The current snapshot, shared by all readers.

    Call `touch` with the times of stored data. While `is_polled`, a task calls `refresh` regularly
    and readers get the last snapshot without waiting. `page_cache` holds further shared data.
    """

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self.page_cache: StaleWhileRevalidate[Any] = StaleWhileRevalidate(feed.clock, _CACHE_SIZE)
        self._lock = asyncio.Lock()
        self._last_read: _ReadSnapshot | None = None
        self._checked_us = 0  # monotonic, when the store answered last
        self._public: _PublicSnapshot | None = None
        self._derived: tuple[dict[object, object], dict[object, asyncio.Lock]] = ({}, {})  # from it
        self._bins: dict[int, PublicBin] = {}  # ended bins by start
        self._full_refresh_us = 0  # time of the next full refresh
        self._touched_bins: dict[int, int] = {}  # wall time of the newest touch by start
        self.is_polled = False

    def touch(self, timestamps_us: Iterable[int]) -> None:
        now_us = self._feed.clock.wall_us()
        self._touched_bins |= {at_us // BIN_US * BIN_US: now_us for at_us in timestamps_us}

    async def current_snapshot(self) -> Snapshot:
        """Return the last snapshot while it is polled, else refresh it.

        While the store is slow or away that is the last one, up to an hour old and marked.
        Raises StoreError where there is none.
        """
        cached = self._last_read
        is_usable = self._monotonic_us() < self._checked_us + _MAX_OUTDATED_US
        if self.is_polled and cached and is_usable:
            return self._hide_dark(cached.snapshot)
        try:
            return await self.refresh()
        except StoreError:
            if cached is None or not is_usable:
                raise
            return self._hide_dark(cached.snapshot)

    async def refresh(self) -> Snapshot:
        """Return a snapshot no older than a second or five times its computing time."""
        async with self._lock:
            began_us = self._monotonic_us()
            last_event = self._feed.bus.last
            cached = self._last_read
            is_stale = (
                cached is None or began_us >= cached.stale_us or cached.last_event != last_event
            )
            if cached is None or (is_stale and not self._is_held(cached.snapshot)):
                new_snapshot = await self._read_snapshot()
                stale_us = self._stale_us(began_us, _SNAPSHOT_US)
                cached = self._last_read = _ReadSnapshot(new_snapshot, stale_us, last_event)
            self._checked_us = began_us
            return self._hide_dark(cached.snapshot)

    async def read_page_data(self, key: Hashable, read: AnswerMaker[_T]) -> _T:
        """Read data of a page once for all its readers, or return the last that were read.

        Raises StoreError.
        """
        return cast("_T", await self.page_cache.get_last(key, read, _PAGE_TTL, _PATIENCE_S))

    def list_cells(self, country: str, since_us: int) -> list[Cell]:
        """List a country's released cells in the last snapshot's bins, by network."""
        return [
            cell
            for start_us, public_bin in self._bins.items()
            if start_us >= since_us
            for cell in public_bin.cells
            if cell.country == country
        ]

    def blank_snapshot(self, entry: int) -> Snapshot:
        return blank_snapshot(self._feed.clock.wall_us(), self._feed.k_anonymity, entry)

    def _hide_dark(self, new_snapshot: Snapshot) -> Snapshot:
        """Return a snapshot without dark places' readings, at once after a log entry."""
        feed = self._feed
        entry = len(feed.book.entries)  # read first, because another thread writes the book
        public = self._public
        now_us = feed.clock.wall_us()
        is_outdated = self._monotonic_us() >= self._checked_us + _OUTDATED_US
        outdated_bin = now_us // BIN_US if is_outdated else 0
        if (
            public is None
            or public.source is not new_snapshot
            or (public.entry, public.outdated_bin) != (entry, outdated_bin)
        ):
            since_us = new_snapshot.at_us - HOUR_US  # of an older end there is a newer reading
            states = (
                build_state(logged, feed.services, feed.k_anonymity)
                for logged in feed.book.incidents()
                if logged.state in OPEN_STATES or _is_closed_since(logged, since_us)
            )
            dark_places = DarkPlaces([state for state in states if state])
            current = mark_outdated(new_snapshot, now_us) if is_outdated else new_snapshot
            public_snapshot = replace(dark_places.hide_readings(current), entry=entry)
            public = _PublicSnapshot(public_snapshot, new_snapshot, entry, outdated_bin)
            self._public = public
            self._derived = ({}, {})
        return public.snapshot

    async def derive(self, base_snapshot: Snapshot, key: object, make: Callable[[], _T]) -> _T:
        """Compute `make` once per key and snapshot, in another thread."""
        values, locks = (
            self._derived if self._public and self._public.snapshot is base_snapshot else ({}, {})
        )
        async with locks.setdefault(key, asyncio.Lock()):
            if key not in values:
                values[key] = await asyncio.to_thread(make)
            return cast("_T", values[key])

    def _is_held(self, snapshot: Snapshot) -> bool:
        """Return whether a snapshot holds until the next instant of publication."""
        k = self._feed.k_anonymity
        now_us = self._feed.clock.wall_us()
        return k > 1 and find_instant(snapshot.at_us, k) == find_instant(now_us, k)

    def _monotonic_us(self) -> int:
        return self._feed.clock.monotonic_us()

    def _stale_us(self, began_us: int, least_us: int) -> int:
        now_us = self._monotonic_us()
        return now_us + max(least_us, _IDLE_RATIO * (now_us - began_us))

    async def _read_snapshot(self) -> Snapshot:
        at_us = self._feed.clock.wall_us()
        since_us, until_us = snapshot.history_window(at_us)
        cut_us = until_us - _RECENT_US
        await self._refresh_past(since_us, cut_us, find_instant(at_us, self._feed.k_anonymity))
        bins = [*self._bins.values(), *(await self._read_bins(cut_us, until_us)).values()]
        # Presence belongs to this thread; counting does not.
        composed = await asyncio.to_thread(
            self._compose, at_us, bins, self._feed.links(), self._feed.agents()
        )
        began_us = find_beginning(self._feed.list_gaps(since_us, until_us))
        return replace(composed, coverage=begin_at(composed.coverage, began_us))

    def _compose(
        self,
        at_us: int,
        bins: Sequence[PublicBin],
        links: Sequence[LinkCount],
        agents: AgentCounts,
    ) -> Snapshot:
        feed = self._feed
        k = self._feed.k_anonymity
        shown_cells = [cell for public_bin in bins for cell in public_bin.cells]
        tested = {cell.service for cell in shown_cells}
        titles = {n: t for n, t in feed.services.items() if n in tested or n not in feed.untested}
        recent_bins = bins[-snapshot.FRESH_BINS :]
        regions = [cell for public_bin in recent_bins for cell in public_bin.regions]
        return snapshot.compose_snapshot(at_us, k, titles, shown_cells, links, agents, regions)

    async def _refresh_past(self, since_us: int, cut_us: int, instant_us: int) -> None:
        """Read the ended bins that are missing, touched, or due for a full refresh.

        Data from after the last instant of publication are not in the answer yet, so its bins stay
        touched until a later instant.
        """
        began_us = self._monotonic_us()
        starts = range(since_us, cut_us, BIN_US)
        is_full = began_us >= self._full_refresh_us
        touched_bins = self._touched_bins
        self._touched_bins = {}
        missing_starts = [
            at for at in starts if is_full or at in touched_bins or at not in self._bins
        ]
        try:
            for first_us, last_us in _group_starts(missing_starts):
                self._bins |= await self._read_bins(first_us, last_us + BIN_US)
        except BaseException:
            self._touched_bins = touched_bins | self._touched_bins
            raise
        hidden_bins = {at: touched for at, touched in touched_bins.items() if touched > instant_us}
        self._touched_bins = hidden_bins | self._touched_bins
        self._bins = {at: self._bins[at] for at in starts}
        if is_full:
            least_us = _REPORTED_HISTORY_US if self.is_polled else _HISTORY_US
            self._full_refresh_us = self._stale_us(began_us, least_us)

    async def _read_bins(self, since_us: int, until_us: int) -> dict[int, PublicBin]:
        """Read bins merged over regions, because the page shows whole networks."""
        votes, silences = await query_store(self._feed, since_us, until_us, BIN_S, ScopeFilter())
        return await asyncio.to_thread(self._split_by_bin, votes, silences, since_us, until_us)

    def _split_by_bin(
        self, votes: Sequence[Vote], silences: Sequence[SilenceCount], since_us: int, until_us: int
    ) -> dict[int, PublicBin]:
        public_bins: dict[int, PublicBin] = {}
        disclosure = feed_disclosure(self._feed)
        _, newest_us = snapshot.history_window(self._feed.clock.wall_us())
        fresh_us = newest_us - snapshot.FRESH_BINS * BIN_US  # of older bins nobody asks where
        for at_us in range(since_us, until_us, BIN_US):
            window = (at_us, at_us + BIN_US, BIN_S)
            bin_votes = [v for v in votes if v.start_us == at_us]
            bin_silences = [s for s in silences if s.start_us == at_us]
            cells = roll_up_merged(bin_votes, bin_silences, window, ["region"])
            fresh_votes = bin_votes if at_us >= fresh_us else ()
            region_cells = roll_up_merged(fresh_votes, (), window, ["service"])
            public_bins[at_us] = PublicBin(
                [c for c in disclosure.release(cells) if c.vantages or c.silent],
                disclosure.release(region_cells),
            )
        return public_bins


def _is_closed_since(logged: LoggedIncident, since_us: int) -> bool:
    closed = logged.record.closed
    return closed is not None and parse_us(closed) > since_us


def _group_starts(starts: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Group consecutive bins to (first, last), at most `_BINS_PER_QUERY` in one."""
    first = 0
    for index in range(1, len(starts) + 1):
        is_apart = index == len(starts) or starts[index] != starts[index - 1] + BIN_US
        if is_apart or index - first == _BINS_PER_QUERY:
            yield starts[first], starts[index - 1]
            first = index
