"""The whole collector in one process: the door first, then everything that stands behind it."""

import asyncio
import json
import logging
import signal
import sys
from datetime import UTC, datetime

from heliograph_collector.config.settings import Config
from heliograph_collector.errors import CannotServeError

__all__ = ["CannotServeError", "serve"]

_QUIET = ("asyncio", "grpc", "urllib3", "clickhouse_connect")


class JsonLines(logging.Formatter):
    """One object for each event: time (UTC), level, logger, message, and error with its trace."""

    def format(self, record: logging.LogRecord) -> str:
        told = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            told["error"] = self.formatException(record.exc_info)
        return json.dumps(told, ensure_ascii=False)


def set_up(form: str) -> None:
    """`form` is text or json."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else logging.Formatter("%(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.ERROR)
    logging.getLogger("aiohttp").setLevel(logging.CRITICAL)  # its errors name callers' addresses


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
    from heliograph_collector.app.startup import collector

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with collector(config, stop):
        await stop.wait()
        logging.getLogger("heliograph").info("Stopping.")
    return 0
