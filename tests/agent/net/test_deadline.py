"""A deadline does as asyncio.timeout does."""

import asyncio

import pytest

from heliograph_agent.net.deadline import Deadline
from support.values import present


async def forever(seconds: float) -> None:
    with Deadline(seconds):
        await asyncio.Event().wait()


async def test_what_is_in_time_is_left_alone() -> None:
    with Deadline(10):
        await asyncio.sleep(0)
    with pytest.raises(KeyError), Deadline(10):
        raise KeyError


async def test_what_is_late_is_ended() -> None:
    with pytest.raises(TimeoutError):
        await forever(0.01)
    task = present(asyncio.current_task())
    assert task.cancelling() == 0


async def test_an_outer_deadline_is_not_the_inner_ones() -> None:
    async def inner() -> None:
        try:
            await forever(10)
        except TimeoutError:
            pytest.fail("the inner one was not over")

    with pytest.raises(TimeoutError), Deadline(0.01):
        await inner()


async def test_a_cancellation_is_none() -> None:
    task = asyncio.get_running_loop().create_task(forever(10))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancellation_at_the_same_time_goes_on_up() -> None:
    async def work() -> None:
        with Deadline(0.01):
            try:
                await asyncio.Event().wait()
            finally:
                task.cancel()

    task = asyncio.get_running_loop().create_task(work())
    with pytest.raises(asyncio.CancelledError):
        await task
