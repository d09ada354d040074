"""Waiters for a position are woken once, when it is passed."""

import asyncio

from heliograph_collector.store.journal.position_waiters import PositionWaiters


async def test_waiter_is_woken_once_however_many_rows_come() -> None:
    waiters = PositionWaiters(10)
    block = asyncio.create_task(waiters.wait_beyond(13, 60))
    first = asyncio.create_task(waiters.wait_beyond(10, 60))
    await asyncio.sleep(0)  # a turn in which tasks begin, or end
    for position in (11, 12, 13):
        waiters.advance(position)
        await asyncio.sleep(0)  # a turn in which tasks begin, or end
    assert await first
    assert not block.done()
    waiters.advance(12)  # an older report does not take the position back
    waiters.advance(14)
    assert await block
    assert waiters.position == 14


async def test_waiter_gives_up_in_time() -> None:
    waiters = PositionWaiters(3)
    assert not await waiters.wait_beyond(3, 0.01)
    assert await waiters.wait_beyond(2, 0)
    waiters.advance(9)
    assert waiters.position == 9


async def test_canceled_waiter_is_forgotten() -> None:
    waiters = PositionWaiters(0)
    task = asyncio.create_task(waiters.wait_beyond(0, 60))
    await asyncio.sleep(0)  # a turn in which tasks begin, or end
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    waiters.advance(1)
    assert await waiters.wait_beyond(0, 0)
