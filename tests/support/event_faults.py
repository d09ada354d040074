"""Find the faults of what was confirmed of an event: wrong, missed and late cuts."""

from collections.abc import Iterator, Sequence

from heliograph.units import SECOND_US
from heliograph_collector.incidents.incident import Incident, IncidentKind, IncidentState
from heliograph_collector.model.scope import Scope
from heliograph_collector.model.signals import VantageLocation
from support.foreign_world import AT, Land, Person, seconds_after
from support.reported_events import Outage, Scene

# Plays of twenty seeds in which a cell, never the country, is reported wrongly; most are withdrawn.
KNOWN_WRONG = frozenset(
    {
        ("a cloud, site by site", 18),
        ("load shedding", 18),
        ("load shedding", 19),
        ("New Year", 2),
        ("New Year", 8),
        ("New Year", 9),
        ("New Year", 11),
    }
)
UNPUBLISHED_US = 240 * SECOND_US  # in which a block of us is no news to the public


def check_event(name: str, seed: int, faults: Sequence[str]) -> None:
    """Assert that no fault is grave, and that there are faults only where expected."""
    assert not [fault for fault in faults if fault.startswith("GRAVE")]
    assert bool(faults) is ((name, seed) in KNOWN_WRONG), faults


def find_faults(land: Land, incidents: Sequence[Incident], scene: Scene) -> Iterator[str]:
    """Yield the faults of what was confirmed; a grave one begins with "GRAVE"."""
    cuts = [i for i in incidents if i.kind is IncidentKind.SILENCE or _was_called_cut(i)]
    for incident in cuts:
        right = [*scene.right, *_list_dark(incident, scene)]
        cells = [part.scope for part in incident.parts]
        if not all(any(cell.is_within(scope) for scope in right) for cell in cells):
            stands = incident.state in (IncidentState.CONFIRMED, IncidentState.CLOSED)
            stands &= incident.kind is IncidentKind.SILENCE
            is_grave = stands and any(cell.is_national for cell in cells)
            seconds = seconds_after(AT, incident.confirmed_us)
            how = f"{incident.state}, {incident.kind}, {seconds:.0f} s after"
            yield f"{'GRAVE' if is_grave else 'wrong'}: told {cells}, {how}"
    for incident in incidents:
        over_us = incident.closed_us or 0
        is_news = over_us == 0 or over_us - incident.started.earliest_us > UNPUBLISHED_US
        is_block = incident.kind is IncidentKind.COLLECTOR_BLOCKED
        if is_block and is_news and not scene.is_ours:
            yield f"wrong: {incident.parts[0].scope} told as a block of us"
    for outage in scene.outages:
        yield from _find_missed(land, cuts, outage)


def _list_dark(incident: Incident, scene: Scene) -> Iterator[Scope]:
    """Yield the cells that were cut off when it was confirmed."""
    for outage in scene.outages:
        if seconds_after(outage.at, incident.confirmed_us) <= outage.lasts_s:
            yield outage.scope


def _was_called_cut(incident: Incident) -> bool:
    confirmed_us = incident.confirmed_us or 0
    before = [change.kind for change in incident.kinds if change.at_us > confirmed_us]
    return bool(before) and incident.kinds[0].kind is IncidentKind.SILENCE


def _find_missed(land: Land, cuts: Sequence[Incident], outage: Outage) -> Iterator[str]:
    people = [p for p in land.people if outage.scope.includes(_locate(p))]
    delays = []
    for incident in cuts:
        steps = [(incident.confirmed_us, incident.parts)]
        steps += [(turn.seen_us, turn.parts) for turn in incident.turns if turn.way == "cut"]
        for at_us, parts in steps:
            told = [p for p in people if any(c.scope.includes(_locate(p)) for c in parts)]
            if len(told) >= len(people) / 2 and incident.state is not IncidentState.WITHDRAWN:
                delays.append(seconds_after(outage.at, at_us))
    after = [delay for delay in delays if delay >= 0]
    if not after:
        yield f"{'GRAVE' if outage.scope.is_national else 'wrong'}: missed {outage.scope}"
    elif min(after) > outage.within_s:
        yield f"wrong: {outage.scope} told after {min(after):.0f} s"


def _locate(person: Person) -> VantageLocation:
    return VantageLocation(person.country, person.region, person.asn, person.access)
