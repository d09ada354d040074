"""The collector as one process: `startup` and `workers` connect the stages.

Example: run a collector until SIGTERM.

    config = load_config(file, {})
    status = serve(config)
"""

import asyncio
import gc
import logging
import signal
import sqlite3
from pathlib import Path

from heliograph.clock import SystemClock
from heliograph.error_group import flatten_errors
from heliograph_collector.config.errors import CannotServeError
from heliograph_collector.config.log_output import configure_logging
from heliograph_collector.config.settings import Config
from heliograph_collector.fleet import KeysError
from heliograph_collector.ingest.grpc.malformed_requests import LOGGER as GRPC_LOGGER
from heliograph_collector.ingest.grpc.malformed_requests import MalformedRequestFilter
from heliograph_collector.store.disk_errors import describe_cause
from heliograph_collector.store.journal.journal import JournalError


def serve(config: Config) -> int:
    """Run until SIGTERM or Ctrl-C. Raises CannotServeError."""
    configure_logging(config.log)
    logging.getLogger(GRPC_LOGGER).addFilter(MalformedRequestFilter(SystemClock()))
    try:
        return asyncio.run(_run_until_stopped(config))
    except Exception as error:
        sentences = [_describe_cause(leaf, config.data) for leaf in flatten_errors(error)]
        if not all(sentences):
            raise
        raise CannotServeError(sentences[0]) from error


def _describe_cause(error: BaseException, data: Path) -> str:
    """Describe what an operator can remove; "" for a bug."""
    if isinstance(error, (OSError, sqlite3.Error)):
        return describe_cause(error, data)
    return str(error) if isinstance(error, (CannotServeError, JournalError, KeysError)) else ""


async def _run_until_stopped(config: Config) -> int:
    from heliograph_collector.app.startup import run_collector

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, stop.set)
    async with run_collector(config):
        # What is loaded by now stays. Searched for garbage again and again, whenever somebody's
        # messages have made enough objects, it would hold the event loop for 30 ms and more.
        gc.collect()
        gc.freeze()
        await stop.wait()
        logging.getLogger("heliograph").info("Stopping.")
    return 0
