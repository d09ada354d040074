"""Recompute alert log entries from the checkpoints and journal rows they name.

`reproduce` does it for the log of a data directory: `log verify --again`.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from msgspec import UnsetType

from heliograph.keys import SigningKey
from heliograph.timestamps import parse_timestamp
from heliograph_collector.detect import checkpoint
from heliograph_collector.detect.checkpoint import FOLDER
from heliograph_collector.detect.engine import CLOSE_US, DetectorEngine, ReplayBatch
from heliograph_collector.incidents.incident import Incident, IncidentKind, IncidentState
from heliograph_collector.incidents.log_file import Reproduction, body_of
from heliograph_collector.incidents.public_cells import publishable
from heliograph_collector.incidents.published.incident import EvidenceRows
from heliograph_collector.incidents.published.log import DetectorBody, IncidentRecord
from heliograph_collector.incidents.record import incident_record, parse_incident
from heliograph_collector.incidents.sealed_basis import SealedBasisError, open_basis
from heliograph_collector.model.records import JournalRow
from heliograph_collector.model.thresholds import DETECT_VERSION
from heliograph_collector.store.journal.tables import read_rows

__all__ = ["Reproduction", "ReproductionError", "get_rows", "reproduce"]

OPERATOR_ENTRIES = "that are the operator's own words"
OTHER_VERSION = "of another version of the detectors"
USES_STORE = "that rest on verdicts in the store"
NO_BASIS = "whose rows are sealed to another key"
NO_CHECKPOINT = "whose checkpoint is gone"
NO_ROWS = "whose rows are gone"
NO_VERDICTS = "whose verdicts are gone"
# in one read
_MAX_ROWS = 1_000
_MAX_BYTES = 1 << 26


class ReproductionError(Exception):
    """The log cannot be recomputed here; the text is a sentence for the user."""


@dataclass(frozen=True, slots=True)
class _JournalRows:
    """Rows of a journal that may be in use."""

    db: sqlite3.Connection

    def read_between(self, after: int, last: int) -> Iterator[JournalRow]:
        while after < last and (batch := read_rows(self.db, after, _MAX_ROWS, _MAX_BYTES)):
            yield from (row for row in batch if row.position <= last)
            after = batch[-1].position


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


def reproduce_entries(
    bodies: Iterable[tuple[int, DetectorBody]],
    folder: Path,
    secret: bytes,
    rows: _JournalRows,
    oldest: int,
) -> Reproduction:
    """Reproduce the numbered bodies of a verified log. Raises OSError.

    Args:
        oldest: The position of the oldest row in the journal.
    """
    result = Reproduction()
    replay = None
    for number, body in bodies:
        reason = _reason_uncovered(body, folder, oldest)
        if not reason and (replay is None or not replay.leads_to(body)):
            replay = _start_replay(body, folder, secret)
            reason = "" if replay else NO_CHECKPOINT
        if reason or replay is None:
            result.uncovered[reason] = result.uncovered.get(reason, 0) + 1
        elif matches_entry(body, replay.incidents(body, rows)):
            result.agreed += 1
        else:
            result.differ.append(number)
    return result


def matches_entry(body: DetectorBody, incidents: Sequence[Incident]) -> bool:
    """Return whether one of these incidents equals that of the entry.

    Ids and the hint `recurring` are not compared, because they depend on earlier log entries.
    """
    recorded = parse_incident(body.incident)
    min_vantages = float(body.versions.get("k", 0))
    if recorded.state is IncidentState.WITHDRAWN and all(i.id != recorded.id for i in incidents):
        return True
    published = (publishable(incident, recorded, min_vantages) for incident in incidents)
    return any(
        i is not None
        and _comparable_record(i, recorded.id) == _comparable_record(recorded, recorded.id)
        for i in published
    )


@dataclass(slots=True)
class _Replay:
    """An engine that advances from a checkpoint."""

    state: str
    engine: DetectorEngine
    batches: list[ReplayBatch]
    late_rows: tuple[tuple[int, str], ...]
    until_us: int = 0

    def leads_to(self, body: DetectorBody) -> bool:
        rows = get_rows(body)
        late = rows.late
        return (
            body.versions.get("state") == self.state
            and late[: len(self.late_rows)] == self.late_rows
            and all(row > self.engine.position for row, _ in late[len(self.late_rows) :])
            and rows.last >= self.engine.position
            and parse_timestamp(body.window.until) >= self.until_us
        )

    def incidents(self, body: DetectorBody, rows: _JournalRows) -> Sequence[Incident]:
        basis = get_rows(body)
        self.late_rows = basis.late
        self.until_us = parse_timestamp(body.window.until)
        late_moments = {row: parse_timestamp(timestamp) for row, timestamp in self.late_rows}
        self.engine.read_rows(rows.read_between(self.engine.position, basis.last), late_moments)
        self.engine.advance_to(self.until_us)
        while self.batches and self.engine.is_due(self.batches[0], self.until_us):
            self.engine.replay(self.batches.pop(0))
        self.engine.close_bins(self.until_us - CLOSE_US)
        return self.engine.incidents()


def _start_replay(body: DetectorBody, folder: Path, secret: bytes) -> _Replay | None:
    hash_ = body.versions["state"]
    file = checkpoint.find_state(folder, hash_)
    loaded = checkpoint.load_state(file, secret) if file else None
    if file is None or loaded is None or loaded[1] != hash_:
        return None
    frames = list(checkpoint.read_batches(file.with_suffix(".opinions")))
    return _Replay(hash_, loaded[0], frames, ())


def _reason_uncovered(body: DetectorBody, folder: Path, oldest: int) -> str:
    versions = body.versions
    if isinstance(body.rows, UnsetType):
        return NO_BASIS
    rows = body.rows
    if versions["detect"] != str(DETECT_VERSION):
        return OTHER_VERSION
    if "verdicts" in versions:
        return USES_STORE
    file = checkpoint.find_state(folder, versions.get("state", ""))
    if file is None:
        return NO_CHECKPOINT
    is_silence = IncidentKind(body.incident.kind).is_silence
    if not is_silence and not file.with_suffix(".opinions").exists():
        return NO_VERDICTS
    return NO_ROWS if rows.first <= rows.last and oldest > rows.first else ""


def get_rows(body: DetectorBody) -> EvidenceRows:
    """Return the rows of an opened body. Raises ValueError on a sealed one."""
    if isinstance(body.rows, UnsetType):
        raise ValueError("the rows of the entry are sealed: open its basis first")
    return body.rows


def _comparable_record(incident: Incident, name: str) -> IncidentRecord:
    hints = tuple(hint for hint in incident.hints if hint != "recurring")
    return incident_record(replace(incident, id=name, hints=hints))
