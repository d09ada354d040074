"""The store deletes by expiry time alone, whatever the engine's clock is."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from heliograph.units import DAY_US, SECOND_US
from heliograph_collector.model.expiry_clock import ExpiryClock
from heliograph_collector.model.guarded_clock import GuardedClock
from heliograph_collector.store.journal.journal import Journal
from heliograph_collector.store.retention import (
    PARTITION_BY_TABLE,
    Partition,
    RetentionJob,
    choose_retention,
    name_partition,
)
from heliograph_collector.store.store import Store
from support.crowds import keep
from support.hand_clock import HandClock
from support.rows import T0, block, lost_row, observations, reachable, taken
from support.stores import open_store

TABLES = ("measurements", "verdicts", "presence")
TWO_YEARS = 2 * 365 * DAY_US


def count(store: Store) -> dict[str, int]:
    """Count rows after merges, in which the engine would apply a TTL."""
    counts = {}
    for table in TABLES:
        store._clickhouse.command(f"OPTIMIZE TABLE {table} FINAL")
        sql = f"SELECT count() AS n FROM {table}"
        counts[table] = int(store._clickhouse.query_written(sql, {})[0][0])
    return counts


async def fill(store: Store) -> None:
    await keep(store, (taken(1, steps=observations()), (reachable(),)))
    lost = lost_row(position=2, received_us=T0)
    await store.insert_block(replace(block(2, 2), presence=(lost,)))


def list_ttls(store: Store) -> list[str]:
    sql = "SELECT name FROM system.tables WHERE position(engine_full, 'TTL') > 0 ORDER BY name"
    return [row[0] for row in store._clickhouse.query_written(sql, {})]


async def test_the_engine_deletes_nothing_by_its_own_clock(tmp_path: Path) -> None:
    """Rows of 2022: for them the engine's clock is ahead by years."""
    async with open_store(tmp_path, observations_days=30, verdicts_days=60) as store:
        await fill(store)
        kept = await asyncio.to_thread(count, store)
        assert all(kept.values())
        assert not list_ttls(store)
        # The last day that is kept is in the middle of a week.
        assert await store.delete_expired(T0 + 33 * DAY_US) == 0
        assert await store.delete_expired(T0 + 38 * DAY_US) == 1
        left = await asyncio.to_thread(count, store)
        assert left == kept | {"measurements": 0}
        assert await store.delete_expired(T0 + 68 * DAY_US) == 2
        assert not any((await asyncio.to_thread(count, store)).values())


async def test_tables_of_an_earlier_version_lose_their_ttl_and_no_row(tmp_path: Path) -> None:
    async with open_store(tmp_path) as store:
        await fill(store)
        for table, time in (("verdicts", "started"), ("presence", "received")):
            rule = f"toDateTime({time}) + toIntervalDay(18000)"
            store._clickhouse.command(f"ALTER TABLE {table} MODIFY TTL {rule}")
        assert list_ttls(store) == ["presence", "verdicts"]
        kept = await asyncio.to_thread(count, store)
    async with open_store(tmp_path) as again:
        assert not list_ttls(again)
        assert await asyncio.to_thread(count, again) == kept


async def test_a_clock_two_years_ahead_for_25_s_deletes_nothing_and_retention_works_later(
    tmp_path: Path,
) -> None:
    hands = HandClock(wall=T0)
    async with open_store(tmp_path, observations_days=30, verdicts_days=60) as store:
        await fill(store)
        kept = await asyncio.to_thread(count, store)
        for ahead_us in (0, TWO_YEARS, 0):  # the collector is started three times
            journal = Journal(tmp_path / "journal.db")
            hands.wall += ahead_us
            clock = GuardedClock(hands, journal.alive_before_us)
            expiry = ExpiryClock(clock, journal.expiry_before_us, journal.alive_before_us)
            job = RetentionJob(store, journal, expiry)
            for _ in range(25):
                hands.advance_us(SECOND_US)
                await job.run_round()
            await journal.mark_alive(clock.wall_us())
            await journal.close()
            hands.wall -= ahead_us
            assert await asyncio.to_thread(count, store) == kept
        journal = Journal(tmp_path / "journal.db")
        expiry = ExpiryClock(hands, journal.expiry_before_us, journal.alive_before_us)
        hands.advance_us(70 * DAY_US)
        await RetentionJob(store, journal, expiry).run_round()
        await journal.close()
        assert not any((await asyncio.to_thread(count, store)).values())


def test_no_measurement_is_kept_longer_than_its_verdicts() -> None:
    days = choose_retention(observations_days=200, verdicts_days=30, minutes_days=5)
    assert days["measurements"] == days["verdicts"] == days["presence"] == days["days"] == 200
    assert days["minute_cells"] == 5


@pytest.mark.parametrize(
    ("partition", "name"),
    [(Partition.DAY, "20220105"), (Partition.WEEK, "20220103"), (Partition.MONTH, "202201")],
)
async def test_partitions_are_named_as_the_engine_names_them(
    store: Store, partition: Partition, name: str
) -> None:
    assert name_partition(partition, T0) == name
    sql = (
        "SELECT name, partition_key FROM system.tables WHERE database = currentDatabase() "
        "AND has({names:Array(String)}, name)"
    )
    names = [table for table, by in PARTITION_BY_TABLE.items() if by is partition]
    keys = dict(store._clickhouse.query_written(sql, {"names": names}))
    assert keys.keys() == set(names)
    assert all(key.startswith(partition.value) for key in keys.values())
