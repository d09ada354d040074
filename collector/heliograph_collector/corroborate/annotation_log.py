"""DATA/corroboration.jsonl: the annotations, one line each, append-only.

It is separate from the alert log, because it proves nothing and decides nothing. A full file
replaces corroboration.jsonl.1. A line that a crash left incomplete, or that is not ours, is
skipped.
"""

import json
import logging
from collections import OrderedDict
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import msgspec

from heliograph.durable_file import replace_file
from heliograph_collector.corroborate.annotation import (
    Annotation,
    AnnotationRecord,
    from_record,
    to_record,
)
from heliograph_collector.corroborate.incident import Entity

FILE = "corroboration.jsonl"
_OLDER = ".jsonl.1"
MAX_BYTES = 8_388_608
MAX_INCIDENTS = 1_000
MAX_LINE_BYTES = 8_192
MAX_PER_INCIDENT = 64  # sources, signals and entities of an incident, multiplied

log = logging.getLogger("heliograph.corroborate")

_Subject = tuple[str, str, Entity]


class AnnotationLog:
    """Annotations by incident, in memory and in a file.

    After a disk error the memory still serves.
    """

    def __init__(self, folder: Path, max_bytes: int = MAX_BYTES) -> None:
        self._file = folder / FILE
        self._most_bytes = max_bytes
        self._annotations: OrderedDict[str, dict[_Subject, Annotation]] = OrderedDict()
        for file in (self._older, self._file):
            for line in _read_lines(file, max_bytes):
                self._restore(line)

    def add(self, annotation: Annotation) -> bool:
        """Add an annotation and return whether it is new; a repetition writes no line."""
        previous = self._annotations.get(annotation.incident, {}).get(annotation.subject)
        if annotation.is_same_as(previous) or not self._remember(annotation):
            return False
        line = json.dumps(
            {"incident": annotation.incident, **to_record(annotation)}, sort_keys=True
        )
        try:
            self._append(line.encode() + b"\n")
        except OSError as error:
            log.error("%s cannot be written: %s", self._file, error.strerror)
        return True

    def list_annotations(self, incident: str) -> list[AnnotationRecord]:
        """Return the newest annotation of each source, signal and entity, as JSON values."""
        by_subject = self._annotations.get(incident, {})
        return [to_record(by_subject[subject]) for subject in sorted(by_subject)]

    def list_newest(self, count: int) -> dict[str, list[AnnotationRecord]]:
        """Return those of the incidents that were annotated last, by incident."""
        newest = islice(reversed(self._annotations), count)
        return {incident: self.list_annotations(incident) for incident in newest}

    @property
    def _older(self) -> Path:
        return self._file.with_suffix(_OLDER)

    def _remember(self, annotation: Annotation) -> bool:
        by_subject = self._annotations.setdefault(annotation.incident, {})
        if annotation.subject not in by_subject and len(by_subject) >= MAX_PER_INCIDENT:
            return False
        by_subject[annotation.subject] = annotation
        self._annotations.move_to_end(annotation.incident)
        while len(self._annotations) > MAX_INCIDENTS:
            self._annotations.popitem(last=False)
        return True

    def _append(self, line: bytes) -> None:
        with self._file.open("ab+") as stream:
            size = stream.tell()
            if size:
                stream.seek(size - 1)
                if stream.read(1) != b"\n":  # the previous process died within a line
                    line = b"\n" + line
            if size + len(line) <= self._most_bytes:
                stream.write(line)
                return
        self._file.replace(self._older)
        self._file.write_bytes(line.lstrip(b"\n"))

    def _restore(self, line: bytes) -> None:
        try:
            record = msgspec.json.decode(line, type=AnnotationRecord)
            self._remember(from_record(record.get("incident", ""), record))
        except (msgspec.DecodeError, ValueError, OverflowError, RecursionError):
            return


def read_notes(folder: Path) -> bytes:
    """Read the newest lines of both files, MAX_BYTES at most."""
    file = folder / FILE
    files = (file.with_suffix(_OLDER), file)
    return _cut_old(b"".join(line for each in files for line in _read_lines(each, MAX_BYTES)))


def adopt_notes(folder: Path, content: bytes) -> None:
    """Add lines from elsewhere, after our own that they lack. Raises OSError."""
    own = read_notes(folder).splitlines(keepends=True)
    content_lines = set(content.splitlines(keepends=True))
    missing = [line for line in own if line not in content_lines]
    replace_file(folder / FILE, _cut_old(b"".join(missing) + content))
    (folder / FILE).with_suffix(_OLDER).unlink(missing_ok=True)


def _cut_old(content: bytes) -> bytes:
    """Return the last lines, MAX_BYTES at most."""
    if len(content) <= MAX_BYTES:
        return content
    return content[content.index(b"\n", len(content) - MAX_BYTES - 1) + 1 :]


def _read_lines(file: Path, max_bytes: int) -> Iterator[bytes]:
    """Yield complete lines of plausible length, up to the size of our own files."""
    try:
        with file.open("rb") as stream:
            remaining_bytes = max_bytes
            while remaining_bytes > 0 and (line := stream.readline(MAX_LINE_BYTES)):
                remaining_bytes -= len(line)
                if line.endswith(b"\n"):
                    yield line
    except FileNotFoundError:
        return
    except OSError as error:
        log.error("%s cannot be read: %s", file, error.strerror)
