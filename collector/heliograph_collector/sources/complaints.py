"""Results of an import: skipped parts, refusals and the imported replay."""

from dataclasses import dataclass, field
from pathlib import Path

from heliograph_collector.sources.replay import Replay

MAX_SENTENCES = 20  # complaints that are kept as sentences


class ImportRefusedError(ValueError):
    """Error for an unusable file; the message is a sentence with place and remedy."""


@dataclass(slots=True)
class Complaints:
    """Sentences about skipped parts; beyond MAX_SENTENCES they are only counted."""

    sentences: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # on what each file of its kind holds
    omitted_count: int = 0

    def add(self, location: str, reason: str) -> None:
        if len(self.sentences) < MAX_SENTENCES:
            self.sentences.append(f"{location}: {reason}.")
        else:
            self.omitted_count += 1

    def add_note(self, location: str, note: str) -> None:
        """Add a sentence on ignored parts of a file, such as losses beside levels."""
        if len(self.notes) < MAX_SENTENCES:
            self.notes.append(f"{location}: {note}.")

    def list_sentences(self) -> tuple[str, ...]:
        if not self.omitted_count:
            return tuple(self.sentences)
        return (*self.sentences, f"{self.omitted_count} more of the kind are not told one by one.")


@dataclass(frozen=True, slots=True)
class ImportResult:
    """Imported replay, without truths; `format` is ioda, csv, radar, atlas or ooni."""

    format: str
    replay: Replay
    complaints: tuple[str, ...]
    notes: tuple[str, ...] = ()


def describe_location(path: Path, line: int = 0) -> str:
    return f"{path}, line {line}" if line else str(path)
