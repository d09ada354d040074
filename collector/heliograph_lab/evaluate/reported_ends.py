"""List when an incident reports a cell's return, to a reader who adds up openings.

A country whose operators return one after another has an opening for each. It is back with those
that hold half of its vantages, as its cut was known with the rows that did.
"""

from collections.abc import Iterator, Mapping
from operator import attrgetter

from heliograph_collector.incidents.incident import (
    Bracket,
    Incident,
    PhaseChange,
    PhaseDirection,
)
from heliograph_collector.model.scope import Scope
from heliograph_collector.model.signals import VantageLocation
from heliograph_lab.evaluate.score import COVERED


def list_ends(
    incident: Incident, scope: Scope, sizes: Mapping[VantageLocation, int]
) -> Iterator[tuple[int, Bracket | None]]:
    """Yield (time, bracket) of each reported return of a cell; the end comes last.

    Args:
        incident: The incident, with its phases.
        scope: A cell of it.
        sizes: The vantages of the replay in each place.
    """
    inside = {place: size for place, size in sizes.items() if scope.includes(place)}
    shares: dict[VantageLocation, float] = {}  # of each place, that is back
    for phase in sorted(incident.turns, key=attrgetter("seen_us")):
        is_opening = phase.way is PhaseDirection.OPENING
        _note_phase(phase, shares, inside)
        back = sum(size * shares.get(place, 0.0) for place, size in inside.items())
        is_named = any(scope.is_within(part.scope) for part in phase.parts)
        if is_opening and (is_named or back >= COVERED * sum(inside.values()) > 0):
            yield phase.seen_us, phase.when
    if incident.closed_us is not None and scope.country == incident.scope.country:
        yield incident.closed_us, incident.ended


def _note_phase(
    phase: PhaseChange, shares: dict[VantageLocation, float], inside: Mapping[VantageLocation, int]
) -> None:
    """Note what is back after a phase; a cut takes back what an opening gave."""
    for part in phase.parts:
        for place in inside:
            if part.scope.includes(place):
                is_opening = phase.way is PhaseDirection.OPENING
                shares[place] = max(shares.get(place, 0.0), part.share) if is_opening else 0.0
