"""Judge OONI measurement files by rules, file by file."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from heliograph_collector.model.records import ControlView, ReceivedMeasurement, Verdict
from heliograph_collector.sources.ooni import (
    Complaint,
    ImportedMeasurement,
    ImportRow,
    PeerOutcomes,
    UnreadableError,
    format_row,
    format_sentence,
    has_control,
    read_documents,
    read_measurement,
)


@dataclass(frozen=True, slots=True)
class UnreadableDocument:
    """A document that cannot be read; `line` is 0 for a file of one document."""

    path: Path
    line: int
    reason: str
    is_readable: ClassVar[Literal[False]] = False


@dataclass(frozen=True, slots=True)
class JudgedImport:
    """A measurement of OONI and our verdicts on it."""

    imported: ImportedMeasurement
    verdicts: Sequence[Verdict]
    is_readable: ClassVar[Literal[True]] = True

    def to_document(self) -> ImportRow:
        return format_row(self.imported, self.verdicts)

    def describe(self) -> str:
        return format_sentence(self.imported, self.verdicts)


Judge = Callable[[ReceivedMeasurement, ControlView], Sequence[Verdict]]


def judge_files(paths: Sequence[Path], judge: Judge) -> Iterator[JudgedImport | UnreadableDocument]:
    """Judge each document of files and folders; read the files twice, peers first."""
    peers = PeerOutcomes()
    for imported in _read_without_control(paths):
        peers.add(imported)
    for result in _read_documents(paths):
        if isinstance(result, UnreadableDocument):
            yield result
            continue
        imported = peers.compare_peers(result)
        yield JudgedImport(imported, judge(imported.record, imported.control))


def _read_without_control(paths: Sequence[Path]) -> Iterator[ImportedMeasurement]:
    """Read documents without an own control; skip unreadable ones.

    Other vantages' outcomes serve as their control.
    """
    for document in read_documents(paths):
        if isinstance(document, Complaint) or has_control(document.measurement):
            continue
        with suppress(UnreadableError):
            yield read_measurement(document.measurement)


def _read_documents(paths: Sequence[Path]) -> Iterator[ImportedMeasurement | UnreadableDocument]:
    for document in read_documents(paths):
        if isinstance(document, Complaint):
            yield UnreadableDocument(document.path, document.line, document.reason)
            continue
        try:
            yield read_measurement(document.measurement)
        except UnreadableError as error:
            yield UnreadableDocument(document.path, document.line, str(error))
