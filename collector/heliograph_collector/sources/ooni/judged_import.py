"""Judge OONI measurement files by rules, file by file."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from heliograph_collector.model.judging import Judge
from heliograph_collector.model.records import Verdict
from heliograph_collector.sources.ooni import (
    Complaint,
    Document,
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
class JudgedImport:
    """A measurement of OONI and our verdicts on it."""

    imported: ImportedMeasurement
    verdicts: Sequence[Verdict]
    is_readable: ClassVar[Literal[True]] = True

    def to_document(self) -> ImportRow:
        return format_row(self.imported, self.verdicts)

    def describe(self) -> str:
        return format_sentence(self.imported, self.verdicts)


def judge_files(paths: Sequence[Path], judge: Judge) -> Iterator[JudgedImport | Complaint]:
    """Judge each document of files and folders; read the files twice, peers first."""
    peers = collect_peers(paths)
    for document in read_documents(paths):
        if isinstance(document, Complaint):
            yield document
            continue
        try:
            imported = peers.compare_peers(read_measurement(document.measurement))
        except UnreadableError as error:
            yield Complaint(document.path, document.line, str(error))
            continue
        yield JudgedImport(imported, judge(imported.record, imported.control))


def collect_peers(paths: Iterable[Path]) -> PeerOutcomes:
    """Collect the outcomes of documents without an own control; skip unreadable ones.

    Other vantages' outcomes serve as their control.
    """
    peers = PeerOutcomes()
    for document in read_documents(paths):
        if isinstance(document, Document) and not has_control(document.measurement):
            with suppress(UnreadableError):
                peers.add(read_measurement(document.measurement))
    return peers
