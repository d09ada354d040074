"""DATA/serving.json: the addresses of a running collector, for other processes."""

import json
import os
from pathlib import Path

from heliograph.durable_file import replace_file
from heliograph_collector.config.settings import Config
from heliograph_collector.errors import CannotServeError
from heliograph_collector.fleet.keyring import ensure_password_file

_MAX_PASSWORD_CHARS = 1_024


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


def find_password_file(config: Config) -> Path:
    """Return the operator's password file; create it unless it is configured.

    Raises CannotServeError.
    """
    file = config.password_file or ensure_password_file(config.data)
    read_password(file)
    return file


def read_password(file: Path) -> str:
    """Read and check a password. Raises CannotServeError."""
    try:
        with file.open(encoding="utf-8") as stream:
            password = stream.read(_MAX_PASSWORD_CHARS + 1).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CannotServeError(
            f"The password file {file} cannot be read ({error}): correct console.password_file."
        ) from error
    if not 8 <= len(password) <= _MAX_PASSWORD_CHARS:
        raise CannotServeError(
            f"The password in {file} must have 8 to {_MAX_PASSWORD_CHARS} characters: "
            "write a longer one."
        )
    return password
