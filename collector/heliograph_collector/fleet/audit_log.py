"""DATA/audit.jsonl: who did what when, one JSON line each, only ever added to.

No secret and no address stands in it. It is read backwards, the newest first.
"""

import json
import os
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

FILE_NAME = "audit.jsonl"
MAX_TEXT = 200  # characters of one field
_BLOCK_BYTES = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """`did` is a word such as `agent.revoke`, `about` what it was done to."""

    at: str  # RFC 3339, UTC
    who: str
    did: str
    about: str = ""
    outcome: str = "done"  # or refused
    note: str = ""


class AuditLog:
    """Safe from any thread; a line is written by one call, so processes do not mix theirs."""

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
        """On disk when it returns. Raises OSError."""
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
        with self._lock:
            handle = os.open(self._file, flags, 0o600)
            try:
                os.write(handle, line)
                os.fsync(handle)
            finally:
                os.close(handle)

    def read_page(self, before: int | None, limit: int) -> tuple[list[AuditEntry], int]:
        """The `limit` deeds before the byte `before` (None: the end), newest first, and where the
        page after it ends (0: there is none). Raises OSError."""
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
        """(where it begins, line), from the end; each block is read once."""
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
                    return  # no line of ours is as long
            if remainder.strip():
                yield 0, remainder


def _parse_line(line: bytes) -> AuditEntry | None:
    """None for a line that a crash cut off."""
    try:
        return AuditEntry(**json.loads(line))
    except (ValueError, TypeError):
        return None
