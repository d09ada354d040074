"""All roles in one process, in the order in which they start.

Ingest starts first and acknowledges at once, because it needs only the journal. The store, which
takes seconds to load, and the HTTP server start after it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from heliograph_collector.app.context import open_context
from heliograph_collector.app.ingest_role import open_ingest
from heliograph_collector.config.settings import Config


@asynccontextmanager
async def run_collector(config: Config) -> AsyncIterator[None]:
    """Run the collector inside the block; a part that fails ends it with an error.

    Raises CannotServeError.
    """
    async with AsyncExitStack() as stack:
        context = await open_context(config, stack)
        stack.callback(context.endpoint_file.remove)
        ingest = await open_ingest(context, stack)
        # A late import: the libraries of the other roles take seconds to load.
        from heliograph_collector.app.workers import Workers

        workers = Workers(context, ingest)
        group = await stack.enter_async_context(asyncio.TaskGroup())
        task = group.create_task(workers.run())
        stack.callback(task.cancel)
        yield
