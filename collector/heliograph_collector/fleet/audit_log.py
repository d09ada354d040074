"""Audit log in DATA/audit.jsonl: append-only, one JSON line per action.

It contains no secret and no address. Pages are read backwards, newest first.
"""

import json
import os
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

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


class AuditLog:
    """Audit log, safe from any thread; one write call per line keeps processes apart."""

    def __init__(self, data: Path) -> None:
        self._file = data / FILE_NAME
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
        entry = AuditEntry(
            at=datetime.fromtimestamp(now_us // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            who=actor[:MAX_TEXT],
            did=action[:MAX_TEXT],
            about=subject[:MAX_TEXT],
            outcome="refused" if refused else "done",
            note=note[:MAX_TEXT],
        )
        line = json.dumps(asdict(entry), ensure_ascii=True).encode() + b"\n"
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        handle = os.open(self._file, flags, 0o600)
        with self._lock, os.fdopen(handle, "wb", buffering=0) as stream:
            stream.write(line)
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
            entry = _parse_line(line)
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


def _parse_line(line: bytes) -> AuditEntry | None:
    """Parse a line; return None for one that a crash cut off."""
    try:
        return AuditEntry(**json.loads(line))
    except (ValueError, TypeError):
        return None
