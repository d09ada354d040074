"""Recompute the entries of an alert log from the checkpoints and journal rows that they name."""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from heliograph_collector.detect.checkpoint import FOLDER
from heliograph_collector.detect.reproduce import Comparison, Rows, compare
from heliograph_collector.incidents.hash_chain import body_of
from heliograph_collector.incidents.state import is_operators
from heliograph_collector.model.records import JournalRow
from heliograph_collector.store.journal.tables import read

OPERATORS = "that are the operator's own words"
_ROWS, _BYTES = 1_000, 1 << 26  # read at once


class ReproductionError(Exception):
    """The log cannot be recomputed here; the text is a sentence for the user."""


@dataclass(frozen=True, slots=True)
class Reproduction:
    """The comparison of a log with what the detectors compute today."""

    comparison: Comparison

    def sentences(self) -> Iterator[str]:
        comparison = self.comparison
        yield f"Made again: {comparison.agreed} entries came out the same."
        if comparison.differ:
            yield f"Came out otherwise: {', '.join(str(number) for number in comparison.differ)}."
        for why, count in comparison.uncovered.items():
            yield f"Not made again: {count} {why}."


def reproduce(lines: Iterable[bytes], entries: int, data: Path) -> "Reproduction":
    """Recompute the first `entries` of a log, also while the collector serves.

    Raises ReproductionError.
    """
    secret, journal = data / "keys" / "secret.key", data / "journal.db"
    for needed in (secret, journal):
        if not needed.exists():
            raise ReproductionError(f"{needed} is not there: --again wants the collector's --data.")
    acts: list[int] = []
    bodies = _detectors(islice(lines, entries), acts)
    try:
        with closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True, timeout=10)) as db:
            oldest = next((row.position for row in read(db, 0, 1, 1)), 1 << 62)
            rows = _reader(db)
            made = compare(bodies, data / FOLDER, secret.read_bytes(), rows, oldest)
    except sqlite3.Error as error:
        raise ReproductionError(f"{journal} cannot be read ({error}).") from error
    if acts:
        made.uncovered[OPERATORS] = len(acts)
    return Reproduction(made)


def _detectors(lines: Iterable[bytes], acts: list[int]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The detector's bodies, numbered; the operator's own words are nothing to compute."""
    for number, line in enumerate(lines, 1):
        body = body_of(line)
        if is_operators(body):
            acts.append(number)
        else:
            yield number, body


def _reader(db: sqlite3.Connection) -> Rows:
    def rows(after: int, last: int) -> Iterator[JournalRow]:
        while after < last and (found := read(db, after, _ROWS, _BYTES)):
            yield from (row for row in found if row.position <= last)
            after = found[-1].position

    return rows
