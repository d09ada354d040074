"""Judge OONI's measurement files by our own rules, file by file."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heliograph_collector.judge import judge
from heliograph_collector.model.records import Verdict
from heliograph_collector.sources.ooni import (
    Complaint,
    Imported,
    UnreadableError,
    World,
    documents,
    has_control,
    line,
    read,
    sentence,
)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A document that cannot be read; `line` is 0 for a file of one document."""

    path: Path
    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Judged:
    """One measurement of OONI's and our verdicts on it."""

    imported: Imported
    verdicts: Sequence[Verdict]

    def document(self) -> dict[str, Any]:
        return line(self.imported, self.verdicts)

    def sentence(self) -> str:
        return sentence(self.imported, self.verdicts)


def judge_files(paths: Sequence[Path]) -> Iterator[Judged | Unreadable]:
    """Judge each document of files and folders; files are read twice, peers first."""
    peers = World()
    for imported in _without_control(paths):
        peers.note(imported)
    for result in _read(paths):
        if isinstance(result, Unreadable):
            yield result
            continue
        imported = peers.contrast(result)
        yield Judged(imported, judge(imported.taken, imported.control))


def _without_control(paths: Sequence[Path]) -> Iterator[Imported]:
    """Read the documents whose control is what other vantages saw; skip unreadable ones."""
    for document in documents(paths):
        if isinstance(document, Complaint) or has_control(document.json):
            continue
        with suppress(UnreadableError):
            yield read(document.json)


def _read(paths: Sequence[Path]) -> Iterator[Imported | Unreadable]:
    for document in documents(paths):
        if isinstance(document, Complaint):
            yield Unreadable(document.path, document.line, document.why)
            continue
        try:
            yield read(document.json)
        except UnreadableError as error:
            yield Unreadable(document.path, document.line, str(error))
