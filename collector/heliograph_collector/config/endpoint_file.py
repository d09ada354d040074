"""DATA/serving.json: the addresses of a running collector, for other processes."""

import json
import logging
import os
from pathlib import Path

from heliograph.address import WILDCARDS, format_dial_address, split_endpoint
from heliograph.durable_file import replace_file
from heliograph_collector.config.settings import Config

_FILE_NAME = "serving.json"
_LOG_LINES = {
    "grpc": "Agents: %s (gRPC, TLS)",
    "post": "Agents: %s (HTTPS: envelopes, and agents without gRPC)",
    "dns": "Last words: %s (DNS, {zone})",
    "echo": "Echo:   %s (TCP)",
    "http": "Page:   http://%s/",
}

log = logging.getLogger("heliograph")


class EndpointFile:
    """Written as servers open, removed at a clean end."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._file = config.data / _FILE_NAME
        self._endpoints: dict[str, int | str] = {"pid": os.getpid()}

    def announce(self, listener: str, requested: str, port: int) -> str:
        """Publish and log an opened listener of `_LOG_LINES`; return its address."""
        host = split_endpoint(requested)[0]
        address = format_dial_address(host, port)
        self.publish(**{listener: address})
        line = _LOG_LINES[listener].format(zone=self._config.dns_zone)
        if host in WILDCARDS:  # else an operator would think that nobody outside reaches it
            line += ", and at each address of this machine"
        log.info(line, address)
        return address

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
