"""Own detectors on a replay, and the contenders that the scorecard compares.

An alarm has the time at which a reader of the feed can see it. This is 1.5 s after the decision:
the runner evaluates once a second, and the journal and the alert log are each synced to the disk
first. Agents send their tests in batches every half minute. A minute of verdicts is judged
`CLOSE_US` after its end, and later verdicts count in the next minute.

Imported events have detectors of the collector too: `detect_level_drops` (`detect/level`) and
`detect_hourly` (`detect/sparse/detector.py`). A series counts addresses or queries, not vantages.
An alarm names the sources whose level fell, and no number of observers. It is readable at the end
of its step; the delay of the publisher is unknown.
"""

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter, itemgetter
from typing import NamedTuple
from zlib import crc32

from heliograph.units import SECOND_US
from heliograph_collector.detect import SilenceDetector, detect_silence
from heliograph_collector.detect.blocking.detector import BlockingDetector
from heliograph_collector.detect.engine import CLOSE_US, RECOVERY_CHECK_US
from heliograph_collector.detect.level.detector import detect_levels
from heliograph_collector.detect.sparse.detector import detect_sparse
from heliograph_collector.incidents.incident import Bracket, Incident, IncidentKind, IncidentState
from heliograph_collector.model.scope import Scope
from heliograph_collector.model.signals import ServiceVote, VantageLocation, VantageRef
from heliograph_collector.sources.replay import Alarm, Detector, Replay
from heliograph_collector.sources.replay import Kind as AlarmKind
from heliograph_collector.sources.signal_writer import list_readings
from heliograph_lab.evaluate.baselines.chocolatine import chocolatine
from heliograph_lab.evaluate.baselines.disco import disco_prompt
from heliograph_lab.evaluate.baselines.ioda import ioda_prompt
from heliograph_lab.evaluate.baselines.live import FEED_US
from heliograph_lab.evaluate.baselines.naive import naive
from heliograph_lab.evaluate.baselines.ooni import ooni_prompt
from heliograph_lab.evaluate.reported_ends import list_ends
from heliograph_lab.evaluate.score import OWN_BLOCK, POWER, UNDETERMINED

BATCH_US = 30 * SECOND_US  # between batches of an agent; its batcher.PERIOD_S
PROCESSING_US = 2 * SECOND_US  # to send, store and judge a batch; assumed
_TICK_US = 5 * SECOND_US  # between evaluations of a young incident; assumed
_YOUNG_US = 900 * SECOND_US  # assumed
_GROWTH = 2.0  # of the silent votes of a suspicion, which is another row of the feed; assumed
_NAMES: dict[IncidentKind, AlarmKind] = {
    IncidentKind.SILENCE: "cut",
    IncidentKind.COLLECTOR_BLOCKED: "cut",  # a silence until its cause is named
    IncidentKind.POWER: "cut",
    IncidentKind.BLOCKING: "block",
    IncidentKind.PARTIAL: "block",
    IncidentKind.THROTTLING: "throttle",
}


def detect(replay: Replay) -> list[Alarm]:
    """Run both detectors; return alarms in order of time."""
    alarms = (*_silence_alarms(replay), *_blocking_alarms(replay))
    return sorted(alarms, key=attrgetter("at_us", "scope"))


@dataclass(slots=True)
class _RowRecorder:
    """A recorder of alarm rows; an incident that grows to another cell adds a row."""

    delay_us: int
    rows: list[Alarm] = field(default_factory=list)
    known_cells: set[tuple[str, Scope, bool]] = field(default_factory=set)
    reported_stages: set[tuple[str, bool]] = field(default_factory=set)
    phase_counts: dict[str, int] = field(default_factory=dict)
    recovery_checks: set[int] = field(default_factory=set)  # ends at these times wait FEED_US only
    causes: dict[str, list[tuple[int, str]]] = field(default_factory=dict)  # by incident
    silent_votes: dict[str, float] = field(default_factory=dict)  # by suspicion, at its last row

    def update(self, incidents: Iterable[Incident], now_us: int) -> None:
        for incident in incidents:
            self._add_stage(incident, False, incident.suspected_us, now_us)
            if incident.state is IncidentState.SUSPECTED:
                self._note_growth(incident, now_us)
            if incident.confirmed_us is not None:
                self._add_stage(incident, True, incident.confirmed_us, now_us)
            new_phases = incident.turns[self.phase_counts.get(incident.id, 0) :]
            later_cuts = [p for p in new_phases if p.way == "cut" and p is not incident.turns[0]]
            for phase in later_cuts:
                for cell in phase.parts:
                    self._add_row(incident, cell.scope, phase.seen_us, phase.when, True)
            self.phase_counts[incident.id] = len(incident.turns)
            if incident.kind.is_silence:
                self._note_cause(incident, now_us)

    def _note_growth(self, incident: Incident, now_us: int) -> None:
        """Add a row where the silent votes of a suspicion doubled: the feed revises it as it grows.

        One that was told by chance hours before is the row that readers see of a slow fall.
        """
        silent = sum(cell.votes * cell.share for cell in incident.parts)
        if silent < _GROWTH * self.silent_votes.setdefault(incident.id, silent):
            return
        self.silent_votes[incident.id] = silent
        for cell in incident.parts:
            self._add_row(incident, cell.scope, now_us, incident.started, False)

    def _note_cause(self, incident: Incident, now_us: int) -> None:
        causes = self.causes.setdefault(incident.id, [])
        cause = _name_cause(incident)
        if not causes or causes[-1][1] != cause:
            at_us = incident.kinds[-1].at_us if causes and incident.kinds else now_us
            causes.append((at_us + self.delay_us, cause))

    def _add_stage(
        self, incident: Incident, is_confirmed: bool, first_us: int, now_us: int
    ) -> None:
        """Add a row for each new cell; rows of the first call have time `first_us`."""
        is_first = (incident.id, is_confirmed) not in self.reported_stages
        if not is_confirmed and not is_first:
            return
        self.reported_stages.add((incident.id, is_confirmed))
        for cell in incident.parts:
            key = (incident.id, cell.scope, is_confirmed)
            if key not in self.known_cells:
                self.known_cells.add(key)
                at_us = first_us if is_first else now_us
                self._add_row(incident, cell.scope, at_us, incident.started, is_confirmed)

    def _add_row(
        self, incident: Incident, scope: Scope, at_us: int, bracket: Bracket, is_confirmed: bool
    ) -> None:
        self.rows.append(
            Alarm(
                at_us=at_us + self.delay_us,
                scope=scope,
                service=incident.service,
                kind=_NAMES[incident.kind],
                started=(bracket.earliest_us, bracket.latest_us),
                label=incident.label,
                confirmed=is_confirmed,
                layer=incident.layer,
                incident=incident.id,
            )
        )

    def closed_rows(
        self, incidents: Iterable[Incident], vantages: Iterable[VantageRef]
    ) -> list[Alarm]:
        """Return the rows with the published time of each end."""
        sizes = Counter(vantage.place for vantage in vantages)
        final = {incident.id: incident for incident in incidents}
        rows = [replace(row, causes=tuple(self.causes.get(row.incident, ()))) for row in self.rows]
        return [self._close_row(row, final.get(row.incident), sizes) for row in rows]

    def _close_row(
        self, row: Alarm, incident: Incident | None, sizes: Mapping[VantageLocation, int]
    ) -> Alarm:
        if incident is None or not row.confirmed:
            return row
        if incident.state is IncidentState.WITHDRAWN and incident.closed_us is not None:
            return replace(row, withdrawn_us=incident.closed_us + self.delay_us)
        if incident.closed_us is not None and incident.closed_us + self.delay_us < row.at_us:
            bracket = incident.ended  # its people told what it was once it was over
            ended = (bracket.earliest_us, bracket.latest_us) if bracket else None
            return replace(row, ended_at_us=row.at_us, ended=ended)
        ends = []
        for seen_us, bracket in list_ends(incident, row.scope, sizes):
            said_us = seen_us + (FEED_US if seen_us in self.recovery_checks else self.delay_us)
            if said_us > row.at_us:
                ends.append((said_us, bracket))
        if not ends:
            return row
        ended_us, bracket = ends[0]
        return replace(
            row,
            ended_at_us=ended_us,
            ended=(bracket.earliest_us, bracket.latest_us) if bracket else None,
            later_ends_us=tuple(said_us for said_us, _ in ends[1:]),
        )


def _name_cause(incident: Incident) -> str:
    """Name the cause as a reader of the feed reads it.

    A silence over one way only is named as such, because a block of the collector looks the same.
    """
    if incident.kind is IncidentKind.COLLECTOR_BLOCKED:
        return OWN_BLOCK
    if incident.kind is IncidentKind.POWER:
        return POWER
    is_open = "one_way" in incident.hints or "power" in incident.held
    return UNDETERMINED if is_open else "cut"


def order_by_arrival(
    votes: Iterable[ServiceVote], backlogs: Iterable[tuple[int, int]] = ()
) -> list[tuple[int, ServiceVote]]:
    """Return (arrival, vote) in order; each agent's batches have a separate phase.

    Args:
        backlogs: Times in which the judge stands still; what comes in one is read at its end.
    """
    arrivals = []
    pauses = tuple(backlogs)
    for vote in sorted(votes, key=attrgetter("at_us", "witness.nym")):
        phase_us = crc32(vote.witness.nym.encode()) % BATCH_US
        waits_us = (phase_us - vote.at_us) % BATCH_US
        at_us = vote.at_us + waits_us + PROCESSING_US
        at_us = max([at_us, *(end_us for low_us, end_us in pauses if low_us <= at_us < end_us)])
        arrivals.append((at_us, vote))
    return sorted(arrivals, key=itemgetter(0))


def _silence_alarms(replay: Replay) -> list[Alarm]:
    """Play twice; the second run records rows only while an incident may change."""
    final = detect_silence(replay.signals, replay.until_us).incidents
    if not final:
        return []
    detector = SilenceDetector()
    rows = _RowRecorder(FEED_US)
    tick_us = 0
    for signal in replay.signals:
        for at_us in _ticks(final, tick_us, signal.at_us):
            detector.advance_to(at_us)
            rows.update(detector.findings().incidents, at_us)
        detector.on_signal(signal)
        tick_us = signal.at_us
        if any(_is_open(incident, tick_us) for incident in final):
            rows.update(detector.findings().incidents, tick_us)
    for at_us in _ticks(final, tick_us, replay.until_us):
        detector.advance_to(at_us)
        rows.update(detector.findings().incidents, at_us)
    detector.advance_to(replay.until_us)
    incidents = detector.findings().incidents
    rows.update(incidents, replay.until_us)
    return rows.closed_rows(incidents, replay.vantages)


def _is_open(incident: Incident, at_us: int) -> bool:
    return incident.suspected_us <= at_us and at_us <= (incident.closed_us or at_us)


def _ticks(incidents: Iterable[Incident], since_us: int, until_us: int) -> Iterator[int]:
    """Yield times between two signals at which rows of young incidents may change."""
    for incident in incidents:
        low = max(since_us, incident.suspected_us)
        if low < min(until_us, incident.suspected_us + _YOUNG_US):
            break
    else:
        return
    at_us = max(since_us, low)
    while at_us < until_us:
        yield at_us
        at_us += _TICK_US


def _blocking_alarms(replay: Replay) -> list[Alarm]:
    """Close bins minute by minute, as the runner does."""
    if not replay.opinions:
        return []
    detector = BlockingDetector(replay.since_us)
    rows = _RowRecorder(FEED_US + CLOSE_US)
    pending_votes = deque(order_by_arrival(replay.opinions, replay.backlogs))
    last_us = replay.until_us + CLOSE_US
    for now_us in range(replay.since_us + RECOVERY_CHECK_US, last_us + 1, RECOVERY_CHECK_US):
        while pending_votes and pending_votes[0][0] <= now_us:
            detector.add_vote(pending_votes.popleft()[1])
        whole_us = now_us - CLOSE_US
        if detector.close_bins(whole_us):
            rows.update(detector.incidents(), whole_us)
        elif now_us < detector.since_us + detector.width_us and detector.check_recovery(now_us):
            rows.recovery_checks.add(now_us)
            rows.update(detector.incidents(), now_us)
    return rows.closed_rows(detector.incidents(), replay.vantages)


def detect_hourly(replay: Replay) -> Sequence[Alarm]:
    """Detect blocking in irregular measurements, such as OONI's.

    It is the live detector with bins of an hour, and votes of three hours or more. With bins of a
    minute, hourly runs would be in different bins. Suspected and confirmed alarms come at the end
    of their hour.
    """
    incidents = detect_sparse(replay.opinions)
    alarms = [alarm for incident in incidents for alarm in _hourly_alarms(incident)]
    return sorted(alarms, key=attrgetter("at_us", "scope", "service"))


def _hourly_alarms(incident: Incident) -> Iterator[Alarm]:
    name: AlarmKind = "throttle" if incident.kind is IncidentKind.THROTTLING else "block"
    stages = [(False, incident.suspected_us)]
    stages += [(True, incident.confirmed_us)] if incident.confirmed_us is not None else []
    for is_confirmed, at_us in stages:
        for cell in incident.parts:
            yield Alarm(
                at_us=at_us,
                scope=cell.scope,
                service=incident.service,
                kind=name,
                started=(incident.started.earliest_us, incident.started.latest_us),
                ended_at_us=incident.closed_us,
                label=incident.label,
                confirmed=is_confirmed,
                layer=incident.layer,
            )


def detect_level_drops(replay: Replay) -> Sequence[Alarm]:
    """Detect drops in the series of the replay, as a collector does."""
    readings = [reading for series in replay.series for reading in list_readings(series)]
    incidents = detect_levels(readings, replay.until_us)
    alarms = [alarm for incident in incidents for alarm in _level_alarms(incident)]
    return sorted(alarms, key=attrgetter("at_us", "scope", "layer"))


def _level_alarms(incident: Incident) -> Iterator[Alarm]:
    stages = [(False, incident.suspected_us)] * (incident.suspected_us != incident.confirmed_us)
    stages += [(True, incident.confirmed_us)] if incident.confirmed_us is not None else []
    ended = incident.ended
    end = (ended.earliest_us, ended.latest_us) if ended else None
    for is_confirmed, at_us in stages:
        yield Alarm(
            at_us=at_us,
            scope=incident.scope,
            service="",
            kind="cut",
            started=(incident.started.earliest_us, incident.started.latest_us),
            ended_at_us=incident.closed_us,
            confirmed=is_confirmed,
            layer=incident.layer,
            ended=end,
            incident=incident.id,
        )


class Contender(NamedTuple):
    run: Detector
    channels: frozenset[str]  # the kinds of events that it detects


OWN_DETECTOR = "heliograph"
CUTS = "cuts"
SERVICES = "services"
CONTENDERS: Mapping[str, Contender] = {
    OWN_DETECTOR: Contender(detect, frozenset((CUTS, SERVICES))),
    # rules of others, all with our delay of publication: what is left is what they compute
    "ioda": Contender(ioda_prompt, frozenset((CUTS,))),
    "disco": Contender(disco_prompt, frozenset((CUTS,))),
    "chocolatine": Contender(chocolatine, frozenset((CUTS,))),
    "naive": Contender(naive, frozenset((CUTS,))),
    "ooni": Contender(ooni_prompt, frozenset((SERVICES,))),
}
