"""Recompute entries of an alert log from their checkpoints and journal rows."""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from heliograph.keys import SigningKey
from heliograph_collector.detect.checkpoint import FOLDER
from heliograph_collector.detect.reproduce import reproduce_entries
from heliograph_collector.incidents.log_file import Reproduction, body_of
from heliograph_collector.incidents.published.log import DetectorBody
from heliograph_collector.incidents.sealed_basis import SealedBasisError, open_basis
from heliograph_collector.model.records import JournalRow
from heliograph_collector.store.journal.tables import read_rows

__all__ = ["Reproduction", "ReproductionError", "reproduce"]

OPERATOR_ENTRIES = "that are the operator's own words"
# in one read
_MAX_ROWS = 1_000
_MAX_BYTES = 1 << 26


class ReproductionError(Exception):
    """The log cannot be recomputed here; the text is a sentence for the user."""


def reproduce(lines: Iterable[bytes], entries: int, data: Path) -> Reproduction:
    """Recompute the first `entries` of a log; works while the collector runs.

    Raises ReproductionError.
    """
    secret = data / "keys" / "secret.key"
    log_key = data / "keys" / "log.key"
    if not log_key.exists():
        log_key = data / "keys" / "signing.key"  # which signed the log before it had its own
    journal = data / "journal.db"
    for required_file in (secret, log_key, journal):
        if not required_file.exists():
            raise ReproductionError(
                f"{required_file} is not there: --again wants the collector's --data."
            )
    operator_numbers: list[int] = []
    key = SigningKey(log_key.read_bytes())
    bodies = _iter_detector_bodies(islice(lines, entries), operator_numbers, key)
    try:
        with closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True, timeout=10)) as db:
            oldest_position = next((row.position for row in read_rows(db, 0, 1, 1)), 1 << 62)
            comparison = reproduce_entries(
                bodies, data / FOLDER, secret.read_bytes(), _JournalRows(db), oldest_position
            )
    except sqlite3.Error as error:
        raise ReproductionError(f"{journal} cannot be read ({error}).") from error
    if operator_numbers:
        comparison.uncovered[OPERATOR_ENTRIES] = len(operator_numbers)
    return comparison


def _iter_detector_bodies(
    lines: Iterable[bytes], operator_numbers: list[int], key: SigningKey
) -> Iterator[tuple[int, DetectorBody]]:
    """Yield the detector's bodies with numbers; collect those of the operator.

    An operator's entry cannot be computed. A body that is sealed to another key stays sealed.
    """
    for number, line in enumerate(lines, 1):
        body = body_of(line)
        if isinstance(body, DetectorBody):
            with suppress(SealedBasisError):
                body = open_basis(body, key)
            yield number, body
        else:
            operator_numbers.append(number)


@dataclass(frozen=True, slots=True)
class _JournalRows:
    """Rows of a journal that may be in use."""

    db: sqlite3.Connection

    def read_between(self, after: int, last: int) -> Iterator[JournalRow]:
        while after < last and (batch := read_rows(self.db, after, _MAX_ROWS, _MAX_BYTES)):
            yield from (row for row in batch if row.position <= last)
            after = batch[-1].position
