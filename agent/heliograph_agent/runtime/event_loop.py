"""Choose the event loop: uvloop with the extra `fast`, else asyncio's."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")


def run_main(main: Coroutine[Any, Any, _T]) -> _T:
    """Run `main` as asyncio.run does, on the fastest loop that is installed."""
    with asyncio.Runner(loop_factory=_find_loop_factory()) as runner:
        return runner.run(main)


def _find_loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        from uvloop import new_event_loop
    except ImportError:
        return None
    return new_event_loop
