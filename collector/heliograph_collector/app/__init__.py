"""The collector as one process: `startup` and `workers` connect the stages.

Example: run a collector until SIGTERM.

    config = load_config(file, {})
    status = serve(config)
"""

import asyncio
import json
import logging
import signal
import sys
from datetime import UTC, datetime

from heliograph.error_group import find_first_error
from heliograph_collector.config.errors import CannotServeError
from heliograph_collector.config.settings import Config

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
    logging.getLogger("aiohttp").setLevel(logging.CRITICAL)  # its errors name client addresses


def serve(config: Config) -> int:
    """Run until SIGTERM or Ctrl-C. Raises CannotServeError."""
    configure_logging(config.log)
    try:
        return asyncio.run(_run_until_stopped(config))
    except BaseExceptionGroup as group:
        refused, others = group.split(CannotServeError)
        if refused is None or others is not None:
            raise
        raise CannotServeError(str(find_first_error(refused))) from group


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
