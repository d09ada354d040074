"""The collector as one process: `startup` and `workers` connect the stages.

Example: run a collector until SIGTERM.

    config = load_config(file, {})
    status = serve(config)
"""

import asyncio
import json
import logging
import signal
import sqlite3
import sys
from datetime import UTC, datetime
from pathlib import Path

from heliograph.clock import SystemClock
from heliograph.error_group import flatten_errors
from heliograph_collector.config.errors import (
    CannotServeError,
    describe_database_error,
    describe_os_error,
)
from heliograph_collector.config.settings import Config
from heliograph_collector.fleet import KeysError
from heliograph_collector.ingest.grpc.malformed_requests import LOGGER as GRPC_LOGGER
from heliograph_collector.ingest.grpc.malformed_requests import MalformedRequestFilter
from heliograph_collector.store.journal.journal import JournalError

_QUIET_LOGGERS = ("asyncio", "grpc", "urllib3", "clickhouse_connect")


class JsonLines(logging.Formatter):
    """One JSON object per event: time (UTC), level, logger, message and error."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["error"] = self.formatException(record.exc_info)
        return json.dumps(fields, ensure_ascii=False)


def configure_logging(log_format: str) -> None:
    """Set up logging; `log_format` is text or json."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if log_format == "json" else logging.Formatter("%(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for name in _QUIET_LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    logging.getLogger(GRPC_LOGGER).addFilter(MalformedRequestFilter(SystemClock()))
    logging.getLogger("aiohttp").setLevel(logging.CRITICAL)  # its errors name client addresses


def serve(config: Config) -> int:
    """Run until SIGTERM or Ctrl-C. Raises CannotServeError."""
    configure_logging(config.log)
    try:
        return asyncio.run(_run_until_stopped(config))
    except Exception as error:
        sentences = [_describe_cause(leaf, config.data) for leaf in flatten_errors(error)]
        if not all(sentences):
            raise
        raise CannotServeError(sentences[0]) from error


def _describe_cause(error: BaseException, data: Path) -> str:
    """Describe what an operator can remove; "" for a bug."""
    if isinstance(error, OSError):
        return describe_os_error(error.filename or data, error) if error.errno else ""
    if isinstance(error, sqlite3.Error):
        return describe_database_error(f"A database in {data}", error)
    return str(error) if isinstance(error, (CannotServeError, JournalError, KeysError)) else ""


async def _run_until_stopped(config: Config) -> int:
    from heliograph_collector.app.startup import run_collector

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, stop.set)
    async with run_collector(config):
        await stop.wait()
        logging.getLogger("heliograph").info("Stopping.")
    return 0
