"""The last snapshot while the store is slow or away: what may still be said by it. Pure."""

from dataclasses import replace

from heliograph.observation import Link
from heliograph_collector.http.backend import AgentCounts
from heliograph_collector.http.snapshot import (
    BIN_S,
    FRESH_BINS,
    NetworkColumn,
    Snapshot,
    SnapshotCoverage,
    history_window,
)

_BIN_US = BIN_S * 1_000_000


def mark_outdated(snapshot: Snapshot, now_us: int) -> Snapshot:
    """Return a snapshot as outdated, without what is too old by now.

    A reading is shown for as long as if the store answered, and so is a link: a place may have
    gone dark since.
    """
    least_us = now_us // _BIN_US * _BIN_US - (FRESH_BINS - 1) * _BIN_US
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
    """Return what is known before the store first answers: nothing but incidents."""
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
