"""Our detectors on a replay: every row at the moment at which a reader of the feed could see it.

What is decided at a moment is in the feed a little later. The runner looks once a second, the
journal and the log of alerts are each synced to the disk before anybody reads them: a second and a
half in all. Agents send what they tested in batches, every half minute; a minute of verdicts is
judged a while after its end, and what comes later counts in the next.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from zlib import crc32

from heliograph_collector.detect import Incident, Watch, watch
from heliograph_collector.detect.blocking.detector import Reach
from heliograph_collector.detect.engine import CLOSE_US, GLANCE_US
from heliograph_collector.incidents.incident import Bracket, Kind, Turn
from heliograph_collector.incidents.scope import Scope
from heliograph_collector.model.signals import SECOND_US, Opinion
from heliograph_collector.sources.replay import Alarm, Replay
from heliograph_collector.sources.replay import Kind as Name

FEED_US = 1_500_000  # from a decision to the row
BATCH_US = 30 * SECOND_US  # an agent seals and sends what it has so often
TAKEN_US = 2 * SECOND_US  # on its way, stored and judged
_TICK_US = 5 * SECOND_US  # how often an incident is looked at while it is young
_YOUNG_US = 900 * SECOND_US
_NAMES: dict[Kind, Name] = {
    Kind.SILENCE: "cut",
    Kind.BLOCKING: "block",
    Kind.PARTIAL: "block",
    Kind.THROTTLING: "throttle",
}


def heliograph(replay: Replay) -> list[Alarm]:
    """Both channels, in order of time."""
    return sorted((*_silence(replay), *_reach(replay)), key=lambda a: (a.at_us, a.scope))


@dataclass(slots=True)
class _Rows:
    """The rows seen so far. An incident that grows to another cell is another row of its own."""

    delay_us: int
    rows: list[Alarm] = field(default_factory=list)
    known: set[tuple[str, Scope, bool]] = field(default_factory=set)
    told: set[tuple[str, bool]] = field(default_factory=set)
    turns: dict[str, int] = field(default_factory=dict)
    glances: set[int] = field(default_factory=set)  # what was seen at these is said at once

    def look(self, incidents: Iterable[Incident], now_us: int) -> None:
        for incident in incidents:
            self._stage(incident, False, incident.suspected_us, now_us)
            if incident.confirmed_us is not None:
                self._stage(incident, True, incident.confirmed_us, now_us)
            for turn in incident.turns[self.turns.get(incident.id, 0) :]:
                self._turn(incident, turn)
            self.turns[incident.id] = len(incident.turns)

    def _stage(self, incident: Incident, confirmed: bool, first_us: int, now_us: int) -> None:
        """`first_us`: of its first row; what is added to it later is seen now."""
        first = (incident.id, confirmed) not in self.told
        if not confirmed and not first:
            return
        self.told.add((incident.id, confirmed))
        for part in incident.parts:
            key = (incident.id, part.scope, confirmed)
            if key not in self.known:
                self.known.add(key)
                at_us = first_us if first else now_us
                self._add(incident, part.scope, at_us, incident.started, confirmed)

    def _turn(self, incident: Incident, turn: Turn) -> None:
        if turn.way == "cut":
            for part in turn.parts:
                self._add(incident, part.scope, turn.seen_us, turn.when, True)

    def _add(
        self, incident: Incident, scope: Scope, at_us: int, when: Bracket, confirmed: bool
    ) -> None:
        self.rows.append(
            Alarm(
                at_us=at_us + self.delay_us,
                scope=scope,
                service=incident.service,
                kind=_NAMES[incident.kind],
                started=(when.earliest_us, when.latest_us),
                label=incident.label,
                confirmed=confirmed,
                layer=incident.layer,
                incident=incident.id,
            )
        )

    def finished(self, incidents: Iterable[Incident]) -> list[Alarm]:
        """With the moment at which each is said to be over."""
        final = {incident.id: incident for incident in incidents}
        return [self._closed(row, final.get(row.incident)) for row in self.rows]

    def _closed(self, row: Alarm, incident: Incident | None) -> Alarm:
        if incident is None or not row.confirmed:
            return row
        for seen_us, when, scopes in ends(incident):
            over = any(row.scope.within(scope) for scope in scopes)
            said_us = seen_us + (FEED_US if seen_us in self.glances else self.delay_us)
            if said_us > row.at_us and over:
                bracket = None if when is None else (when.earliest_us, when.latest_us)
                return _ended(row, said_us, bracket)
        return row


def _ended(row: Alarm, at_us: int, bracket: tuple[int, int] | None) -> Alarm:
    return Alarm(
        row.at_us,
        row.scope,
        row.service,
        row.kind,
        row.started,
        at_us,
        row.label,
        row.confirmed,
        row.layer,
        bracket,
        row.incident,
    )


def heard(opinions: Iterable[Opinion]) -> list[tuple[int, Opinion]]:
    """In order of coming in, with that moment: an agent's batches close at a second of its own."""
    found = []
    for opinion in opinions:
        phase_us = crc32(opinion.witness.nym.encode()) % BATCH_US
        waits_us = (phase_us - opinion.at_us) % BATCH_US
        found.append((opinion.at_us + waits_us + TAKEN_US, opinion))
    return sorted(found, key=lambda one: (one[0], one[1].at_us, one[1].witness.nym))


def ends(incident: Incident) -> Iterator[tuple[int, Bracket | None, tuple[Scope, ...]]]:
    """When it was said of which cells that they are back: openings first, the end last."""
    for turn in incident.openings:
        yield turn.seen_us, turn.when, tuple(part.scope for part in turn.parts)
    if incident.closed_us is not None:
        yield incident.closed_us, incident.ended, (Scope(incident.scope.country),)


def _silence(replay: Replay) -> list[Alarm]:
    """Played twice: what the second look is for is the rows as they were when they were new."""
    final = watch(replay.signals, replay.until_us).incidents
    if not final:
        return []
    run, rows = Watch(), _Rows(FEED_US)
    tick_us = 0
    for signal in replay.signals:
        for at_us in _ticks(final, tick_us, signal.at_us):
            run.until(at_us)
            rows.look(run.findings().incidents, at_us)
        run.take(signal)
        tick_us = signal.at_us
        if any(_open(incident, tick_us) for incident in final):
            rows.look(run.findings().incidents, tick_us)
    for at_us in _ticks(final, tick_us, replay.until_us):
        run.until(at_us)
        rows.look(run.findings().incidents, at_us)
    run.until(replay.until_us)
    incidents = run.findings().incidents
    rows.look(incidents, replay.until_us)
    return rows.finished(incidents)


def _open(incident: Incident, at_us: int) -> bool:
    return incident.suspected_us <= at_us and at_us <= (incident.closed_us or at_us)


def _ticks(incidents: Iterable[Incident], since_us: int, until_us: int) -> Iterator[int]:
    """Moments between two signals at which something new may be said."""
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


def _reach(replay: Replay) -> list[Alarm]:
    """Minute by minute, as the runner closes them."""
    if not replay.opinions:
        return []
    run, rows = Reach(replay.since_us), _Rows(FEED_US + CLOSE_US)
    coming = deque(heard(replay.opinions))
    for now_us in _looks(replay.since_us, replay.until_us):
        while coming and coming[0][0] <= now_us:
            run.take(coming.popleft()[1])
        whole_us = now_us - CLOSE_US
        if run.close(whole_us):
            rows.look(run.findings(), whole_us)
        elif now_us < run.since_us + run.width_us and run.glance(now_us):
            rows.glances.add(now_us)
            rows.look(run.findings(), now_us)
    return rows.finished(run.findings())


def _looks(since_us: int, until_us: int) -> Iterator[int]:
    """Moments at which the runner does something: bins are closed, and glanced at between."""
    return iter(range(since_us + GLANCE_US, until_us + CLOSE_US + 1, GLANCE_US))
