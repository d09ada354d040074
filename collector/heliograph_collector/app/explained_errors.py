"""Errors that an operator can cure, as sentences."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from heliograph_collector.config.errors import CannotServeError, explain_taken_port
from heliograph_collector.model.errors import PortTakenError
from heliograph_collector.store.disk_errors import describe_file_error


@contextmanager
def explain_errors(*explained: type[Exception], data: Path | None = None) -> Iterator[None]:
    """Turn errors that an operator can cure into CannotServeError.

    Args:
        explained: Errors whose text is a sentence with the cure.
        data: The directory whose files and fleet database are opened inside, if any.
    """
    try:
        yield
    except explained as error:
        raise CannotServeError(str(error)) from error
    except (OSError, sqlite3.Error) as error:
        if data is None:
            raise
        raise CannotServeError(describe_file_error(error, data)) from error


@contextmanager
def explain_port(listener: str, address: str) -> Iterator[None]:
    """Turn PortTakenError into CannotServeError, which names the listener's setting."""
    try:
        yield
    except PortTakenError as error:
        raise explain_taken_port(listener, address) from error
