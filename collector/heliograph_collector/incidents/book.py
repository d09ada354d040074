"""The alert log as incidents: what each came to, and by which entries. No clock, no I/O."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from heliograph_collector.incidents.state import Standing

START = "0" * 64  # the head of a log without entries


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the log, verified. `hash` is the SHA-256 of the line, in hex; `body` its body."""

    number: int  # from 1
    hash: str
    line: bytes  # without its newline
    body: Mapping[str, Any]

    @property
    def incident(self) -> str:
        """The id of the incident that it is about."""
        return str(self.body["incident"]["id"])


class Book:
    """All entries in order, and the newest state of every incident."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._entries: list[Entry] = []
        self._of: dict[str, list[Entry]] = {}
        self._standing: dict[str, Standing] = {}
        for entry in entries:
            self.take(entry)

    @property
    def entries(self) -> Sequence[Entry]:
        return self._entries

    @property
    def head(self) -> str:
        """The last entry's hash, which proves all of them; 64 zeros before the first."""
        return self._entries[-1].hash if self._entries else START

    def take(self, entry: Entry) -> None:
        """Raises ValueError when it is not the one that comes next."""
        if entry.number != len(self._entries) + 1:
            raise ValueError(f"entry {entry.number} does not follow entry {len(self._entries)}")
        # Another thread may be reading: it finds each incident as it was or as it is, and who sees
        # the new head must find all that it proves.
        before = self._standing.get(entry.incident, Standing())
        self._standing[entry.incident] = before.after(entry)
        self._of.setdefault(entry.incident, []).append(entry)
        self._entries.append(entry)

    def incidents(self) -> list[dict[str, Any]]:
        """The newest state of each, newest start first; `alerts` are the numbers of its entries."""
        found = [standing.state() for standing in list(self._standing.values())]
        return sorted(found, key=lambda i: (i["started"]["earliest"], i["id"]), reverse=True)

    def get(self, id: str) -> dict[str, Any] | None:  # noqa: A002 the word of the record
        """The newest state of one, as `incidents` gives it."""
        standing = self._standing.get(id)
        return standing.state() if standing else None

    def of(self, id: str) -> list[Entry]:  # noqa: A002 the word of the record
        """All entries about one incident, in order."""
        return list(self._of.get(id, ()))

    def standing(self, id: str) -> Standing | None:  # noqa: A002 the word of the record
        """What both say of one, to be read; None when it was never told."""
        return self._standing.get(id)
