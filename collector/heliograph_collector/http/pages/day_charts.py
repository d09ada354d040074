"""The bars of every country's last day, kept ready for the first reader.

A quarter of an hour is counted once for the whole world, soon after it ended, and kept as the rows
of each country that measured. Without this a first reader waits while the votes of a day are
counted: 11.6 s of CPU for the largest country of ten million measurements a month.

The engine takes 0.3 s of CPU for a bin without a row, and a day has 96. So bins are read only while
somebody reads countries, and none of before the collector began; until all are there, a reader
waits for the store. The newest two bins are read again at each instant of publication, a bin that
late data touched an hour after its last reading. Missing bins come newest first, one after the
other.

Meanwhile `compose_hours` makes a country's last day of bins in memory. The history has the hours
up to the last one, and the snapshot the five minutes of six hours, both as they were published; so
each bar is that of its hour, and the newest ones are those of their minutes.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from operator import attrgetter
from typing import Any, Protocol

from heliograph.units import HOUR_US, MINUTE_US, SECOND_US
from heliograph_collector.aggregate.cell_updater import list_cell_times
from heliograph_collector.aggregate.disclosure import Disclosure, find_instant
from heliograph_collector.http.backend import BlindTimeSource, CellSource
from heliograph_collector.http.cell_queries import feed_disclosure, query_cells
from heliograph_collector.http.history_rows import FULL_SHARE
from heliograph_collector.http.pages.country_timeline import (
    HOUR_MARKS,
    MERGED_FIELDS,
    WINDOWS,
    CountryBin,
    CountryTimeline,
    TimelineRow,
    compose_bin,
    compose_timeline,
    drop_details,
    join_bins,
)
from heliograph_collector.http.snapshot import NetworkGroup
from heliograph_collector.http.snapshot_times import find_beginning
from heliograph_collector.model.history import Axis, DayRow
from heliograph_collector.model.records import Block, Cell
from heliograph_collector.model.scope import ScopeFilter
from heliograph_collector.store.clickhouse import StoreError, TooMuchError

log = logging.getLogger("heliograph.pages")
_DAY = WINDOWS["day"]
_WIDTH_US = _DAY.bin_s * SECOND_US
_DETAILED_BINS = 3  # the newest, of which causes and counts are kept too
_LATE_US = HOUR_US  # between two readings of a bin that late data touch; assumed
# Of the newest bins where everything is public at once; assumed. A reading took 2.4 s of CPU beside
# ten million measurements a month, so in a large store the two take a twentieth of a core at most.
_RENEWAL_US = MINUTE_US // 2
_RENEWAL_LIMIT_US = 5 * MINUTE_US  # as often as beyond k = 1
_READING_SHARE = 40
_PAUSE_S = 5.0  # without anything to read; assumed
_ASKED_US = HOUR_US  # bars are kept so long after the last reader; assumed
AXES = (Axis.SERVICE, Axis.NETWORK, Axis.REGION)


class DaySource(CellSource, BlindTimeSource, Protocol):
    """The cells of a day, and its gaps."""


class DayCharts:
    """Keep the bars of the last day; `run` belongs in the collector's TaskGroup."""

    def __init__(self, feed: DaySource) -> None:
        self._feed = feed
        self._bins: dict[int, Mapping[str, CountryBin]] = {}  # by start, then by country
        self._instants: dict[int, int] = {}  # of publication, of what was read of each bin
        self._touched: dict[int, int] = {}  # wall time of the newest touch by start
        self._reading_us = 0  # how long the last reading took
        self._asked_us: int | None = None  # when a reader last came; monotonic

    def on_block(self, block: Block) -> None:
        self.touch(list_cell_times(block))

    def touch(self, timestamps_us: Iterable[int]) -> None:
        """Mark the bins of these times: their data have changed."""
        now_us = self._feed.clock.wall_us()
        self._touched |= {at_us // _WIDTH_US * _WIDTH_US: now_us for at_us in timestamps_us}

    def find_timeline(self, country: str, names: Iterable[str]) -> CountryTimeline | None:
        """Return the bars of a country's last day; None before all bins were read."""
        self._asked_us = self._feed.clock.monotonic_us()
        starts = _DAY.bin_starts(self._feed.clock.wall_us())
        if not self._bins or not all(at in self._bins for at in self._list_public(starts)[:-1]):
            return None
        bins = {at: by_country[country] for at, by_country in self._bins.items()
                if country in by_country}  # fmt: skip
        return join_bins(bins, starts, names, max(self._instants.values()))

    async def run(self) -> None:
        clock = self._feed.clock
        while True:
            began_us = clock.monotonic_us()
            if self._asked_us is None or began_us - self._asked_us > _ASKED_US:
                for cache in (self._bins, self._instants, self._touched):
                    cache.clear()
                await asyncio.sleep(_PAUSE_S)  # nobody reads: a look at one number, then again
                continue
            try:
                is_current = not await self.read_next()
            except StoreError as error:
                log.warning("The bars of countries are late: %s", error)
                is_current = True
            # Half of a core at most goes into what a start has to catch up with.
            busy_s = (clock.monotonic_us() - began_us) / SECOND_US
            await asyncio.sleep(_PAUSE_S if is_current else busy_s)

    async def read_next(self) -> bool:
        """Read the bin that is due first; return whether there was one. Raises StoreError."""
        now_us = self._feed.clock.wall_us()
        instant_us = find_instant(now_us, self._feed.k_anonymity)
        starts = _DAY.bin_starts(now_us)
        self._forget_before(starts)
        self._skip_before_beginning(starts, instant_us)
        start_us = self._find_due(starts, instant_us)
        if start_us is None:
            return False
        if self._touched.get(start_us, instant_us + 1) <= instant_us:
            del self._touched[start_us]
        began_us = self._feed.clock.monotonic_us()
        try:
            self._bins[start_us] = await self._read_bin(start_us)
        except TooMuchError as error:  # the other bins are not to wait for it
            log.warning("A quarter of an hour is missing in the bars: %s", error)
            self._bins[start_us] = {}
        except StoreError:
            self._touched.setdefault(start_us, now_us)
            raise
        self._instants[start_us] = instant_us
        self._reading_us = self._feed.clock.monotonic_us() - began_us
        return True

    def _forget_before(self, starts: range) -> None:
        for old_us in [at for at in self._bins if at < starts.start]:
            del self._bins[old_us]
            del self._instants[old_us]
        self._touched = {at: us for at, us in self._touched.items() if at >= starts.start}
        older_us = starts[-_DETAILED_BINS - 1]  # has become so when a bin began
        if older_us in self._bins:
            details = self._bins[older_us]
            self._bins[older_us] = {code: drop_details(part) for code, part in details.items()}

    def _list_public(self, starts: range) -> list[int]:
        """List the bins that may be shown; beyond k = 1 a bin is public when it is over."""
        k = self._feed.k_anonymity
        instant_us = find_instant(self._feed.clock.wall_us(), k)
        return [at for at in starts if k <= 1 or at + _WIDTH_US <= instant_us]

    def _skip_before_beginning(self, starts: range, instant_us: int) -> None:
        """Treat bins from before the collector began as empty, until late data arrive."""
        began_us = find_beginning(self._feed.list_gaps(starts.start, starts.stop))
        for at in starts:
            if at + _WIDTH_US <= began_us and at not in self._bins:
                self._bins[at] = {}
                self._instants[at] = instant_us

    def _find_due(self, starts: range, instant_us: int) -> int | None:
        """Return the start of the newest bin that is due; None if all are current."""
        is_exact = self._feed.k_anonymity <= 1
        public = self._list_public(starts)
        for start_us in reversed(public):
            read_us = self._instants.get(start_us)
            if read_us is None:
                return start_us
            wait_us = _LATE_US
            if start_us in public[-2:]:
                wait_us = self._find_renewal_us() if is_exact else 1
            is_changed = start_us in public[-2:] or self._touched.get(start_us, instant_us) < (
                instant_us
            )
            if is_changed and instant_us >= read_us + wait_us:
                return start_us
        return None

    def _find_renewal_us(self) -> int:
        return min(_RENEWAL_LIMIT_US, max(_RENEWAL_US, _READING_SHARE * self._reading_us))

    async def _read_bin(self, start_us: int) -> Mapping[str, CountryBin]:
        window = (start_us, start_us + _WIDTH_US, _DAY.bin_s)
        network_cells, region_cells = [
            await query_cells(self._feed, *window, ScopeFilter(), merged_fields, keep_empty=False)
            for merged_fields in MERGED_FIELDS
        ]
        disclosure = feed_disclosure(self._feed)
        return await asyncio.to_thread(
            _compose_bins, disclosure, network_cells, region_cells, range(*window[:2], _WIDTH_US)
        )


def _compose_bins(
    disclosure: Disclosure,
    network_cells: Sequence[Cell],
    region_cells: Sequence[Cell],
    bin_: range,
) -> dict[str, CountryBin]:
    """Compose the rows of each country that has any."""
    by_country = [_group_countries(cells) for cells in (network_cells, region_cells)]
    composed = {
        country: compose_bin(disclosure, cells, by_country[1].get(country, ()), bin_)
        for country, cells in by_country[0].items()
    }
    return {code: part for code, part in composed.items() if part.networks or part.is_silent}


def _group_countries(cells: Iterable[Cell]) -> dict[str, list[Cell]]:
    of_country = attrgetter("country")
    ordered = sorted(cells, key=of_country)
    return {country: list(group) for country, group in groupby(ordered, key=of_country)}


def compose_hours(
    days: Iterable[DayRow],
    released: Sequence[Cell],
    starts: range,
    names: Sequence[str],
    instant_us: int,
) -> CountryTimeline:
    """Compose the rows of one country.

    Args:
        days: The rows of its history, by service, network and region.
        released: The newest cells that are public, merged over regions.
        starts: The bins of the chart.
        names: The services whose rows come first.
        instant_us: The instant of publication of `released`.
    """
    width_us = starts.step
    cells = [replace(c, start_us=c.start_us // width_us * width_us) for c in released]
    everything = Disclosure(1, {*names, *(c.service for c in cells)}, instant_us)
    newest = compose_timeline(everything, cells, (), starts, names)
    by_axis: dict[Axis, dict[Any, list[DayRow]]] = {axis: {} for axis in AXES}
    for day in days:
        by_axis[day.axis].setdefault(_read_key(day), []).append(day)
    return replace(
        newest,
        services=_join_rows(newest.services, by_axis[Axis.SERVICE], starts),
        networks=_join_rows(newest.networks, by_axis[Axis.NETWORK], starts),
        regions=_join_rows(newest.regions, by_axis[Axis.REGION], starts),
    )


def _read_key(day: DayRow) -> object:
    """Return what a row is about, as the timeline names it."""
    if day.axis is Axis.NETWORK:
        return NetworkGroup(day.country, day.asn, day.access)
    return day.region if day.axis is Axis.REGION else day.service


def _join_rows(
    newest: Mapping[Any, TimelineRow], days: Mapping[Any, Sequence[DayRow]], starts: range
) -> dict[Any, TimelineRow]:
    nothing = TimelineRow(marks=(None,) * len(starts), shares=(1.0,) * len(starts))
    keys = [*newest, *(key for key in days if key not in newest)]
    return {key: _join_row(newest.get(key, nothing), days.get(key, ()), starts) for key in keys}


def _join_row(newest: TimelineRow, days: Iterable[DayRow], starts: range) -> TimelineRow:
    """Fill bins without a state in the newest cells with their hours."""
    marks = list(newest.marks)
    shares = list(newest.shares)
    hours = {
        day.day_us + hour * HOUR_US: (HOUR_MARKS[code], share / FULL_SHARE)
        for day in days
        for hour, (code, share) in enumerate(zip(day.hours, day.shares, strict=True))
        if code
    }
    for index, start_us in enumerate(starts):
        if marks[index] is None and start_us // HOUR_US * HOUR_US in hours:
            marks[index], shares[index] = hours[start_us // HOUR_US * HOUR_US]
    return replace(newest, marks=tuple(marks), shares=tuple(shares))
