"""Detector engine: both detectors, the signal reader and the journal position.

Pure: the same state, rows, votes and times give the same incidents. Every log entry can therefore
be reproduced from the checkpoint and the rows that it names.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from heliograph.plan import ANCHORS
from heliograph.units import DAY_US, SECOND_US
from heliograph_collector.detect.blocking.detector import BlockingDetector, BlockingDetectorState
from heliograph_collector.detect.link_readings import (
    EnvelopeReadings,
    Gap,
    report_early_readings,
    report_lost_session,
)
from heliograph_collector.detect.signal_reader import SignalReader
from heliograph_collector.detect.silence.detector import (
    CoverageGap,
    SilenceDetector,
    SilenceDetectorState,
)
from heliograph_collector.detect.silence.isolated_returns import is_isolated
from heliograph_collector.incidents.incident import Incident, IncidentState
from heliograph_collector.incidents.log_writer import REOPEN_WINDOW_US
from heliograph_collector.model.records import JournalRow, RowKind
from heliograph_collector.model.scope import Scope
from heliograph_collector.model.signals import (
    DetectorSignal,
    Goodbye,
    ServiceVote,
    VantageArrival,
    VantageLoss,
    VoteValue,
)
from heliograph_collector.model.thresholds import DETECT_VERSION, THRESHOLDS

FEW = "too_few_vantages"
MIN_LIVE = 5  # live vantages of a country, as Thresholds.votes: fewer confirm nothing


@dataclass(slots=True)
class CoverageMonitor:
    """Coverage gaps of countries with too few live vantages."""

    since: dict[str, int] = field(default_factory=dict)  # open gaps, by country
    spells: list[CoverageGap] = field(default_factory=list)  # closed gaps

    def update(self, country: str, live: int, at_us: int) -> None:
        if live < MIN_LIVE:
            self.since.setdefault(country, at_us)
        elif country in self.since:
            since_us = self.since.pop(country)
            if at_us > since_us:
                self.spells.append(CoverageGap(since_us, at_us, FEW, country))

    def forget(self, before_us: int) -> None:
        self.spells = [spell for spell in self.spells if spell.until_us >= before_us]


CLOSE_US = 20 * SECOND_US  # from the end of a bin to its evaluation, for late votes; assumed
RECOVERY_CHECK_US = 10 * SECOND_US  # between two checks for the end of a block; assumed
_GAPS_KEPT_US = 90 * DAY_US  # assumed
# After a silence is over: two retries, and two tests of anchors (300 s) as long as votes are fresh.
_RETURNING_US = 720 * SECOND_US
_MAX_LATE_ROWS = 1_000  # that an entry can name; assumed

# (since, until, votes): the closed bins [since, until), or a recovery check at `until`, and the
# votes that came before it.
ReplayBatch = tuple[int, int, list[ServiceVote]]


@dataclass(slots=True, kw_only=True)
class EngineState:
    """The content of a checkpoint."""

    version: int
    journal: str  # its id
    position: int
    received_us: int
    gaps: dict[str, Gap]
    returns: list[tuple[int, str]]
    post_only: dict[str, int]
    anchors_us: int
    words: dict[str, EnvelopeReadings]  # `SignalReader.early`
    silence: SilenceDetectorState
    blocking: BlockingDetectorState
    coverage: CoverageMonitor


@dataclass(slots=True)
class DetectorEngine:
    """The detectors and their inputs, advanced row by row and vote by vote."""

    journal: str
    reader: SignalReader
    silence: SilenceDetector
    blocking: BlockingDetector
    coverage: CoverageMonitor = field(default_factory=CoverageMonitor)
    position: int = 0  # of the last row read
    received_us: int = 0  # of the last row read
    pending_votes: list[ServiceVote] = field(default_factory=list)  # since the last batch
    late_rows: list[tuple[int, int]] = field(default_factory=list)  # (position, time evaluated)
    _now_us: int = 0
    _checked_us: int = 0
    _silences: tuple[int, list[tuple[Scope, int]]] | None = None  # (asked at, their cells)

    @classmethod
    def create(cls, journal: str, secret: bytes, at_us: int) -> "DetectorEngine":
        """Create an engine without history.

        Args:
            at_us: The first bin begins at the whole minute before this time.
        """
        width_us = int(THRESHOLDS.bin_s * SECOND_US)
        blocking = BlockingDetector(at_us // width_us * width_us)
        return cls(journal, SignalReader(secret), SilenceDetector(), blocking)

    def read_rows(
        self, rows: Iterable[JournalRow], late_moments: Mapping[int, int] | None = None
    ) -> None:
        """Read journal rows in order.

        A row received before the last evaluated time is late. `late_rows` notes it with that time.

        Args:
            late_moments: For a replay, the evaluated time of each late row by position.
        """
        for row in rows:
            known_us = (late_moments or {}).get(row.position, 0)
            if known_us or self.silence.fired_us > row.received_us:
                self.late_rows.append((row.position, max(known_us, self._now_us)))
                self.advance_to(known_us)
            self.silence.advance_to(row.received_us)
            pseudonym = self.reader.derive_pseudonym(row.agent)
            early = self.reader.early.get(pseudonym) if row.kind is RowKind.ARRIVAL else None
            for signal in self.reader.read_row(row, pseudonym):
                self.on_signal(signal)
            if row.kind is RowKind.ENVELOPE or early is not None:
                self._read_unseen_loss(pseudonym, row, early)
            self.position = row.position
            self.received_us = row.received_us

    def _read_unseen_loss(
        self, pseudonym: str, row: JournalRow, early: EnvelopeReadings | None
    ) -> None:
        """Read an agent's report on a session that one by another way has replaced.

        Args:
            early: Its report before this arrival; None for an envelope.
        """
        vantage = self.silence.find_vantage(pseudonym)
        if vantage is None or vantage.moved_us <= vantage.lost_us:
            return
        if early is None:
            reports = report_lost_session(pseudonym, row, vantage.moved_us)
        elif vantage.moved_us == row.received_us:
            reports = report_early_readings(pseudonym, early, vantage.moved_us)
        else:
            return
        for report in reports:
            self.on_signal(report)

    def on_signal(self, signal: DetectorSignal) -> None:
        self.silence.on_signal(signal)
        self._update_coverage(signal)

    def advance_to(self, now_us: int) -> None:
        """Advance the clock and fire due timers; times only rise."""
        self._now_us = max(now_us, self._now_us)
        self.silence.advance_to(now_us)

    @property
    def evaluated_us(self) -> int:
        """Return the evaluated time; nothing is evaluated while it is ahead of the clock."""
        return max(self.silence.fired_us, self.blocking.since_us)

    def create_successor(self, gap: CoverageGap) -> "DetectorEngine":
        """Return an engine without times after the gap, but with the live vantages.

        Learned churn and open candidates are lost, because their times may lie ahead.
        """
        now_us = gap.until_us
        engine = DetectorEngine.create(self.journal, self.reader.secret, now_us)
        engine.position = self.position
        engine.received_us = now_us
        engine.reader.take_over(self.reader, now_us)
        engine.silence.coverage_gaps = [
            *(other for other in self.silence.coverage_gaps if other.until_us <= gap.since_us),
            gap,
        ]
        engine.coverage.spells = [s for s in self.coverage.spells if s.until_us <= now_us]
        for witness in self.silence.list_live():
            engine.on_signal(VantageArrival(now_us, witness))
        return engine

    def add_vote(self, vote: ServiceVote) -> bool:
        """Add a vote; return whether it came in time to count.

        One on hosts abroad counts for its time alone: nothing is detected again for a late one.
        """
        if vote.standing is VoteValue.ISOLATED and self._is_silent(vote):
            vote = replace(vote, standing=VoteValue.UNKNOWN)
        if not self.blocking.add_vote(vote):
            return vote.source == ANCHORS
        self.pending_votes.append(vote)
        return True

    def _is_silent(self, vote: ServiceVote) -> bool:
        """Return whether the voter may have been silent with its place until lately.

        A vantage that is back from a cut may bring, as its first result, that nothing answered just
        now. Where people leave one by one (`level`) they return with the same. Where all live
        vantages were live before, or most that are back have found since that nothing abroad
        answers, the vote is true: an entrance in the country carries sessions.
        """
        location = vote.witness.place
        begun_us = [since for scope, since in self._list_silences() if scope.includes(location)]
        if not begun_us:
            return False
        live = [v for v in self.silence.list_inside(Scope(*location)) if v.is_live]
        back = [v for v in live if v.changed_us >= min(begun_us)]
        isolated = [v for v in back if is_isolated(v, self._now_us)]
        return not live or len(isolated) < THRESHOLDS.confirm_share * len(back)

    def _list_silences(self) -> list[tuple[Scope, int]]:
        """List the cells that are silent, or were until lately, and since when."""
        if self._silences is None or self._silences[0] != self._now_us:
            over_us = self._now_us - _RETURNING_US
            incidents = self.silence.findings().incidents
            bursts = [i for i in incidents if i.method != "level"]
            recent = [i for i in bursts if i.closed_us is None or i.closed_us >= over_us]
            cells = [(part.scope, i.started.earliest_us) for i in recent for part in i.parts]
            self._silences = (self._now_us, cells)
        return self._silences[1]

    def close_bins(self, bin_end_us: int) -> ReplayBatch | None:
        """Evaluate bins up to this end; return their votes, or None if none closed."""
        since_us = self.blocking.since_us
        if not self.blocking.close_bins(bin_end_us):
            return None
        return since_us, self.blocking.since_us, self._take_votes()

    def check_recovery(self, now_us: int) -> ReplayBatch | None:
        """End blocks that are over; return the new votes, or None if none ended.

        Nothing is checked while an earlier bin is open, because it could reopen the block.
        """
        at_us = now_us // RECOVERY_CHECK_US * RECOVERY_CHECK_US
        since_us = self.blocking.since_us
        if at_us <= self._checked_us or not since_us < at_us < since_us + self.blocking.width_us:
            return None
        self._checked_us = at_us
        if not self.blocking.check_recovery(at_us):
            return None
        return since_us, at_us, self._take_votes()

    def _take_votes(self) -> list[ServiceVote]:
        votes = self.pending_votes
        self.pending_votes = []
        return votes

    def replay(self, batch: ReplayBatch) -> None:
        """Replay a batch; bins without votes need no batch."""
        since_us, until_us, votes = batch
        self.blocking.close_bins(since_us)
        for vote in votes:
            self.blocking.add_vote(vote)
        if self._is_bin_end(until_us):
            self.blocking.close_bins(until_us)
        else:
            self.blocking.check_recovery(until_us)

    def is_due(self, batch: ReplayBatch, now_us: int) -> bool:
        """Return whether the batch was evaluated by this time."""
        return batch[1] + (CLOSE_US if self._is_bin_end(batch[1]) else 0) <= now_us

    def _is_bin_end(self, at_us: int) -> bool:
        return at_us % self.blocking.width_us == 0

    def restore(self, incidents: Iterable[Incident]) -> None:
        """Restore confirmed incidents from the log, if all other state was lost."""
        for incident in incidents:
            if incident.state is IncidentState.CONFIRMED:
                detector = self.silence if incident.kind.is_silence else self.blocking
                detector.restore(incident)

    def incidents(self) -> tuple[Incident, ...]:
        return (*self.silence.findings().incidents, *self.blocking.incidents())

    def coverage_gaps(self) -> Sequence[CoverageGap]:
        return (*self.silence.coverage_gaps, *self.coverage.spells)

    def open_coverage_gaps(self) -> Iterator[tuple[int, str, str]]:
        """Yield (since, reason, country) of each ongoing gap."""
        for country, since_us in sorted(self.coverage.since.items()):
            yield since_us, FEW, country

    def forget(self, now_us: int) -> None:
        """Drop incidents and gaps that ended long ago."""
        self.silence.forget(now_us - REOPEN_WINDOW_US, now_us - _GAPS_KEPT_US)
        self.blocking.forget(now_us - REOPEN_WINDOW_US)
        self.coverage.forget(now_us - _GAPS_KEPT_US)

    @property
    def is_traceable(self) -> bool:
        """Return whether an entry can still name all late rows that reproduce it."""
        return len(self.late_rows) <= _MAX_LATE_ROWS

    def state(self) -> EngineState:
        """Return the state; clear late rows and pending votes, which it includes.

        The caller saves it at once, because it shares parts with the engine.
        """
        self.late_rows = []
        self.pending_votes = []
        return EngineState(
            version=DETECT_VERSION,
            journal=self.journal,
            position=self.position,
            received_us=self.received_us,
            gaps=self.reader.gaps,
            returns=list(self.reader.returns),
            post_only=self.reader.post_only,
            anchors_us=self.reader.anchors_us,
            words=self.reader.early,
            silence=self.silence.state(),
            blocking=self.blocking.state(),
            coverage=self.coverage,
        )

    @classmethod
    def from_state(cls, state: EngineState, secret: bytes) -> "DetectorEngine":
        """Restore an engine. Raises KeyError, IndexError on an incomplete state."""
        engine = cls(
            state.journal,
            SignalReader(secret, state.gaps),
            SilenceDetector.from_state(state.silence),
            BlockingDetector.from_state(state.blocking),
            state.coverage,
            state.position,
            state.received_us,
        )
        engine.reader.returns.extend(state.returns)
        engine.reader.post_only.update(state.post_only)
        engine.reader.anchors_us = state.anchors_us
        engine.reader.early.update(state.words)
        return engine

    def _update_coverage(self, signal: DetectorSignal) -> None:
        if isinstance(signal, VantageArrival):
            country = "" if signal.is_control else signal.witness.place.country
        elif isinstance(signal, Goodbye | VantageLoss):
            vantage = self.silence.find_vantage(signal.nym)
            country = vantage.place.country if vantage else ""
        else:
            return
        if country:
            self.coverage.update(country, self.silence.count_live(country), signal.at_us)
