"""Localize the cells of a service whose evidence suffices for an alarm.

Theory of operation. A cell of fewer than five votes confirms nothing, since two or three of its
lines may fail by one accident of theirs: a box, an office, a tower. Two operators have no accident
in common. So where no cell has enough votes, small ones of several networks that stand out at one
time, each by evidence that alone suffices for an alarm, are one block once they have five together.
Two small networks may have one full line in common, though, which fails tests of all services. So
in each of them another service works, or names are denied or answered in the service's place.

Nor has a wider cell five votes by one network and a chance failure beside it: a campus of two
prefixes and one line are three fifths of a small city. It fails beyond any one of its networks.
"""

from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from functools import partial

from heliograph_collector.detect.blocking.evidence import has_lines
from heliograph_collector.detect.blocking.other_services import (
    ANSWERED,
    CountryTests,
    OtherServices,
)
from heliograph_collector.detect.stats.breadth import fails_beyond_one
from heliograph_collector.detect.stats.localization import (
    attach_persons,
    localize,
    select_distinct,
)
from heliograph_collector.detect.stats.voting import VotesByPlace
from heliograph_collector.model.scope import AffectedCell, Scope
from heliograph_collector.model.signals import FAILING_VALUES, ServiceVote
from heliograph_collector.model.thresholds import Thresholds


def localize_alarmed(
    votes: VotesByPlace,
    min_votes: float,
    alarmed: AbstractSet[Scope],
    mostly_fails: Callable[[Scope], bool],
    limits: Thresholds,
) -> tuple[AffectedCell, ...]:
    """Return the alarmed cells that explain the failing votes of a bin."""
    cells = localize(votes, limits.confirm_share, min_votes, limits, mostly_fails)
    return tuple(p for p in select_distinct(cells, votes, limits) if p.scope in alarmed)


def localize_established(
    votes: VotesByPlace,
    persons: VotesByPlace,
    alarmed: AbstractSet[Scope],
    mostly_fails: Callable[[Scope], bool],
    fails_alone: Callable[[Scope], bool],
    limits: Thresholds,
) -> tuple[AffectedCell, ...]:
    """Return the cells that may confirm a block; small ones of networks if no other.

    Args:
        votes: The votes of established vantages.
        persons: The same, with one vote for each line.
        alarmed: The cells with enough evidence.
        mostly_fails: Whether most of a cell's vantages fail by what they said last.
        fails_alone: Whether not all services fail alike in a small cell.
        limits: The thresholds.
    """
    may_name = partial(_may_name, mostly_fails, votes)
    cells = localize_alarmed(votes, limits.votes, alarmed, may_name, limits)
    if not cells:
        small = localize_alarmed(votes, limits.burst, alarmed, mostly_fails, limits)
        cells = tuple(c for c in small if c.scope.asn and fails_alone(c.scope))
    return attach_persons([cell for cell in cells if has_lines(cell, limits)], persons)


def _may_name(mostly_fails: Callable[[Scope], bool], votes: VotesByPlace, scope: Scope) -> bool:
    inside = {at: count for at, count in votes.items() if scope.includes(at)}
    return fails_beyond_one(inside) and mostly_fails(scope)


def select_enough(cells: Sequence[AffectedCell], limits: Thresholds) -> tuple[AffectedCell, ...]:
    """Select cells of enough votes, and small ones that have these in several networks."""
    small = [cell for cell in cells if cell.votes < limits.votes]
    networks = {cell.scope.asn for cell in small}
    votes = sum(cell.votes for cell in small)
    is_enough = len(networks) >= limits.networks and votes >= limits.votes
    return tuple(cell for cell in cells if is_enough or cell.votes >= limits.votes)


def fails_alone(votes: Iterable[ServiceVote], usual: OtherServices, scope: Scope) -> bool:
    """Return whether a service fails in a cell by itself, and not as all services do.

    Args:
        votes: The fresh votes of the country on the service.
        usual: Those on other services. If none is tested there, nothing contradicts.
        scope: The cell.
    """
    failures = [o for o in votes if scope.includes(o.witness.place) and _is_failing(o)]
    of_names = sum(o.layer == "dns" or o.method in ANSWERED for o in failures)
    if 2 * of_names > len(failures):
        return True
    shares = [
        share
        for service in usual.tests.votes_by_service
        if service != usual.service
        and (share := _share_working(service, usual.tests, scope)) is not None
    ]
    return not shares or max(shares) >= usual.tests.limits.confirm_share


def _share_working(service: str, tests: CountryTests, scope: Scope) -> float | None:
    """Return for which share of a cell most of the latest tests passed; None for too few."""
    inside = [o for o in tests.votes_by_service[service] if scope.includes(o.witness.place)]
    flapping = tests.flapping_by_service.get(service)
    if flapping is None or len(inside) < tests.limits.witnesses:
        return None
    works = (not _is_failing(o) and flapping.mostly_works(o.witness.nym) for o in inside)
    return sum(works) / len(inside)


def _is_failing(vote: ServiceVote) -> bool:
    return vote.standing in FAILING_VALUES
