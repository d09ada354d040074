"""Detector state on disk: checkpoints, the log and amendments of late data.

It blocks on files only. The detector runner calls it in a thread, one call at a time.
"""

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from heliograph.durable_file import replace_file
from heliograph.keys import SigningKey
from heliograph.timestamps import parse_timestamp
from heliograph.units import SECOND_US
from heliograph_collector.detect import checkpoint
from heliograph_collector.detect.amendments import (
    apply_amendments,
    close_amendments,
    list_failing,
)
from heliograph_collector.detect.engine import CLOSE_US, DetectorEngine, ReplayBatch
from heliograph_collector.detect.silence.detector import CoverageGap
from heliograph_collector.incidents.incident import Incident
from heliograph_collector.incidents.log_file import LOG_FILE_NAME, EntryBasis, EntryFence
from heliograph_collector.incidents.log_writer import REOPEN_WINDOW_US, IncidentLogWriter
from heliograph_collector.incidents.operator_entries import OperatorEntry
from heliograph_collector.incidents.state import LogEntry
from heliograph_collector.model.records import JournalRow
from heliograph_collector.model.signals import ServiceVote

SAVE_US = 3_600 * SECOND_US  # between checkpoints; assumed
_REWRITE_US = 60 * SECOND_US  # until entries that the rate limit of revisions delayed are retried
_AMENDED_FILE = "amended.json"
_POSITION_FILE = "heard.json"
_BEGINNING_FILE = "began.json"
SMALL_FILES = (_AMENDED_FILE, _POSITION_FILE, _BEGINNING_FILE)


@dataclass(frozen=True, kw_only=True)
class DetectorConfig:
    """Settings of the detector; log entries name the `versions` of code and data."""

    data: Path
    journal: str  # its id
    secret: bytes
    key: SigningKey
    versions: Mapping[str, str]
    k_anonymity: int
    services: frozenset[str] | None = None  # that may be named; None: any
    fence: EntryFence | None = None  # of a collector that may not be the only one


class _VerdictPosition(msgspec.Struct):
    journal: str
    position: int


class _Beginning(msgspec.Struct):
    began_us: int


class DetectorState:
    """The detector engine with its files. Raises AlertLogError, OSError."""

    def __init__(self, config: DetectorConfig) -> None:
        self._config = config
        self._folder = config.data / checkpoint.FOLDER
        self.log = IncidentLogWriter(
            config.data / LOG_FILE_NAME, config.key, config.k_anonymity, config.fence
        )
        self.detectors = DetectorEngine.create(config.journal, config.secret, 0)
        self._saved_state = checkpoint.SavedState(self._folder, "")
        self._saved_us = 0
        self._unwritten_batches: list[ReplayBatch] = []  # whose write failed
        self._amendments: dict[str, Incident] = {}
        self._last_written: tuple[int, Sequence[Incident]] = (0, ())
        # All verdicts up to this journal position are on disk or evaluated.
        self.verdict_position: int | None = None
        self.is_written = False  # whether the last evaluation wrote all votes before it

    def resume_from_checkpoint(self, last_position: int, now_us: int) -> None:
        """Load the newest usable checkpoint, or start before the oldest row.

        Raises OSError.
        """
        config = self._config
        self._load_amendments()
        self._load_verdict_position()
        newest = checkpoint.load_newest(self._folder, config.journal, last_position, config.secret)
        if newest is None:
            self.detectors = DetectorEngine.create(config.journal, config.secret, now_us)
            self.detectors.restore(self.log.last_logged.values())
            self.save(now_us)
            return
        self.detectors, self._saved_state = newest
        self._saved_us = self.detectors.received_us
        checkpoint.repair(self._saved_state.votes_file)
        for batch in checkpoint.read_batches(self._saved_state.votes_file):
            self.detectors.replay(batch)

    def save(self, now_us: int) -> None:
        """Save a checkpoint. Raises OSError; the next evaluation then tries again."""
        self._saved_state = checkpoint.save_state(self._folder, self.detectors)
        self._unwritten_batches.clear()  # the state includes their results
        self._saved_us = now_us

    def replace_engine(self, gap: CoverageGap) -> None:
        """Begin again at the end of the gap, and save that. Raises OSError."""
        self.detectors = self.detectors.create_successor(gap)
        self.detectors.restore(self.log.last_logged.values())
        self._last_written = 0, ()
        self.save(gap.until_us)
        checkpoint.age_other_states(self._folder, self._saved_state)

    def read_rows(self, rows: Sequence[JournalRow]) -> None:
        self.detectors.read_rows(rows)

    def evaluate(self, votes: Iterable[ServiceVote], now_us: int) -> list[ServiceVote]:
        """Advance to now and return the votes that came too late. Raises OSError.

        Bins are closed before the votes are added, so that a bin holds only votes of earlier calls.
        """
        engine = self.detectors
        engine.advance_to(now_us)
        batch = engine.close_bins(now_us - CLOSE_US)
        if batch is not None and batch[2]:
            self._write_batch(batch)
        late_votes = [vote for vote in votes if not engine.add_vote(vote)]
        recovery_batch = engine.check_recovery(now_us)
        if recovery_batch is not None:
            self._write_batch(recovery_batch)
        self.is_written = batch is not None
        if now_us - self._saved_us >= SAVE_US or not engine.is_traceable:
            self.amend(close_amendments(engine.incidents(), self._amendments))
            engine.forget(now_us)
            self._amendments = {
                name: incident
                for name, incident in self._amendments.items()
                if (incident.closed_us or now_us) >= now_us - REOPEN_WINDOW_US
            }
            self.save(now_us)
        return late_votes

    def _write_batch(self, batch: ReplayBatch) -> None:
        """Append the batch, after earlier batches whose write failed. Raises OSError."""
        self._unwritten_batches.append(batch)
        while self._unwritten_batches:
            checkpoint.append_batch(self._saved_state, self._unwritten_batches[0])
            del self._unwritten_batches[0]

    def write_entries(self, now_us: int) -> Sequence[LogEntry]:
        """Write changes of incidents to the log. Raises OSError, AlertLogError."""
        failing = list_failing(self.detectors.blocking, self._amendments)
        incidents = apply_amendments(self.detectors.incidents(), self._amendments, failing)
        written_us, previous = self._last_written
        if incidents == previous and now_us - written_us < _REWRITE_US:
            return ()
        entries = self.log.write_changes(
            incidents, self._entry_basis(now_us), now_us, self._amendments
        )
        self._last_written = now_us, incidents
        return entries

    def write_operator_entry(self, operator_entry: OperatorEntry, now_us: int) -> LogEntry:
        """Write an entry of an operator. Raises OperatorEntryError, OSError."""
        return self.log.write_operator_entry(operator_entry, now_us)

    def preview_operator_entry(self, operator_entry: OperatorEntry, now_us: int) -> LogEntry:
        """Return the entry that would be written. Raises OperatorEntryError."""
        return self.log.preview_operator_entry(operator_entry, now_us)

    def amend(self, amendments: Mapping[str, Incident]) -> None:
        """Store amendments, which override the live detector. Raises OSError."""
        if amendments:
            self._amendments.update(amendments)
            self._write_json(_AMENDED_FILE, self._amendments)
            self._last_written = 0, ()

    def find_beginning(self, oldest_us: int) -> int:
        """Return when coverage began: as stored, or the oldest trace. Raises OSError.

        Args:
            oldest_us: The oldest row of the journal.
        """
        entries = self.log.book.entries
        began_us = min([oldest_us, *(parse_timestamp(entry.body.at) for entry in entries[:1])])
        with contextlib.suppress(OSError, ValueError, RecursionError):
            content = (self._folder / _BEGINNING_FILE).read_bytes()
            stored_us = msgspec.json.decode(content, type=_Beginning).began_us
            if stored_us <= began_us:  # a clock that ran ahead may have stored a later time
                return stored_us
        self._write_json(_BEGINNING_FILE, _Beginning(began_us))
        return began_us

    def note_verdict_position(self, position: int) -> None:
        """Store `verdict_position`, if it changed. Raises OSError."""
        if position != self.verdict_position:
            self._write_json(
                _POSITION_FILE, {"journal": self._config.journal, "position": position}
            )
            self.verdict_position = position

    def _load_verdict_position(self) -> None:
        """Load the position; a damaged file or one of another journal counts as missing."""
        with contextlib.suppress(OSError, ValueError, RecursionError):
            stored = msgspec.json.decode(
                (self._folder / _POSITION_FILE).read_bytes(), type=_VerdictPosition
            )
            self.verdict_position = (
                stored.position if stored.journal == self._config.journal else None
            )

    def _write_json(self, name: str, content: object) -> None:
        replace_file(self._folder / name, msgspec.json.encode(content), durable=False)

    def _load_amendments(self) -> None:
        """Load amendments; a damaged file counts as missing."""
        try:
            content = (self._folder / _AMENDED_FILE).read_bytes()
            self._amendments = msgspec.json.decode(content, type=dict[str, Incident])
        except (OSError, ValueError, RecursionError):
            self._amendments = {}

    def _entry_basis(self, now_us: int) -> EntryBasis:
        engine = self.detectors
        saved_state = self._saved_state
        first = int(saved_state.file.stem.partition("-")[0]) + 1
        return EntryBasis(
            first,
            max(engine.position, first - 1),
            self._saved_us,
            now_us,
            {
                **self._config.versions,
                "k": str(self._config.k_anonymity),
                "state": saved_state.hash,
            },
            tuple(engine.late_rows),
        )
