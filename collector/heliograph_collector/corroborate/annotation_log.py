"""DATA/corroboration.jsonl: what the sources said, one line each, appended and never changed.

Beside the alert log, not in it: it proves nothing and decides nothing. When the file is full it
becomes corroboration.jsonl.1 in place of the one before. A line that a crash left half written,
or that somebody wrote into it, is passed over.
"""

import json
import logging
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from heliograph_collector.corroborate.annotation import Annotation, read_record, record
from heliograph_collector.corroborate.incident import Entity

FILE = "corroboration.jsonl"
MOST_BYTES = 8_388_608
MOST_INCIDENTS = 1_000
MOST_LINE = 8_192
MOST_OF_ONE = 64  # sources, signals and entities of an incident

log = logging.getLogger("heliograph.corroborate")

_About = tuple[str, str, Entity]


class Notes:
    """One writer. `of` answers from memory; a disk that fails costs the file, not the answer."""

    def __init__(self, folder: Path, most_bytes: int = MOST_BYTES) -> None:
        self._file = folder / FILE
        self._most_bytes = most_bytes
        self._known: OrderedDict[str, dict[_About, Annotation]] = OrderedDict()
        for file in (self._older, self._file):
            for line in _lines(file, most_bytes):
                self._read(line)

    def add(self, said: Annotation) -> bool:
        """Whether it is news: the same said again is no line."""
        before = self._known.get(said.incident, {}).get(said.about)
        if said.same_as(before) or not self._keep(said):
            return False
        line = json.dumps({"incident": said.incident, **record(said)}, sort_keys=True)
        try:
            self._append(line.encode() + b"\n")
        except OSError as error:
            log.error("%s cannot be written: %s", self._file, error.strerror)
        return True

    def of(self, incident: str) -> list[dict[str, Any]]:
        """The newest of each source, signal and entity, as JSON values."""
        known = self._known.get(incident, {})
        return [record(known[about]) for about in sorted(known)]

    @property
    def _older(self) -> Path:
        return self._file.with_suffix(".jsonl.1")

    def _keep(self, said: Annotation) -> bool:
        known = self._known.setdefault(said.incident, {})
        if said.about not in known and len(known) >= MOST_OF_ONE:
            return False
        known[said.about] = said
        self._known.move_to_end(said.incident)
        while len(self._known) > MOST_INCIDENTS:
            self._known.popitem(last=False)
        return True

    def _append(self, line: bytes) -> None:
        """Raises OSError."""
        with self._file.open("ab+") as stream:
            size = stream.tell()
            if size:
                stream.seek(size - 1)
                if stream.read(1) != b"\n":  # the process before us died here
                    line = b"\n" + line
            if size + len(line) <= self._most_bytes:
                stream.write(line)
                return
        self._file.replace(self._older)
        self._file.write_bytes(line.lstrip(b"\n"))

    def _read(self, line: bytes) -> None:
        try:
            told = json.loads(line)
            self._keep(read_record(str(told["incident"]), told))
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
            return


def _lines(file: Path, most_bytes: int) -> Iterator[bytes]:
    """Whole lines of a sensible length, from as much as we ever write."""
    try:
        with file.open("rb") as stream:
            left = most_bytes
            while left > 0 and (line := stream.readline(MOST_LINE)):
                left -= len(line)
                if line.endswith(b"\n"):
                    yield line
    except FileNotFoundError:
        return
    except OSError as error:
        log.error("%s cannot be read: %s", file, error.strerror)
