"""An event loop in a thread of its own, so that a server answers sync and async tests alike."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import TypeVar

T = TypeVar("T")

_DEADLINE_S = 20.0


@contextmanager
def background(server: Callable[[], AbstractAsyncContextManager[T]]) -> Iterator[T]:
    """Enter `server()` in a fresh loop in a thread; leave it, and the loop, at the end."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="test server", daemon=True)
    thread.start()

    def run(work: Coroutine[object, object, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, loop).result(_DEADLINE_S)

    try:
        manager = server()
        value = run(manager.__aenter__())
        try:
            yield value
        finally:
            asyncio.run_coroutine_threadsafe(manager.__aexit__(None, None, None), loop).result(
                _DEADLINE_S
            )
    finally:
        asyncio.run_coroutine_threadsafe(_drain(), loop).result(_DEADLINE_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_DEADLINE_S)
        loop.close()


async def _drain() -> None:
    """End what the server left behind and let closed transports say goodbye."""
    mine = asyncio.current_task()
    for _ in range(5):  # what is ended may start something in its last turn
        rest = [task for task in asyncio.all_tasks() if task is not mine]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        await asyncio.sleep(0)
    await asyncio.get_running_loop().shutdown_asyncgens()
