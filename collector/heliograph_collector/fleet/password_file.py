"""The file of the operator's password."""

import logging
from pathlib import Path

from heliograph_collector.fleet.keyring import KeysError, ensure_password_file

_MAX_PASSWORD_CHARS = 1_024

log = logging.getLogger("heliograph")


def find_password_file(data: Path, configured_file: Path | None) -> Path:
    """Return the operator's password file; create it unless it is configured.

    Raises KeysError.
    """
    file = configured_file or ensure_password_file(data)
    read_password(file)
    return file


def log_password_file(file: Path) -> None:
    """Tell the operator where the password is, and never the password."""
    log.info("Operator's password: in %s", file)


def read_password(file: Path) -> str:
    """Read and check a password. Raises KeysError."""
    try:
        with file.open(encoding="utf-8") as stream:
            password = stream.read(_MAX_PASSWORD_CHARS + 1).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise KeysError(
            f"The password file {file} cannot be read ({error}): correct console.password_file."
        ) from error
    if not 8 <= len(password) <= _MAX_PASSWORD_CHARS:
        raise KeysError(
            f"The password in {file} must have 8 to {_MAX_PASSWORD_CHARS} characters: "
            "write a longer one."
        )
    return password
