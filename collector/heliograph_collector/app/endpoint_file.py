"""DATA/serving.json: where a running collector listens, for `invite` and for whoever started it."""

import json
import os
from pathlib import Path

from heliograph_collector.config.settings import Config
from heliograph_collector.errors import CannotServeError
from heliograph_collector.fleet.keyring import open_password

_MAX_PASSWORD = 1_024


class Notice:
    """Posted as doors open, withdrawn at a clean end."""

    def __init__(self, config: Config) -> None:
        self._file = config.data / "serving.json"
        self._text: dict[str, object] = {"pid": os.getpid()}

    @property
    def grpc(self) -> object:
        return self._text.get("grpc")

    @property
    def echo(self) -> object:
        return self._text.get("echo")

    def post(self, **places: str) -> None:
        self._text |= places
        new = self._file.with_suffix(".new")
        new.write_text(json.dumps(self._text))
        new.replace(self._file)

    def withdraw(self) -> None:
        self._file.unlink(missing_ok=True)


def password_file(config: Config) -> Path:
    """The operator's, made at first start unless configured. Raises CannotServeError."""
    file = config.password_file or open_password(config.data)
    read_password(file)
    return file


def read_password(file: Path) -> str:
    """Raises CannotServeError."""
    try:
        with file.open(encoding="utf-8") as stream:
            text = stream.read(_MAX_PASSWORD + 1).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CannotServeError(
            f"The password file {file} cannot be read ({error}): correct console.password_file."
        ) from error
    if not 8 <= len(text) <= _MAX_PASSWORD:
        raise CannotServeError(
            f"The password in {file} must have 8 to {_MAX_PASSWORD} characters: write a longer one."
        )
    return text
