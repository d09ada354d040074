"""A leader is stopped before a write, which comes after those of the next one.

Between its look at the lease and the write that follows, a process can be stopped for any time.
"""

from typing import Any

import pytest

from heliograph_collector.model.filters import MeasurementFilter
from heliograph_collector.model.records import Block
from heliograph_collector.store.clickhouse import ClickHouse
from heliograph_collector.store.daily_totals import DailyTotals
from heliograph_collector.store.store import Store, StoreError
from heliograph_collector.store.writers import BEGUN_MARK, DONE_MARK, BlockWriter
from support.rows import block, reachable, taken

WRITES = 4  # of a block: the mark of its begin, verdicts, measurements, the mark of its end
LAST = 4


def build_block(first: int, last: int) -> Block:
    positions = range(first, last + 1)
    return block(first, last, *((taken(n, position=n), (reachable(),)) for n in positions))


async def lead(store: Store, last: int) -> None:
    """Repeat the begun blocks and store the rest, as a new leader does."""
    writer = BlockWriter(store._clickhouse, DailyTotals(store._clickhouse))
    begun = await store._run_write(writer.read_mark, "j", BEGUN_MARK)
    done = (await store._run_write(writer.read_mark, "j", DONE_MARK))[1]
    if begun[1] > done:
        await store._run_write(writer.put, build_block(*begun))
        done = begun[1]
    if done < last:
        await store._run_write(writer.put, build_block(done + 1, last))


@pytest.mark.parametrize("stopped_at", range(1, WRITES + 1))
async def test_late_write_doubles_nothing_and_loses_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch, stopped_at: int
) -> None:
    late: list[Any] = []
    write = ClickHouse.insert
    count = 0

    def stop(self: ClickHouse, table: str, rows: Any, token: str) -> None:
        nonlocal count
        count += bool(rows.num_rows)
        if count == stopped_at:
            late.append((table, rows, token))
            raise StoreError("stopped")
        write(self, table, rows, token)

    writer = BlockWriter(store._clickhouse, DailyTotals(store._clickhouse))
    with monkeypatch.context() as stopping:
        stopping.setattr(ClickHouse, "insert", stop)
        with pytest.raises(StoreError, match="stopped"):
            await store._run_write(writer.put, build_block(1, 3))
    await lead(store, 2)
    await store._run_write(store._clickhouse.insert, *late[0])
    await lead(store, LAST)
    page = await store.measurements(MeasurementFilter())
    expected = build_block(1, LAST).judged
    assert sorted(page.items, key=by_position) == sorted(expected, key=by_position)
    assert await store.cursor("j") == LAST


def by_position(judged: Any) -> int:
    position: int = judged[0].position
    return position
