"""Select the vantages that vote, and count their silent, live and dark votes."""

from collections.abc import Collection, Iterable, Sequence

from heliograph_collector.detect.silence.vantage_presence import VantagePresence
from heliograph_collector.detect.stats.voting import (
    VoteCount,
    VotesByPlace,
    count_total,
    count_votes,
    established_votes,
    is_established,
    select_voters,
    sum_votes,
)
from heliograph_collector.model.signals import VantageRef
from heliograph_collector.model.thresholds import THRESHOLDS, Thresholds


def select_voting(
    vantages: Sequence[VantagePresence], now_us: int, limits: Thresholds
) -> list[VantagePresence]:
    """Select the vantages that vote; young ones only if no established one differs."""
    voters = select_voters(_list_votes(vantages), now_us, limits)
    if len(voters) == len(vantages):
        return list(vantages)
    pseudonyms = {w.nym for w, _ in voters}
    return [s for s in vantages if s.witness.nym in pseudonyms]


def select_established(
    vantages: Sequence[VantagePresence], now_us: int, limits: Thresholds, min_votes: float
) -> tuple[list[VantagePresence], bool]:
    """Return (established vantages, True), or (voting vantages, False) if too few.

    The established suffice if they have `min_votes`.
    """
    votes = _list_votes(vantages)
    if established_votes(votes, now_us, limits, min_votes, limits.nat_votes)[1]:
        return [s for s in vantages if is_established(s.witness, now_us, limits)], True
    return select_voting(vantages, now_us, limits), False


def _list_votes(vantages: Iterable[VantagePresence]) -> list[tuple[VantageRef, bool]]:
    return [(s.witness, s.is_silent) for s in vantages]


def count_silent(
    vantages: Iterable[VantagePresence], *, nat_votes: int = THRESHOLDS.nat_votes
) -> VotesByPlace:
    """Count the vantages' votes; silence is a hit."""
    return count_votes(((s.witness, s.is_silent) for s in vantages), nat_votes)


def sum_silent(vantages: Iterable[VantagePresence]) -> VoteCount:
    """Sum the vantages' votes; silence is a hit."""
    return sum_votes(count_silent(vantages))


def count_hits(
    vantages: Iterable[VantagePresence],
    hits: Iterable[bool],
    *,
    nat_votes: int = THRESHOLDS.nat_votes,
) -> VoteCount:
    """Sum the vantages' votes.

    Args:
        vantages: Those that vote.
        hits: Whether each of them is a hit, in the same order.
        nat_votes: The votes of a carrier's NAT at most.
    """
    pairs = ((vantage.witness, hit) for vantage, hit in zip(vantages, hits, strict=True))
    return count_total(pairs, nat_votes)


def count_live(
    vantages: Iterable[VantagePresence],
    *,
    is_lower_bound: bool = True,
    nat_votes: int = THRESHOLDS.nat_votes,
) -> VotesByPlace:
    """Count the vantages' votes; being live is a hit."""
    hits = ((s.witness, s.is_live) for s in vantages)
    return count_votes(hits, nat_votes, is_lower_bound=is_lower_bound)


def count_dark(
    vantages: Iterable[VantagePresence],
    carriers: Collection[str],
    isolated: Collection[str],
    since_us: int,
    now_us: int,
) -> VotesByPlace:
    """Count the votes; a hit is silent, or here but isolated, or kept from one of the carriers.

    Over midnight lines get new names, the silent ones not: a lower bound would end an outage.
    """
    hits = (
        (
            s.witness,
            s.is_silent or s.witness.nym in isolated or s.is_kept_from(carriers, since_us, now_us),
        )
        for s in vantages
    )
    return count_votes(hits, THRESHOLDS.nat_votes, is_lower_bound=False)
