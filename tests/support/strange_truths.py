"""The truth of a scene at each time, and the faults of the confirmed incidents.

Apart from the detectors. A statement is a confirmed incident. It is grave if it is about a whole
country that is not cut off (or whose service is not blocked), and if a dark country was never
confirmed, or was shown as back while it was dark.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from heliograph.units import SECOND_US
from heliograph_collector.detect.replay import replay_signals
from heliograph_collector.incidents.incident import Incident, IncidentKind, IncidentState
from heliograph_collector.model.scope import AffectedCell, Scope
from heliograph_collector.model.signals import VantageLocation
from heliograph_collector.sources.signal_file import read_signals
from support.foreign_world import AT, HOUR, Land, clock, create_land

COUNTRY = Scope("KZ")
MOBILE = Scope("KZ", access="mobile")
_OTHER_CAUSES = (IncidentKind.POWER, IncidentKind.COLLECTOR_BLOCKED)
_EARLY_S = 300.0  # an end may be told so long before it
_NEW_S = 120.0  # what was true so long ago may be confirmed yet


@dataclass(frozen=True)
class Truth:
    """A cell that is cut off, or whose service is blocked, from `at` until `until`."""

    scope: Scope = COUNTRY
    at: float = AT
    until: float = AT + 3 * HOUR
    service: str = ""
    within_s: float = 180.0  # until it must be told
    ends_within_s: float = 900.0  # until its end must be told
    is_suspicion_enough: bool = False
    is_owed: bool = True  # it must be told; else it may be
    layers: tuple[str, ...] = ()  # that are right to be named; (): any
    kinds: tuple[IncidentKind, ...] = ()  # that are right to be named; (): any

    def is_current(self, second: float) -> bool:
        return self.at <= second <= self.until + _NEW_S


@dataclass(frozen=True)
class StrangeScene:
    """The events of so many hours, and their truth."""

    build: Callable[[Land], None]
    truths: tuple[Truth, ...] = ()
    hours: float = 5.0
    causes: tuple[IncidentKind, ...] = ()  # other explanations that are true
    most: int = 99  # statements of one service, or of cuts


def may(scope: Scope, service: str = "", at: float = AT, until: float = math.inf) -> Truth:
    """Build a truth that may be reported but is not required."""
    return Truth(scope, at, until, service, is_owed=False)


def play_scene(scene: StrangeScene, seed: int, folder: Path) -> list[str]:
    """Play a scene through the detectors; return the faults of their incidents."""
    places, incidents = play_incidents(scene, seed, folder)
    return list(dict.fromkeys(find_faults(scene, places, incidents)))


def play_incidents(
    scene: StrangeScene, seed: int, folder: Path
) -> tuple[list[VantageLocation], list[Incident]]:
    """Play a scene; return the first locations of the vantages, and all incidents."""
    land = create_land(seed, scene.hours)
    scene.build(land)
    places = [VantageLocation(p.country, p.region, p.asn, p.access) for p in land.people]
    content = read_signals(land.write(folder / "signals.jsonl"))
    incidents = replay_signals(content.signals, content.votes, content.levels).incidents
    return places, list(incidents)


def find_faults(
    scene: StrangeScene, places: Sequence[VantageLocation], incidents: Sequence[Incident]
) -> Iterator[str]:
    for incident in incidents:
        if incident.confirmed_us is not None:
            yield from _find_wrong(scene, incident)
    for truth in scene.truths:
        if truth.is_owed:
            yield from _find_missed(truth, places, incidents)
    counts = Counter(i.service for i in incidents if i.confirmed_us is not None)
    for service, count in counts.items():
        if count > scene.most:
            yield f"many: {count} statements of {service or 'cuts'} (at most {scene.most})"


def describe(incident: Incident) -> str:
    cells = ", ".join(str(tuple(part.scope)) for part in incident.parts)
    times = [_second(at) for at in (incident.suspected_us, incident.confirmed_us)]
    end = _second(incident.closed_us)
    return (
        f"{incident.kind} {incident.service} {incident.layer} of {cells}: suspected {times[0]}, "
        f"confirmed {times[1]}, over {end}, {incident.state}, {incident.confidence:.2f}, "
        f"held {incident.held}, kinds {[(str(k.kind), _second(k.at_us)) for k in incident.kinds]}"
    )


def _find_wrong(scene: StrangeScene, incident: Incident) -> Iterator[str]:
    if incident.kind in _OTHER_CAUSES:
        if incident.kind not in scene.causes:
            yield f"wrong cause: {describe(incident)}"
        return
    stands = incident.state in (IncidentState.CONFIRMED, IncidentState.CLOSED)
    for at_us, parts in _list_statements(incident):
        second = _seconds(at_us)
        true = [t for t in scene.truths if t.service == incident.service and t.is_current(second)]
        cells = [part.scope for part in parts]
        is_grave = stands and any(cell.is_national for cell in cells)
        grave = "GRAVE: " if is_grave else ""
        if not all(any(cell.is_within(t.scope) for t in true) for cell in cells):
            yield f"{grave}wrong of {[tuple(c) for c in cells]}: {describe(incident)}"
            continue
        holding = [t for t in true if all(cell.is_within(t.scope) for cell in cells)]
        if holding and all(t.layers and incident.layer not in t.layers for t in holding):
            yield f"wrong layer: {describe(incident)}"
        if holding and all(t.kinds and incident.kind not in t.kinds for t in holding):
            yield f"{grave}wrong kind: {describe(incident)}"


def _list_statements(incident: Incident) -> list[tuple[int, tuple[AffectedCell, ...]]]:
    """Return the times and cells of an incident's confirmed phase and of its growth."""
    confirmed_us = incident.confirmed_us or 0
    steps = [(turn.seen_us, turn.parts) for turn in incident.cuts]
    if not steps or steps[0][0] > confirmed_us:
        steps = [(confirmed_us, incident.parts), *steps]
    return [(max(confirmed_us, at_us), parts) for at_us, parts in steps]


def _find_missed(
    truth: Truth, places: Sequence[VantageLocation], incidents: Sequence[Incident]
) -> Iterator[str]:
    told = list(_list_told(truth, places, incidents))
    grave = "GRAVE: " if truth.scope.is_national else ""
    name = f"{truth.service or 'cut'} of {tuple(truth.scope)} at {truth.at - AT:.0f}"
    if not told:
        others = [describe(i) for i in incidents if i.service == truth.service]
        yield f"{grave}missed {name}; {others[:3]}"
        return
    delay = min(second for second, _ in told) - truth.at
    if delay > truth.within_s:
        yield f"late: {name} told after {delay:.0f} s"
    ends = [_seconds(i.closed_us) if i.closed_us else math.inf for _, i in told]
    if max(ends) < truth.until - _EARLY_S:
        yield f"{grave}{name} told as over {truth.until - max(ends):.0f} s before its end"
    if truth.ends_within_s < math.inf and min(ends) > truth.until + truth.ends_within_s:
        late = "never" if min(ends) == math.inf else f"{min(ends) - truth.until:.0f} s late"
        yield f"late: end of {name} told {late}"


def _list_told(
    truth: Truth, places: Sequence[VantageLocation], incidents: Sequence[Incident]
) -> Iterator[tuple[float, Incident]]:
    """Yield each incident that names half of the cell, with when it did."""
    own = [place for place in places if truth.scope.includes(place) and place.access != "hosting"]
    for incident in incidents:
        at_us = incident.confirmed_us
        if truth.is_suspicion_enough:
            at_us = incident.suspected_us
        is_same = incident.service == truth.service and incident.kind not in _OTHER_CAUSES
        is_withdrawn = incident.state is IncidentState.WITHDRAWN
        lasted = _seconds(incident.closed_us) >= truth.until - _EARLY_S
        if is_withdrawn and truth.is_suspicion_enough and lasted:
            is_withdrawn = False  # never more than a suspicion, which ended with its cut
        if at_us is None or not is_same or is_withdrawn:
            continue
        steps = _list_statements(incident)
        steps.append((steps[-1][0], incident.parts))  # all of it, when is not on record
        if truth.is_suspicion_enough:
            steps.append((incident.suspected_us, incident.parts))
        for step_us, parts in steps:
            named = [p for p in own if any(part.scope.includes(p) for part in parts)]
            is_open = incident.closed_us is None or _seconds(incident.closed_us) > truth.at
            if 2 * len(named) >= len(own) and is_open and _seconds(step_us) <= truth.until + 60:
                yield max(truth.at, _seconds(step_us)), incident


def _seconds(at_us: int | None) -> float:
    return (at_us or 0) / SECOND_US - clock(0)


def _second(at_us: int | None) -> str:
    return "never" if at_us is None else f"{_seconds(at_us) - AT:.0f}"
