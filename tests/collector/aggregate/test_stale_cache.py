"""What is kept for readers: who comes late does not wait, and nobody is given what is old."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from heliograph_collector.aggregate.stale_cache import Renewed, Term
from heliograph_collector.store.clickhouse import StoreError
from support.hand_clock import HandClock
from support.rows import T0, US
from support.waiting import until

TERM = Term(fresh_us=10 * US, grace_us=45 * US)


class Counting:
    """What it makes is what it is told to, and no sooner. Bad news is raised."""

    def __init__(self) -> None:
        self.asked: asyncio.Queue[None] = asyncio.Queue()
        self.told: asyncio.Queue[int | StoreError] = asyncio.Queue()

    async def make(self) -> int:
        self.asked.put_nowait(None)
        said = await self.told.get()
        if isinstance(said, StoreError):
            raise said
        return said


@asynccontextmanager
async def running(kept: Renewed[int]) -> AsyncIterator[asyncio.TaskGroup]:
    async with asyncio.TaskGroup() as group:
        renewing = group.create_task(kept.run())
        await asyncio.sleep(0)  # until it runs
        yield group
        renewing.cancel()


async def test_who_comes_late_is_given_the_old_one_and_the_next_the_new_one() -> None:
    clock, counting = HandClock(wall=T0), Counting()
    kept: Renewed[int] = Renewed(clock, 9)
    async with running(kept) as group:
        counting.told.put_nowait(1)
        assert await kept.get("key", counting.make, TERM) == 1
        clock.advance_us(20 * US)
        for _ in range(3):
            assert await kept.get("key", counting.make, TERM) == 1
        counting.told.put_nowait(2)

        async def renewed() -> bool:
            return await kept.get("key", counting.make, TERM) == 2

        await until(renewed)
        assert counting.asked.qsize() == 2, "once for all of them"
        clock.advance_us(56 * US)
        late = group.create_task(kept.get("key", counting.make, TERM))
        for _ in range(3):
            await counting.asked.get()
        assert not late.done(), "so old an answer is nobody's"
        counting.told.put_nowait(3)
        assert await late == 3


async def test_however_many_ask_at_first_it_is_made_once() -> None:
    counting = Counting()
    kept: Renewed[int] = Renewed(HandClock(wall=T0), 9)
    async with asyncio.TaskGroup() as group:
        asking = [group.create_task(kept.get("key", counting.make, TERM)) for _ in range(20)]
        await counting.asked.get()
        counting.told.put_nowait(1)
    assert [task.result() for task in asking] == [1] * 20
    assert counting.asked.empty()


async def test_what_nobody_renews_is_waited_for_when_it_is_stale() -> None:
    clock, counting = HandClock(wall=T0), Counting()
    kept: Renewed[int] = Renewed(clock, 9)
    for turn in (1, 2):
        counting.told.put_nowait(turn)
        assert await kept.get("key", counting.make, TERM) == turn
        clock.advance_us(11 * US)


async def test_a_store_that_cannot_answer_is_told_when_the_answer_is_old_and_not_before() -> None:
    clock, counting = HandClock(wall=T0), Counting()
    kept: Renewed[int] = Renewed(clock, 9)
    async with running(kept):
        counting.told.put_nowait(1)
        await kept.get("key", counting.make, TERM)
        clock.advance_us(20 * US)
        counting.told.put_nowait(StoreError("it is being mended"))
        assert await kept.get("key", counting.make, TERM) == 1
        await counting.asked.get()
        await counting.asked.get()
        await asyncio.sleep(0)  # until it has met the bad news
        clock.advance_us(60 * US)
        counting.told.put_nowait(StoreError("it is being mended"))
        with pytest.raises(StoreError, match="mended"):
            await kept.get("key", counting.make, TERM)


async def test_what_is_heavy_leaves_no_room_for_what_was_made_long_ago() -> None:
    kept: Renewed[int] = Renewed(HandClock(wall=T0), 10, lambda value: value)
    counting = Counting()
    for key in ("a", "b", "c"):
        counting.told.put_nowait(4)
        await kept.get(key, counting.make, TERM)
    assert await kept.get("b", counting.make, TERM) == 4, "b was kept"
    counting.told.put_nowait(5)
    assert await kept.get("a", counting.make, TERM) == 5, "a was not"
