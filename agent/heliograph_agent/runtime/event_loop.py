"""Run on the fastest installed event loop: uvloop (extra `fast`), else asyncio's."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from heliograph_agent.platform.process import call_on_stop, forbid_core_dumps

_T = TypeVar("_T")


def run_main(main: Coroutine[Any, Any, _T]) -> _T:
    """Run `main` as asyncio.run does."""
    with asyncio.Runner(loop_factory=_find_loop_factory()) as runner:
        return runner.run(main)


def run_until_stopped(main: Callable[[asyncio.Event], Coroutine[Any, Any, _T]]) -> _T:
    """Run `main(stop)`, whose argument is set by Ctrl-C and SIGTERM.

    No dump of this process's memory, which holds results, reaches the disk.
    """
    forbid_core_dumps()
    return run_main(_call_main(main))


async def _call_main(main: Callable[[asyncio.Event], Coroutine[Any, Any, _T]]) -> _T:
    stop = asyncio.Event()
    call_on_stop(stop.set)
    return await main(stop)


def _find_loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        from uvloop import new_event_loop
    except ImportError:
        return None
    return new_event_loop
