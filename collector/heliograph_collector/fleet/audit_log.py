"""Audit log in DATA/audit.jsonl: append-only, one JSON line per action.

It contains no secret and no address. Pages are read backwards, newest first. In a cluster each line
is first appended to the log that the servers keep (`AuditFence`), and the file follows that.
"""

import json
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from heliograph.timestamps import format_second

FILE_NAME = "audit.jsonl"
MAX_TEXT = 200  # characters per field
_BLOCK_BYTES = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One action: `did` names it, as `agent.revoke`, and `about` names its object."""

    at: str  # RFC 3339, UTC
    who: str
    did: str
    about: str = ""
    outcome: str = "done"  # or "refused"
    note: str = ""


class AuditFence(Protocol):
    """The log of all collectors of a cluster, of which one may write at a time."""

    def publish(self, line: bytes) -> list[bytes]:
        """Append a line; return what the file lacks, this line last. Raises OSError."""
        ...

    def take_new(self) -> list[bytes]:
        """Return the lines of others that were read, and that the file lacks."""
        ...


def format_line(
    now_us: int,
    actor: str,
    action: str,
    subject: str = "",
    *,
    refused: bool = False,
    note: str = "",
) -> bytes:
    """Format an entry as a line without its newline."""
    entry = AuditEntry(
        at=format_second(now_us),
        who=actor[:MAX_TEXT],
        did=action[:MAX_TEXT],
        about=subject[:MAX_TEXT],
        outcome="refused" if refused else "done",
        note=note[:MAX_TEXT],
    )
    return json.dumps(asdict(entry), ensure_ascii=True).encode()


class AuditLog:
    """Audit log, safe from any thread; one write call per line keeps processes apart."""

    def __init__(self, data: Path, fence: AuditFence | None = None) -> None:
        self._file = data / FILE_NAME
        self._fence = fence
        self._lock = threading.Lock()

    def add(
        self,
        now_us: int,
        actor: str,
        action: str,
        subject: str = "",
        *,
        refused: bool = False,
        note: str = "",
    ) -> None:
        """Append an entry and sync it to disk. Raises OSError."""
        self.append_line(format_line(now_us, actor, action, subject, refused=refused, note=note))

    def append_line(self, line: bytes) -> None:
        """Append a line of `format_line` and sync it to disk. Raises OSError."""
        with self._lock:
            self._write([line] if self._fence is None else self._fence.publish(line))

    def adopt_new(self) -> None:
        """Append others' lines that were read from the log of the cluster. Raises OSError."""
        if self._fence is not None:
            with self._lock:
                self._write(self._fence.take_new())

    def _write(self, lines: Sequence[bytes]) -> None:
        if not lines:
            return
        handle = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(handle, "wb", buffering=0) as stream:
            stream.write(b"".join(line + b"\n" for line in lines))
            os.fsync(handle)

    def read_page(self, before: int | None, limit: int) -> tuple[list[AuditEntry], int]:
        """Read up to `limit` entries that end before a byte offset, newest first.

        Args:
            before: Byte offset, None for the end of the file.

        Returns:
            The entries and the offset for the next page, 0 if there is none. Raises OSError.
        """
        entries: list[AuditEntry] = []
        offset = 0
        for offset, line in self._read_backwards(before):
            entry = parse_line(line)
            if entry is not None:
                entries.append(entry)
            if len(entries) == limit:
                return entries, offset
        return entries, 0

    def _read_backwards(self, before: int | None) -> Iterator[tuple[int, bytes]]:
        """Yield (offset, line) from the end; each block is read once."""
        try:
            stream = self._file.open("rb")
        except FileNotFoundError:
            return
        with stream:
            end = stream.seek(0, os.SEEK_END)
            offset = end if before is None else max(0, min(before, end))
            remainder = b""
            while offset > 0:
                start = max(0, offset - _BLOCK_BYTES)
                stream.seek(start)
                remainder = stream.read(offset - start) + remainder
                offset = start
                while (newline_at := remainder.rstrip(b"\n").rfind(b"\n")) >= 0:
                    yield offset + newline_at + 1, remainder[newline_at + 1 :]
                    remainder = remainder[: newline_at + 1]
                if len(remainder) > 16 * _BLOCK_BYTES:
                    return  # no valid line is this long
            if remainder.strip():
                yield 0, remainder


def parse_line(line: bytes) -> AuditEntry | None:
    """Parse a line; return None for one that a crash cut off."""
    try:
        return AuditEntry(**json.loads(line))
    except (ValueError, TypeError):
        return None
