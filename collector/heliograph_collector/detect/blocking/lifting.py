"""Find the cells where a block was lifted while it lasts elsewhere."""

from collections.abc import Mapping, Sequence

from heliograph_collector.detect.blocking.evidence import compute_working_nats, count_failures
from heliograph_collector.detect.stats.localization import attach_persons, localize
from heliograph_collector.detect.stats.tails import quantile
from heliograph_collector.detect.stats.voting import (
    count_votes,
    established_votes,
    is_established,
)
from heliograph_collector.incidents.incident import Bracket, PhaseChange, PhaseDirection
from heliograph_collector.model.scope import Scope, is_in_cells
from heliograph_collector.model.signals import ServiceVote, VoteValue
from heliograph_collector.model.thresholds import Thresholds


def find_lifting(
    votes: Sequence[ServiceVote],
    failed_us: Mapping[str, int],
    worked_us: Mapping[str, int],
    now_us: int,
    limits: Thresholds,
) -> PhaseChange | None:
    """Find the cells where a block was lifted; None if it lasts or ends everywhere.

    Most vantages of a cell that failed work again. Tests since then still fail in the rest, which
    excludes an end of the whole block, and work in the cell.

    Args:
        votes: The fresh votes of the blocked cells.
        failed_us: The last failure of each vantage, by pseudonym.
        worked_us: The first success after it.
    """
    tested = [o for o in votes if o.standing is not VoteValue.DOWN]
    back = {o.witness.nym for o in tested if o.standing is VoteValue.GOOD} & worked_us.keys()
    if len(back) < limits.votes:
        return None
    hits = [(o.witness, o.witness.nym in back) for o in tested]
    by_place, has_established = established_votes(hits, now_us, limits)
    cells = localize(by_place, limits.confirm_share, limits.votes, limits)
    if not cells or not has_established:
        return None
    inside = [o for o in tested if is_in_cells(o.witness.place, cells)]
    outside = [o for o in tested if not is_in_cells(o.witness.place, cells)]
    lifted = [o.witness.nym for o in inside if o.witness.nym in back]
    since_us = quantile([worked_us[nym] for nym in lifted], 0.5)
    inside_count = count_failures([o for o in inside if o.at_us >= since_us], now_us, limits)
    rest = count_failures([o for o in outside if o.at_us >= since_us], now_us, limits)
    lasts = rest.votes >= limits.witnesses and rest.share >= limits.confirm_share
    if not lasts or compute_working_nats(inside_count, limits) < limits.clear_nats:
        return None
    persons = count_votes((w, hit) for w, hit in hits if is_established(w, now_us, limits))
    bracket = Bracket(
        quantile([failed_us[nym] for nym in lifted], 0.1),
        quantile([worked_us[nym] for nym in lifted], 0.9),
    )
    return PhaseChange(PhaseDirection.OPENING, attach_persons(cells, persons), bracket, now_us)


def is_lifted(turns: Sequence[PhaseChange], scope: Scope) -> bool:
    """Return whether the latest change of a cell was a lifting."""
    own = [turn for turn in turns if any(scope.is_within(part.scope) for part in turn.parts)]
    return bool(own) and own[-1].way is PhaseDirection.OPENING
