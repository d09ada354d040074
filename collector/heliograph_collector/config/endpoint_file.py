"""DATA/serving.json: the addresses of a running collector, for other processes."""

import json
import os

from heliograph.durable_file import replace_file
from heliograph_collector.config.settings import Config


class EndpointFile:
    """Written as servers open, removed at a clean end."""

    def __init__(self, config: Config) -> None:
        self._file = config.data / "serving.json"
        self._endpoints: dict[str, object] = {"pid": os.getpid()}

    @property
    def grpc(self) -> object:
        return self._endpoints.get("grpc")

    @property
    def echo(self) -> object:
        return self._endpoints.get("echo")

    def publish(self, **endpoints: str) -> None:
        self._endpoints |= endpoints
        replace_file(self._file, json.dumps(self._endpoints).encode(), mode=0o644, durable=False)

    def remove(self) -> None:
        self._file.unlink(missing_ok=True)
