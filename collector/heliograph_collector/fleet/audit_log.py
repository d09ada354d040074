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

FILE = "audit.jsonl"
MAX_TEXT = 200  # characters of one field
_BLOCK = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """`did` is a word such as `agent.revoke`, `about` what it was done to."""

    at: str  # RFC 3339, UTC
    who: str
    did: str
    about: str = ""
    outcome: str = "done"  # or refused
    note: str = ""


class Trail:
    """Safe from any thread; a line is written by one call, so processes do not mix theirs."""

    def __init__(self, data: Path) -> None:
        self._file = data / FILE
        self._lock = threading.Lock()

    def add(
        self,
        now_us: int,
        who: str,
        did: str,
        about: str = "",
        *,
        refused: bool = False,
        note: str = "",
    ) -> None:
        """On disk when it returns. Raises OSError."""
        deed = Deed(
            at=datetime.fromtimestamp(now_us // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            who=who[:MAX_TEXT],
            did=did[:MAX_TEXT],
            about=about[:MAX_TEXT],
            outcome="refused" if refused else "done",
            note=note[:MAX_TEXT],
        )
        line = json.dumps(asdict(deed), ensure_ascii=True).encode() + b"\n"
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        with self._lock:
            handle = os.open(self._file, flags, 0o600)
            try:
                os.write(handle, line)
                os.fsync(handle)
            finally:
                os.close(handle)

    def page(self, before: int | None, limit: int) -> tuple[list[Deed], int]:
        """The `limit` deeds before the byte `before` (None: the end), newest first, and where the
        page after it ends (0: there is none). Raises OSError."""
        deeds: list[Deed] = []
        at = 0
        for at, line in self._backwards(before):
            deed = _read(line)
            if deed is not None:
                deeds.append(deed)
            if len(deeds) == limit:
                return deeds, at
        return deeds, 0

    def _backwards(self, before: int | None) -> Iterator[tuple[int, bytes]]:
        """(where it begins, line), from the end; each block is read once."""
        try:
            stream = self._file.open("rb")
        except FileNotFoundError:
            return
        with stream:
            end = stream.seek(0, os.SEEK_END)
            at = end if before is None else max(0, min(before, end))
            rest = b""
            while at > 0:
                start = max(0, at - _BLOCK)
                stream.seek(start)
                rest = stream.read(at - start) + rest
                at = start
                while (cut := rest.rstrip(b"\n").rfind(b"\n")) >= 0:
                    yield at + cut + 1, rest[cut + 1 :]
                    rest = rest[: cut + 1]
                if len(rest) > 16 * _BLOCK:
                    return  # no line of ours is as long
            if rest.strip():
                yield 0, rest


def _read(line: bytes) -> Deed | None:
    """None for a line that a crash cut off."""
    try:
        return Deed(**json.loads(line))
    except (ValueError, TypeError):
        return None
