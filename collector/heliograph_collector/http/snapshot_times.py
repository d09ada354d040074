"""Compute the time that a snapshot covers, and until when it is valid. Pure.

Coverage began at a minute, which bins of five do not show. While the store is slow or away, the
last snapshot stays partly valid.
"""

from collections.abc import Iterable
from dataclasses import replace

from heliograph.observation import Link
from heliograph_collector.aggregate.disclosure import BIN_US
from heliograph_collector.http.backend import AgentCounts
from heliograph_collector.http.snapshot import (
    FRESH_BINS,
    NetworkColumn,
    Snapshot,
    SnapshotCoverage,
    history_window,
)
from heliograph_collector.model.records import BlindTime

BEFORE_START = "before_start"  # the reason of the gap that ends when the collector began


def find_beginning(gaps: Iterable[BlindTime]) -> int:
    """Return when the collector began; 0 if before the window of the gaps."""
    return max((gap.until_us or 0 for gap in gaps if gap.reason == BEFORE_START), default=0)


def begin_at(coverage: SnapshotCoverage, began_us: int) -> SnapshotCoverage:
    """Return coverage with the collector's beginning, and since then if the first vote is of then.

    The bin of that vote may begin before the collector did, or minutes after it.
    """
    coverage = replace(coverage, began_us=began_us)
    if coverage.first_us is None or abs(coverage.first_us - began_us) >= BIN_US:
        return coverage
    return replace(coverage, first_us=began_us)


def mark_outdated(snapshot: Snapshot, now_us: int) -> Snapshot:
    """Return a snapshot marked as outdated, without readings that are too old by now.

    A reading is shown for as long as if the store answered, and so is a link: a place may have gone
    dark since.
    """
    least_us = now_us // BIN_US * BIN_US - (FRESH_BINS - 1) * BIN_US
    columns = snapshot.columns
    if snapshot.at_us < least_us:
        columns = tuple(replace(column, link=Link.UNKNOWN) for column in columns)
    columns = tuple(_drop_old_readings(column, least_us) for column in columns)
    return replace(snapshot, columns=columns, is_outdated=True)


def _drop_old_readings(column: NetworkColumn, least_us: int) -> NetworkColumn:
    readings = {
        name: replace(reading, cell=None, since=None)
        if reading.cell and reading.cell.start_us < least_us
        else reading
        for name, reading in column.readings.items()
    }
    return replace(column, readings=readings)


def blank_snapshot(at_us: int, k: int, entry: int) -> Snapshot:
    """Return the snapshot before the store first answers: only incidents are known."""
    since_us, _ = history_window(at_us)
    coverage = SnapshotCoverage(
        agents=AgentCounts(), vantages=0, first_us=None, gaps=(), country_gaps={}
    )
    return Snapshot(
        at_us=at_us,
        since_us=since_us,
        k=k,
        services=(),
        columns=(),
        coverage=coverage,
        entry=entry,
        is_outdated=True,
    )
