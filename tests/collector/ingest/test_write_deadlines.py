"""One timer ends the writes of all sessions in time, and none is left behind."""

import asyncio

from heliograph_collector.ingest.write_deadlines import CHECK_S, WriteDeadlines
from support.virtual_time import VirtualClock, run_virtually

LIMIT_S = 30.0


async def write(deadlines: WriteDeadlines, seconds: float) -> tuple[bool, float]:
    """Write for so long; return whether that was ended, and after which time."""
    loop = asyncio.get_running_loop()
    begun_s = loop.time()
    timeout = asyncio.timeout(None)
    try:
        async with timeout:
            deadlines.add(timeout)
            await asyncio.sleep(seconds)
    except TimeoutError:
        assert timeout.expired()
    finally:
        deadlines.discard(timeout)
    return timeout.expired(), loop.time() - begun_s


def test_only_a_write_that_lasts_too_long_is_ended() -> None:
    async def story(clock: VirtualClock) -> None:
        deadlines = WriteDeadlines(LIMIT_S)
        for _ in range(3):  # also after a time in which nothing was written
            async with asyncio.TaskGroup() as group:
                writes = [group.create_task(write(deadlines, s)) for s in (0.0, 29.0, 60.0)]
                await asyncio.sleep(10.5)
                writes.append(group.create_task(write(deadlines, 3_600.0)))
            results = [each.result() for each in writes]
            assert [was_ended for was_ended, _ in results] == [False, False, True, True]
            assert all(LIMIT_S <= s <= LIMIT_S + CHECK_S for ended, s in results if ended)
            await asyncio.sleep(100.0)

    run_virtually(story)


def test_a_canceled_write_is_canceled_and_forgotten() -> None:
    async def story(clock: VirtualClock) -> None:
        deadlines = WriteDeadlines(LIMIT_S)
        task = asyncio.create_task(write(deadlines, 3_600.0))
        await asyncio.sleep(1.0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        await asyncio.sleep(2 * LIMIT_S)
        assert not _count_timers()

    run_virtually(story)


def test_writes_that_were_read_leave_one_timer() -> None:
    async def story(clock: VirtualClock) -> None:
        deadlines = WriteDeadlines(LIMIT_S)
        before = _count_timers()
        for _ in range(1_000):
            await write(deadlines, 0.0)
        assert _count_timers() == before + 1

    run_virtually(story)


def _count_timers() -> int:
    """Count the timers in the heap of the event loop, canceled ones too."""
    loop = asyncio.get_running_loop()
    return len(loop._scheduled)  # type: ignore[attr-defined]
