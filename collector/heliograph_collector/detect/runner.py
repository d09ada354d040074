"""Runner of the detectors: reads journal and verdicts, publishes new entries.

The state is saved every hour; a restart resumes there and reads the rows since.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge

from heliograph.clock import Clock
from heliograph.units import SECOND_US
from heliograph_collector.detect.clock_lead import GAP_REASON, ClockLead
from heliograph_collector.detect.coverage_gaps import CoverageRecord
from heliograph_collector.detect.judge_lag import JudgeLag
from heliograph_collector.detect.late_data import LateVotes, ReopenedWindow, VoteHistory, reevaluate
from heliograph_collector.detect.recovery import RecoveredVotes
from heliograph_collector.detect.signal_reader import read_votes
from heliograph_collector.detect.silence.detector import CoverageGap
from heliograph_collector.detect.state import DetectorConfig, DetectorState
from heliograph_collector.incidents.incident import Incident, IncidentState
from heliograph_collector.incidents.log_file import AlertLogError
from heliograph_collector.incidents.operator_entries import OperatorEntry
from heliograph_collector.incidents.state import IncidentBook, LogEntry
from heliograph_collector.model.entrances import BlockedEntrance
from heliograph_collector.model.records import BlindTime, Block, JournalRow
from heliograph_collector.model.signals import ServiceVote
from heliograph_collector.store.clickhouse import StoreError
from heliograph_collector.store.journal.journal import JournalError

log = logging.getLogger("heliograph.detect")

TICK_S = 1.0
_ROWS_PER_READ = 1_000  # rows in one read
_MAX_PENDING_VOTES = 200_000  # before an evaluation: a minute of a very large collector
_RETRY_S = 5.0
_STALLED_S = 180  # without a round, which takes some seconds after a long silence
_LAG_S = 300.0  # age of the oldest row that the detectors have not read
_IDLE_RATIO = 4  # rechecks of late data use a fifth of the time at most


class IncidentPublisher(Protocol):
    """The receiver of what changes, for live readers.

    Implemented by http.published_incidents.IncidentEvents.
    """

    def publish_incident(self, book: IncidentBook, id_: str) -> None: ...
    def publish_gap(self, book: IncidentBook, coverage_gap: BlindTime) -> None: ...


class PositionHolder(Protocol):
    """A reader of verdicts that holds unwritten data."""

    @property
    def oldest_position(self) -> int | None:
        """Return the entry after which that data arrived; None if there is none."""
        ...


class DetectorJournal(Protocol):
    """The methods of the journal that the detectors need."""

    @property
    def position(self) -> int: ...
    async def read(self, after: int, limit: int) -> list[JournalRow]: ...
    async def wait_beyond(self, position: int, timeout_s: float) -> bool: ...


class VerdictSource(Protocol):
    """Source of verdicts on entries after `position`; raises JournalError, StoreError."""

    async def since(self, position: int | None) -> RecoveredVotes: ...


class LogUnusableError(Exception):
    """The alert log cannot be continued; the text is a sentence for the operator."""


class DetectorRunner:
    """Run the detectors over the journal and over the blocks that `on_block` gets.

    `run` belongs in the collector's TaskGroup. Raises LogUnusableError.
    """

    def __init__(
        self,
        config: DetectorConfig,
        journal: DetectorJournal,
        late_source: VoteHistory,
        *,
        clock: Clock,
        publisher: IncidentPublisher,
        registry: CollectorRegistry,
    ) -> None:
        try:
            self._state = DetectorState(config)
        except (AlertLogError, OSError) as error:
            raise LogUnusableError(
                f"The alert log cannot be continued. {error} Restore alerts.jsonl and the keys "
                "from one backup, or move alerts.jsonl away to begin a new log."
            ) from error
        self._journal = journal
        self._services = config.services
        self._past = late_source
        self._clock = clock
        self._publisher = publisher
        self._lock = asyncio.Lock()  # one change of the state at a time
        self._late_data = LateVotes()
        self._open_window: ReopenedWindow | None = None  # the late window that is evaluated again
        self._pending_votes: list[ServiceVote] = []
        self._received_through = 0  # the last entry whose verdicts arrived
        self._evaluated_through = 0  # … and at the last evaluation
        self._position_holders: Sequence[PositionHolder] = ()
        self._is_recovered = False  # the previous process's buffered verdicts were replayed
        self._coverage = CoverageRecord()
        self.judge_lag = JudgeLag(clock.wall_us())
        self._problem = ""
        self._last_step_us = clock.monotonic_us()
        self._lag_s = 0.0
        self._clock_lead = ClockLead()
        self._late_votes = Counter(
            "heliograph_late_votes",
            "Votes that came too late for their minute, and reopen it.",
            registry=registry,
        )
        self._incident_gauge = Gauge(
            "heliograph_incidents", "Incidents by state.", ("state",), registry=registry
        )
        self._lag_gauge = Gauge(
            "heliograph_detector_behind_seconds",
            "How old the journal's oldest row is that the detectors have not read.",
            registry=registry,
        )
        Gauge(
            "heliograph_judge_lag_seconds",
            "How long the oldest result has waited to be judged.",
            registry=registry,
        ).set_function(self.judge_lag.measure_s)
        self._count_incidents()

    @property
    def book(self) -> IncidentBook:
        return self._state.log.book

    def problems(self) -> list[str]:
        """List sentences on why detection fails or lags; empty if it works."""
        sentences = [self._problem] if self._problem else []
        idle_s = (self._clock.monotonic_us() - self._last_step_us) // 1_000_000
        if not sentences and idle_s > _STALLED_S:
            sentences.append(f"The detectors have not looked for {idle_s} s: they are stuck.")
        if self._lag_s > _LAG_S:
            sentences.append(f"The detectors are {self._lag_s:.0f} s behind the journal.")
        return [*sentences, *self.judge_lag.problems(), *self._clock_lead.problems()]

    def on_block(self, block: Block) -> None:
        """Buffer the votes of a block; the oldest above the limit count as late ones."""
        self._pending_votes.extend(read_votes(block.judged, services=self._services))
        for vote in self._pending_votes[:-_MAX_PENDING_VOTES]:
            self._add_late_vote(vote, self._clock.wall_us())
        del self._pending_votes[:-_MAX_PENDING_VOTES]
        self._received_through = block.last
        self.judge_lag.note_judged(block.last)

    def _add_late_vote(self, vote: ServiceVote, now_us: int) -> None:
        self._late_votes.inc()
        self._late_data.add(vote, now_us, self._evaluated_through)

    def list_gaps(self, since_us: int, until_us: int) -> list[BlindTime]:
        """List coverage gaps, oldest first; `until_us` None: still open."""
        return self._coverage.list_gaps(since_us, until_us)

    def list_open_countries(self) -> frozenset[str]:
        """List the countries in which an incident is open."""
        logged = list(self._state.log.last_logged.values())
        return frozenset(i.scope.country for i in logged if i.closed_us is None)

    def list_blocked(self, since_us: int) -> list[BlockedEntrance]:
        return self._state.detectors.silence.list_blocked(since_us)

    async def run(self) -> None:
        """Run until cancelled."""
        await self._resume_with_retry()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow_journal())
            group.create_task(self._recheck_loop())

    async def restore_state(self) -> None:
        """Resume from the checkpoint. Raises OSError, JournalError."""
        async with self._lock:
            last = self._journal.position
            now_us = self._clock.wall_us()
            await asyncio.to_thread(self._state.resume_from_checkpoint, last, now_us)
            oldest_rows = await self._journal.read(0, 1)
            oldest_us = oldest_rows[0].received_us if oldest_rows else now_us
            self._coverage.began_us = await asyncio.to_thread(
                self._state.find_beginning, min(oldest_us, now_us)
            )

    async def advance(self) -> bool:
        """Read rows; if all are read, evaluate and publish. Return whether all are read.

        Raises JournalError, OSError, AlertLogError.
        """
        async with self._lock:
            now_us = self._clock.wall_us()
            last = self._journal.position
            rows = await self._read_rows(last)
            if rows:
                await asyncio.to_thread(self._state.read_rows, rows)
                self._clock_lead.note_row(max(row.received_us for row in rows))
                self.judge_lag.note_rows(rows)
            judging_gap = self.judge_lag.update(now_us)
            if judging_gap is not None:
                self._state.detectors.coverage.spells.append(judging_gap)
            if rows and rows[-1].position < last:
                self._set_lag((now_us - rows[-1].received_us) / 1e6)
                return False
            self._set_lag(0.0)
            pending_votes = self._pending_votes
            self._pending_votes = []
            through = self._received_through
            try:
                late_votes = await asyncio.to_thread(self._state.evaluate, pending_votes, now_us)
            except OSError:
                # A vote that is evaluated twice counts once.
                self._pending_votes = pending_votes + self._pending_votes
                raise
            for vote in late_votes:
                self._add_late_vote(vote, now_us)
            await self._end_clock_lead(now_us)
            self._publish_entries(await asyncio.to_thread(self._state.write_entries, now_us))
            await asyncio.to_thread(self._save_position, self._evaluated_through)
            self._evaluated_through = through
        return True

    async def _end_clock_lead(self, now_us: int) -> None:
        """Begin again at the present time when the clock stays behind. Raises OSError."""
        lead = self._clock_lead
        evaluated_us = self._state.detectors.evaluated_us
        if not lead.update(evaluated_us, now_us, self._clock.monotonic_us()):
            return
        gap = CoverageGap(now_us - lead.held_us, now_us, GAP_REASON, "")
        log.warning(
            "The clock was set back by %d s: the detectors begin again.", lead.lead_us // SECOND_US
        )
        await asyncio.to_thread(self._state.replace_engine, gap)
        self._coverage.began_us = min(self._coverage.began_us, gap.since_us)
        lead.end()

    def _save_position(self, through: int) -> None:
        """Store the position up to which a crash loses nothing. Raises OSError."""
        positions = [
            self._late_data.oldest_position,
            None if self._open_window is None else self._open_window.after_position,
        ]
        positions += [holder.oldest_position for holder in self._position_holders]
        if self._is_recovered and self._state.is_written:
            self._state.note_verdict_position(
                min([through, *(after for after in positions if after is not None)])
            )

    async def recover_verdicts(
        self, source: VerdictSource, position_holders: Sequence[PositionHolder] = ()
    ) -> tuple[int, RecoveredVotes]:
        """Replay verdicts that the previous process may not have used.

        Call it once the store is open. Return them with the entry after which they came. A crash in
        between loses nothing. What the `position_holders` have not written is replayed too.
        """
        self._position_holders = position_holders
        while True:
            try:
                return await self._recover_once(source)
            except (StoreError, JournalError) as error:
                log.warning("The latest verdicts cannot be replayed yet: %s", error)
                await asyncio.sleep(_RETRY_S)

    async def _recover_once(self, source: VerdictSource) -> tuple[int, RecoveredVotes]:
        """Replay once. Raises StoreError, JournalError."""
        last_position = self._state.verdict_position
        recovery = await source.since(last_position)
        async with self._lock:
            self._pending_votes = [*recovery.votes, *self._pending_votes]
            self._evaluated_through = recovery.through if last_position is None else last_position
            self._received_through = max(self._received_through, recovery.through)
            self.judge_lag.note_judged(recovery.through)
            self._is_recovered = True
            return self._evaluated_through, recovery

    def _set_lag(self, seconds: float) -> None:
        self._last_step_us = self._clock.monotonic_us()
        self._lag_s = seconds
        self._lag_gauge.set(seconds)

    async def record_operator_entry(self, operator_entry: OperatorEntry) -> LogEntry:
        """Write an operator's entry between two evaluations, and publish it.

        Raises OperatorEntryError, OSError, AlertLogError.
        """
        async with self._lock:
            entry = await asyncio.to_thread(
                self._state.write_operator_entry, operator_entry, self._clock.wall_us()
            )
            self._publish_entries([entry])
        return entry

    async def preview_operator_entry(self, operator_entry: OperatorEntry) -> LogEntry:
        """Return the entry that would be written now. Raises OperatorEntryError."""
        async with self._lock:
            return self._state.preview_operator_entry(operator_entry, self._clock.wall_us())

    async def recheck_late_window(self) -> bool:
        """Evaluate a late window again and return whether one was due. Raises OSError."""
        now_us = self._clock.wall_us()
        async with self._lock:
            open_incidents: Sequence[Incident] = list(self._state.log.last_logged.values())
            late_window = self._open_window = self._late_data.pop_due(now_us, open_incidents)
        if late_window is None:
            return False
        live = self._state.detectors.blocking
        try:
            amendments = await reevaluate(self._past, late_window, open_incidents, live)
            async with self._lock:
                await asyncio.to_thread(self._state.amend, amendments)
        except (StoreError, OSError) as error:
            self._late_data.put_back(late_window, now_us)
            if isinstance(error, OSError):
                raise
            log.warning(
                "Late data of %s in %s wait: %s", late_window.service, late_window.country, error
            )
        finally:
            self._open_window = None
        return True

    async def _resume_with_retry(self) -> None:
        while True:
            try:
                await self.restore_state()
            except (JournalError, OSError) as error:
                await self._report_trouble(
                    f"The detectors cannot resume from their state: {error}."
                )
            else:
                self._problem = ""
                return

    async def _follow_journal(self) -> None:
        while True:
            try:
                caught_up = await self.advance()
            except (JournalError, OSError, AlertLogError) as error:
                await self._report_trouble(f"The detectors cannot continue: {error}")
                continue
            self._problem = ""
            if caught_up:
                position = self._state.detectors.position
                await self._journal.wait_beyond(position, TICK_S)
                await asyncio.sleep(TICK_S / 10)  # reads rows that arrive together at once

    async def _recheck_loop(self) -> None:
        while True:
            began_us = self._clock.monotonic_us()
            try:
                await self.recheck_late_window()
            except OSError as error:
                await self._report_trouble(f"Amendments by late data cannot be written: {error}.")
                continue
            elapsed_s = (self._clock.monotonic_us() - began_us) / 1e6
            await asyncio.sleep(max(TICK_S, _IDLE_RATIO * elapsed_s))

    async def _report_trouble(self, sentence: str) -> None:
        if sentence != self._problem:
            log.error("%s", sentence)
        self._problem = sentence
        await asyncio.sleep(_RETRY_S)

    async def _read_rows(self, last: int) -> list[JournalRow]:
        position = self._state.detectors.position
        rows = await self._journal.read(position, _ROWS_PER_READ) if last > position else []
        if not rows:
            self._state.detectors.position = max(position, last)  # skips deleted entries
        return rows

    def _publish_entries(self, entries: Sequence[LogEntry]) -> None:
        for id_ in dict.fromkeys(entry.incident for entry in entries):
            self._publisher.publish_incident(self.book, id_)
        for coverage_gap in self._coverage.update(self._state.detectors, self.judge_lag):
            self._publisher.publish_gap(self.book, coverage_gap)
        if entries:
            self._count_incidents()

    def _count_incidents(self) -> None:
        states = [incident.state for incident in self.book.incidents()]
        for state in IncidentState:
            self._incident_gauge.labels(state.value).set(states.count(state.value))
