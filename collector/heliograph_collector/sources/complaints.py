"""What an import comes to, and why one is refused."""

from dataclasses import dataclass, field
from pathlib import Path

from heliograph_collector.sources.replay import Replay

MAX_SENTENCES = 20  # complaints that are kept by their words


class ImportRefusedError(ValueError):
    """Nothing of it can be used; str() is a sentence with its place and the cure."""


@dataclass(slots=True)
class Complaints:
    """What was left out, a sentence each; after twenty they are counted."""

    sentences: list[str] = field(default_factory=list)
    omitted_count: int = 0

    def add(self, location: str, reason: str) -> None:
        if len(self.sentences) < MAX_SENTENCES:
            self.sentences.append(f"{location}: {reason}.")
        else:
            self.omitted_count += 1

    def list_sentences(self) -> tuple[str, ...]:
        if not self.omitted_count:
            return tuple(self.sentences)
        return (*self.sentences, f"{self.omitted_count} more of the kind are not told one by one.")


@dataclass(frozen=True, slots=True)
class ImportResult:
    """`format`: ioda, csv, atlas or ooni. The replay's truths are empty."""

    format: str
    replay: Replay
    complaints: tuple[str, ...]


def describe_location(path: Path, line: int = 0) -> str:
    return f"{path}, line {line}" if line else str(path)
