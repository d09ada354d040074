"""The log of `serve` and its processes: lines of text, or of JSON."""

import json
import logging
import sys
from datetime import UTC, datetime

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
