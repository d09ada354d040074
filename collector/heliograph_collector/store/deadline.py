"""Deadline for calls that block in a thread of the store."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar, TypeVarTuple

from heliograph_collector.store.clickhouse import StoreError

_T = TypeVar("_T")
_Args = TypeVarTuple("_Args")


async def run_with_deadline(
    pool: ThreadPoolExecutor,
    deadline_s: float,
    operation: Callable[[*_Args], _T],
    *args: *_Args,
) -> _T:
    """Await an operation; after the deadline its thread continues.

    A query has its own limit, and a block is inserted again.
    """
    try:
        async with asyncio.timeout(deadline_s):
            return await asyncio.get_running_loop().run_in_executor(pool, operation, *args)
    except TimeoutError:
        raise StoreError(f"The store did not answer within {deadline_s:.0f} s.") from None
