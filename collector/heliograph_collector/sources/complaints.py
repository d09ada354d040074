"""What an import comes to, and why one is refused."""

from dataclasses import dataclass, field
from pathlib import Path

from heliograph_collector.sources.replay import Replay

MOST_SPOKEN = 20  # complaints that are kept by their words


class ImportRefusedError(ValueError):
    """Nothing of it can be used; str() is a sentence with its place and the cure."""


@dataclass(slots=True)
class Complaints:
    """What was left out, a sentence each; after twenty they are counted."""

    said: list[str] = field(default_factory=list)
    more: int = 0

    def add(self, place: str, why: str) -> None:
        if len(self.said) < MOST_SPOKEN:
            self.said.append(f"{place}: {why}.")
        else:
            self.more += 1

    def all(self) -> tuple[str, ...]:
        if not self.more:
            return tuple(self.said)
        return (*self.said, f"{self.more} more of the kind are not told one by one.")


@dataclass(frozen=True, slots=True)
class Imported:
    """`format`: ioda, csv, atlas or ooni. The replay's truths are empty."""

    format: str
    replay: Replay
    complaints: tuple[str, ...]


def place(path: Path, line: int = 0) -> str:
    return f"{path}, line {line}" if line else str(path)
