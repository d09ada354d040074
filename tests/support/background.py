"""Run an event loop in its own thread: a server for sync and async tests."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
from functools import partial, wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
_DEADLINE_S = 120.0


def in_background(
    server: Callable[P, AbstractAsyncContextManager[T]],
) -> Callable[P, AbstractContextManager[T]]:
    """Wrap `server`: enter it in a new loop in a thread; leave both at the end."""

    @wraps(server)
    @contextmanager
    def run(*args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        ready: Future[tuple[T, Callable[[], object]]] = Future()

        async def serve() -> None:
            stop = asyncio.Event()
            async with server(*args, **kwargs) as value:
                loop = asyncio.get_running_loop()
                ready.set_result((value, partial(loop.call_soon_threadsafe, stop.set)))
                await stop.wait()

        thread = ThreadPoolExecutor(1, "test server")
        running = thread.submit(asyncio.run, serve())
        thread.shutdown(wait=False)
        either: tuple[Future[Any], ...] = (ready, running)
        wait(either, _DEADLINE_S, FIRST_COMPLETED)
        if running.done():
            running.result()
        value, stop_server = ready.result(0)
        try:
            yield value
        finally:
            stop_server()
            running.result(_DEADLINE_S)

    return run
