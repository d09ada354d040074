"""Our detectors on a replay: every row at the moment at which a reader of the feed could see it.

What is decided at a moment is in the feed a little later. The runner looks once a second, the
journal and the log of alerts are each synced to the disk before anybody reads them: a second and a
half in all. A minute of verdicts is judged 45 s after its end, so that the slow are heard too.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from heliograph_collector.detect import Incident, Watch, watch
from heliograph_collector.detect.incident import Bracket, Kind, Turn
from heliograph_collector.detect.lookout import CLOSE_US
from heliograph_collector.detect.reach import Reach
from heliograph_collector.detect.scope import Scope
from heliograph_collector.detect.signals import SECOND_US
from heliograph_collector.evaluate.replay import Alarm, Replay
from heliograph_collector.evaluate.replay import Kind as Name

FEED_US = 1_500_000  # from a decision to the row
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
            if seen_us + self.delay_us > row.at_us and over:
                bracket = None if when is None else (when.earliest_us, when.latest_us)
                return _ended(row, seen_us + self.delay_us, bracket)
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
    end_us = replay.since_us + run.width_us
    for opinion in replay.opinions:
        while opinion.at_us >= end_us:
            run.close(end_us)
            rows.look(run.findings(), end_us)
            end_us += run.width_us
        run.take(opinion)
    while end_us <= replay.until_us:
        run.close(end_us)
        rows.look(run.findings(), end_us)
        end_us += run.width_us
    return rows.finished(run.findings())
