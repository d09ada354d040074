"""DATA/serving.json: the addresses of a running collector, for other processes."""

import json
import os
from pathlib import Path

from heliograph.durable_file import replace_file
from heliograph_collector.config.settings import Config

_FILE_NAME = "serving.json"


class EndpointFile:
    """Written as servers open, removed at a clean end."""

    def __init__(self, config: Config) -> None:
        self._file = config.data / _FILE_NAME
        self._endpoints: dict[str, int | str] = {"pid": os.getpid()}

    def publish(self, **endpoints: str) -> None:
        self._endpoints |= endpoints
        replace_file(self._file, json.dumps(self._endpoints).encode(), mode=0o644, durable=False)

    def remove(self) -> None:
        self._file.unlink(missing_ok=True)


def read_endpoint(data: Path, name: str) -> str:
    """Read an endpoint of a running `serve`; "" without one."""
    try:
        with (data / _FILE_NAME).open("rb") as file:
            document = json.loads(file.read(4_096))
    except (OSError, ValueError):
        return ""
    return str(document.get(name, "")) if isinstance(document, dict) else ""
