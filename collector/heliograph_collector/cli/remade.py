"""For `log verify --again`: entries of a log, made again from a collector's data directory."""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

from heliograph_collector.cli import CommandError
from heliograph_collector.detect.again import Comparison, Rows, compare
from heliograph_collector.detect.chain import body_of
from heliograph_collector.detect.checkpoint import FOLDER
from heliograph_collector.store.journal_table import read
from heliograph_collector.store.rows import JournalRow
from heliograph_collector.store.standing import is_operators

OPERATORS = "that are the operator's own words"
_ROWS, _BYTES = 1_000, 1 << 26  # read at once


def remade(lines: Iterable[bytes], entries: int, data: Path) -> Comparison:
    """Of so many entries that hold. The collector may be serving meanwhile. Raises CommandError."""
    secret, journal = data / "keys" / "secret.key", data / "journal.db"
    for needed in (secret, journal):
        if not needed.exists():
            raise CommandError(f"{needed} is not there: --again wants the collector's --data.")
    acts: list[int] = []
    bodies = _detectors(islice(lines, entries), acts)
    try:
        with closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True, timeout=10)) as db:
            oldest = next((row.position for row in read(db, 0, 1, 1)), 1 << 62)
            rows = _reader(db)
            made = compare(bodies, data / FOLDER, secret.read_bytes(), rows, oldest)
    except sqlite3.Error as error:
        raise CommandError(f"{journal} cannot be read ({error}).") from error
    if acts:
        made.uncovered[OPERATORS] = len(acts)
    return made


def _detectors(lines: Iterable[bytes], acts: list[int]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The detector's bodies, numbered; the operator's own words are nothing to compute."""
    for number, line in enumerate(lines, 1):
        body = body_of(line)
        if is_operators(body):
            acts.append(number)
        else:
            yield number, body


def sentences(made: Comparison) -> Iterator[str]:
    yield f"Made again: {made.agreed} entries came out the same."
    if made.differ:
        yield f"Came out otherwise: {', '.join(str(number) for number in made.differ)}."
    for why, count in made.uncovered.items():
        yield f"Not made again: {count} {why}."


def _reader(db: sqlite3.Connection) -> Rows:
    def rows(after: int, last: int) -> Iterator[JournalRow]:
        while after < last and (found := read(db, after, _ROWS, _BYTES)):
            yield from (row for row in found if row.position <= last)
            after = found[-1].position

    return rows
