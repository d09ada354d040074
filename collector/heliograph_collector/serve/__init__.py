"""The whole collector in one process: the door first, then everything that stands behind it."""

import asyncio
import logging
import signal

from heliograph_collector.config import Config
from heliograph_collector.serve.logs import set_up
from heliograph_collector.serve.refusal import CannotServeError

__all__ = ["CannotServeError", "serve"]


def serve(config: Config) -> int:
    """Run until SIGTERM or Ctrl-C. Raises CannotServeError."""
    set_up(config.log)
    try:
        return asyncio.run(_until_told(config))
    except BaseExceptionGroup as group:
        refused, others = group.split(CannotServeError)
        if refused is None or others is not None:
            raise
        raise CannotServeError(str(_first(refused))) from group


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _until_told(config: Config) -> int:
    from heliograph_collector.serve.collector import collector

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with collector(config, stop):
        await stop.wait()
        logging.getLogger("heliograph").info("Stopping.")
    return 0
