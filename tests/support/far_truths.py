"""The truth of a far world at each time, and the faults of the detected incidents.

Vantages that are dark decide, not a list of cells: a confirmed cell is right where two fifths of
its people are dark (or their service is blocked), or were two minutes before.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from heliograph.units import SECOND_US
from heliograph_collector.detect.replay import replay_signals
from heliograph_collector.incidents.incident import Incident, IncidentKind, IncidentState
from heliograph_collector.model.scope import AffectedCell, Scope
from heliograph_collector.model.signals import VantageLocation
from heliograph_collector.sources.signal_file import read_signals
from support.far_world import BASE, Span, Vantage, World, measure_overlap

SILENT = (IncidentKind.SILENCE, IncidentKind.ISOLATION)
BLOCKED = (IncidentKind.BLOCKING, IncidentKind.PARTIAL)
OURS = IncidentKind.COLLECTOR_BLOCKED
_CAUSES = (IncidentKind.POWER, OURS)
_RIGHT_SHARE = 0.4  # as votes count other than people, and some sleep
_NEW_S = 120.0  # what was true so long ago may be confirmed yet
_EARLY_S = 300.0  # an end may be told so long before it

Who = Callable[[Vantage], bool]


@dataclass(frozen=True)
class Owed:
    """An incident that is due: of a right kind, in time, naming half of these people."""

    who: Who
    span: Span
    within_s: float
    service: str = ""
    kinds: tuple[IncidentKind, ...] = SILENT
    is_suspicion_enough: bool = False


@dataclass(frozen=True)
class FarScene:
    """A scene of so many hours: its builder, and what is true of it."""

    hours: float
    build: Callable[[World], None]
    owed: tuple[Owed, ...] = ()
    causes: tuple[IncidentKind, ...] = ()  # other explanations that are true
    blocked: dict[str, tuple[Who, Span]] = field(default_factory=dict)


def play_far_scene(scene: FarScene, seed: int, folder: Path) -> tuple[list[Incident], list[str]]:
    """Play a scene through the detectors; return the incidents and their faults."""
    world = World(seed, scene.hours)
    scene.build(world)
    content = read_signals(world.write(folder / "signals.jsonl"))
    incidents = replay_signals(content.signals, content.votes, content.levels).incidents
    return list(incidents), list(_find_faults(world, scene, incidents))


def seconds_of(at_us: int | None) -> float:
    return math.inf if at_us is None else at_us / SECOND_US - BASE


def _find_faults(world: World, scene: FarScene, incidents: Sequence[Incident]) -> Iterator[str]:
    for incident in incidents:
        if incident.confirmed_us is None:
            continue
        if incident.kind in _CAUSES:
            if incident.kind not in scene.causes:
                yield f"wrong cause: {_describe(incident)}"
            continue
        for at, parts in _list_steps(incident):
            scopes = [part.scope for part in parts]
            wrong = [s for s in scopes if not _is_true(world, scene, incident.service, s, at)]
            if wrong:
                yield f"wrong of {[tuple(one) for one in wrong]} at {at:.0f}: {_describe(incident)}"
    for owed in scene.owed:
        yield from _find_missed(world, owed, incidents)


def _is_true(world: World, scene: FarScene, service: str, scope: Scope, at: float) -> bool:
    cell = [one for one in world.vantages if scope.includes(_locate(one))]
    people = [one for one in cell if one.access != "hosting"] or cell
    awake = [one for one in people if measure_overlap(one.idle, at - 60, at) < 30] or people
    if service:
        who, span = scene.blocked.get(service, (_is_nobody, Span(0, 0)))
        hit = [one for one in awake if who(one) and span.since <= at <= span.until + _NEW_S]
    else:
        hit = [one for one in awake if _is_dark(one, at)]
    return len(hit) >= _RIGHT_SHARE * len(awake)


def _is_nobody(_vantage: Vantage) -> bool:
    return False


def _is_dark(vantage: Vantage, at: float) -> bool:
    return measure_overlap([*vantage.dark, *vantage.off], at - _NEW_S, at + 30) > 10


def _locate(vantage: Vantage) -> VantageLocation:
    return VantageLocation(vantage.country, vantage.region, vantage.asn, vantage.access)


def _find_missed(world: World, owed: Owed, incidents: Sequence[Incident]) -> Iterator[str]:
    people = [one for one in world.vantages if owed.who(one) and one.access != "hosting"]
    own = [one for one in incidents if one.service == owed.service and one.kind in owed.kinds]
    told = [(at, one) for one in own for at in _list_times(one, owed, people)]
    name = f"{owed.service or 'cut'} of {len(people)} people at {owed.span.since:.0f}"
    if not told:
        yield f"missed: {name}; {[_describe(one) for one in incidents][:3]}"
        return
    delay = min(at for at, _ in told) - owed.span.since
    if delay > owed.within_s:
        yield f"late: {name} told after {delay:.0f} s"
    last = max(seconds_of(one.closed_us) for _, one in told)
    if last < owed.span.until - _EARLY_S:
        yield f"over: {name} told as over {owed.span.until - last:.0f} s before its end"


def _list_times(incident: Incident, owed: Owed, people: Sequence[Vantage]) -> Iterator[float]:
    """Yield when an incident that stands named half of the people."""
    ends = seconds_of(incident.closed_us)
    steps = [] if incident.confirmed_us is None else list(_list_steps(incident))
    is_withdrawn = incident.state is IncidentState.WITHDRAWN
    if owed.is_suspicion_enough:
        steps.insert(0, (seconds_of(incident.suspected_us), incident.parts))
        is_withdrawn = is_withdrawn and ends < owed.span.until - _EARLY_S
    named: set[Vantage] = set()
    for at, parts in steps:
        named |= {p for p in people if any(part.scope.includes(_locate(p)) for part in parts)}
        is_open = ends > owed.span.since and at <= owed.span.until + 60
        if not is_withdrawn and is_open and 2 * len(named) >= len(people):
            yield max(at, owed.span.since)


def _list_steps(incident: Incident) -> Iterator[tuple[float, tuple[AffectedCell, ...]]]:
    """Yield the times and cells of a confirmed incident: its first phase, its growth.

    What is confirmed after its end counts for the time until then.
    """
    first = min(seconds_of(incident.confirmed_us), seconds_of(incident.closed_us))
    if not incident.cuts or seconds_of(incident.cuts[0].seen_us) > first:
        yield first, incident.parts
    for turn in incident.cuts:
        yield max(first, seconds_of(turn.seen_us)), turn.parts


def _describe(incident: Incident) -> str:
    cells = [tuple(part.scope) for part in incident.parts]
    times = (incident.suspected_us, incident.confirmed_us, incident.closed_us)
    spans = [f"{seconds_of(at):.0f}" for at in times]
    return f"{incident.kind} {incident.service} of {cells} {spans} {incident.state}"
