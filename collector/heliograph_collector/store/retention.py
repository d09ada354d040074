"""Delete expired partitions by the expiry time, not by the engine's clock.

The engine's TTL would follow the machine's clock: one that is ahead by two years for a moment
deletes the archive. So tables have none, and `RetentionJob` names the partitions to drop.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Protocol

from heliograph.units import DAY_US, SECOND_US
from heliograph_collector.model.expiry_clock import ExpiryTime
from heliograph_collector.store.clickhouse import ClickHouse, StoreError
from heliograph_collector.store.journal.journal import JournalError

RETENTION_INTERVAL_S = 600.0  # assumed; partitions are days, weeks and months

log = logging.getLogger("heliograph.retention")


class Partition(Enum):
    """The period of a table's partitions; the value is the function in `schema/`."""

    DAY = "toYYYYMMDD"
    WEEK = "toMonday"
    MONTH = "toYYYYMM"


# Other tables are kept permanently.
PARTITION_BY_TABLE = {
    "measurements": Partition.WEEK,
    "certificates": Partition.WEEK,
    "quarantine": Partition.WEEK,
    "verdicts": Partition.WEEK,
    "presence": Partition.WEEK,
    "minute_cells": Partition.DAY,
    "days": Partition.MONTH,
}

_VERDICT_TABLES = ("verdicts", "presence", "days")


def choose_retention(
    observations_days: int, verdicts_days: int, minutes_days: int
) -> Mapping[str, int]:
    """Return the days that each table's rows are kept."""
    days_by_table = dict.fromkeys(PARTITION_BY_TABLE, observations_days)
    # A measurement is never kept longer than its verdicts.
    days_by_table |= dict.fromkeys(_VERDICT_TABLES, max(verdicts_days, observations_days))
    days_by_table["minute_cells"] = minutes_days
    return days_by_table


def name_partition(partition: Partition, time_us: int) -> str:
    """Return the engine's id of the partition that holds a time; ids sort by time."""
    day = datetime.fromtimestamp(max(time_us, 0) / SECOND_US, UTC)
    if partition is Partition.WEEK:
        day -= timedelta(days=day.weekday())
    return f"{day:%Y%m}" if partition is Partition.MONTH else f"{day:%Y%m%d}"


@dataclass(frozen=True, slots=True)
class Retention:
    """Deletion of old partitions; only the writing thread may call it."""

    clickhouse: ClickHouse
    days_by_table: Mapping[str, int]

    def delete_expired(self, expiry_us: int) -> int:
        """Drop each partition that ended before a table's retention; return how many.

        Raises StoreError.
        """
        return sum(
            self._drop_partitions(table, expiry_us - days * DAY_US)
            for table, days in self.days_by_table.items()
        )

    def _drop_partitions(self, table: str, before_us: int) -> int:
        sql = (
            "SELECT DISTINCT partition_id FROM system.parts WHERE active AND table = {table:String}"
            " AND database = currentDatabase() AND partition_id < {first_kept:String}"
        )
        first_kept = name_partition(PARTITION_BY_TABLE[table], before_us)
        parameters = {"table": table, "first_kept": first_kept}
        rows = self.clickhouse.query_written(sql, parameters)
        for (partition_id,) in rows:
            self.clickhouse.command(f"ALTER TABLE {table} DROP PARTITION ID '{int(partition_id)}'")
        return len(rows)


class ExpiringStore(Protocol):
    """Store that deletes what its retention does not cover."""

    async def delete_expired(self, expiry_us: int) -> int: ...


class ExpiryRecord(Protocol):
    """Journal that keeps the expiry time over a restart."""

    async def mark_expiry(self, at_us: int) -> None: ...


class RetentionJob:
    """Delete expired data every RETENTION_INTERVAL_S.

    `run` belongs in a TaskGroup.
    """

    def __init__(self, store: ExpiringStore, journal: ExpiryRecord, expiry: ExpiryTime) -> None:
        self._store = store
        self._journal = journal
        self._expiry = expiry

    async def run(self) -> None:
        while True:
            await self.run_round()
            await asyncio.sleep(RETENTION_INTERVAL_S)

    async def run_round(self) -> None:
        """Run one round; a failed one is repeated with the next."""
        expiry_us = self._expiry.expiry_us()
        try:
            await self._journal.mark_expiry(self._expiry.reached_us())
            dropped = await self._store.delete_expired(expiry_us)
        except (StoreError, JournalError) as error:
            log.warning("Old rows are deleted later: %s", error)
            return
        if dropped:
            log.info("%d partitions of the store were beyond their retention.", dropped)
