"""Name stdout in its errors, which the system gives no file name.

A command that prints to a full disk (`> FILE`) would otherwise blame the file that it works on.
"""

import io
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer

STDOUT = "stdout"


class _NamedOutput(io.FileIO):
    """The file behind stdout, named in its errors."""

    def write(self, data: "Buffer", /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            error.filename = STDOUT
            raise


def name_output() -> None:
    """Let errors of stdout name it. For programs: stdout is replaced."""
    stdout = sys.stdout
    if not isinstance(stdout, io.TextIOWrapper):  # none, or a test's
        return
    with suppress(OSError):  # no file
        raw = _NamedOutput(stdout.fileno(), "w", closefd=False)
        sys.stdout = io.TextIOWrapper(
            io.BufferedWriter(raw),
            encoding=stdout.encoding,
            errors=stdout.errors,
            line_buffering=stdout.isatty() or stdout.write_through,  # as by python -u
        )


def discard_output() -> None:
    """Lead stdout nowhere, so that the interpreter's end does not fail by it once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
