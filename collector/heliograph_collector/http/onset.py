"""Find when an incident's places had fallen; it may have begun in one. Pure.

A cut of a city that grows to the country begins with the city's; a sentence or a bar of the country
from that time on would date the country's cut too early.
"""

from collections.abc import Sequence

from heliograph_collector.incidents.incident import PhaseDirection
from heliograph_collector.incidents.published.incident import BracketDocument, IncidentSummary
from heliograph_collector.model.scope import Scope


def find_onset(incident: IncidentSummary, place: Scope | None = None) -> BracketDocument:
    """Return the start, extended to the fall of the last place that fell later.

    A part that is cut again fell before. If a cut is the first turn, it is the beginning.

    Args:
        place: A place of the incident; one that fell by itself has the time of that fall.
    """
    cuts = [
        (turn, [part.to_scope() for part in turn.parts])
        for turn in incident.turns
        if turn.way == PhaseDirection.CUT
    ]
    fallen = list(cuts[0][1]) if cuts else []
    is_beginning = bool(cuts) and incident.turns[0].way == PhaseDirection.CUT
    places = [part.to_scope() for part in incident.parts] if place is None else [place]
    if not is_beginning or covers_all(fallen, places):
        return incident.started
    latest = incident.started.latest
    for turn, cells in cuts[1:]:
        if not covers_all(fallen, cells):
            if place is not None and covers_all(cells, places):
                return turn.when
            latest = max(latest, turn.when.latest)
        fallen += cells
    return BracketDocument(incident.started.earliest, latest)


def covers_all(cells: Sequence[Scope], others: Sequence[Scope]) -> bool:
    """Return whether each of the others is within one of the cells."""
    return all(any(other.is_within(cell) for cell in cells) for other in others)
