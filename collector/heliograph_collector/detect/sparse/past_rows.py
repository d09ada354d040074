"""Comparison of a block in sparse rows with what its service usually does there.

Where few rows come, five of six that fail are likely sooner or later where a third always fails: a
tunnel in poor networks, a page behind a challenge. So a block that the hours show is confirmed only
once so many failures would be chance in two of a million, by the rows before it. Until then it is
suspected. Where two of a hundred rows failed before, five that fail are enough; where 15 of them
did, eight; where a third did, 13; where there were none, 14.

The past are the thirty days before, without those on which most failed. Its failures and successes
are added to one and nine, and the failures that come have a beta-binomial distribution: a short
past does not tell well what is usual.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from heliograph.units import DAY_US, HOUR_US
from heliograph_collector.detect.stats.tails import beta_binomial_tail
from heliograph_collector.detect.stats.voting import VoteCount
from heliograph_collector.incidents.incident import Incident, IncidentState
from heliograph_collector.model.scope import is_in_cells
from heliograph_collector.model.signals import FAILING_VALUES, ServiceVote, VoteValue
from heliograph_collector.model.thresholds import THRESHOLDS

# Assumed, all of them:
_PAST_US = 30 * DAY_US
_PRIOR = VoteCount(10, 1)
_MOST_USUAL = 0.4  # so that a service that often fails can be blocked at all
_CHANCE = 2e-6
_MOST_ROWS = 100  # of a block that are compared: more rows add nothing
_CONFIDENCE = 0.3  # while it may be chance


def confirm_against_past(incident: Incident, votes: Sequence[ServiceVote]) -> Incident:
    """Confirm an incident once its failures are no chance, or keep it suspected.

    Args:
        incident: A block, with the bracket of its onset.
        votes: All votes on its service, in order of time.
    """
    if incident.confirmed_us is None:
        return incident
    since_us = incident.started.latest_us
    rows = select_rows(incident, votes)
    past = _count_past(vote for vote in rows if vote.at_us < since_us)
    until_us = incident.ended.latest_us if incident.ended else rows[-1].at_us + 1
    count = VoteCount()
    for vote in (row for row in rows if since_us <= row.at_us < until_us):
        count.add(VoteCount(1, vote.standing in FAILING_VALUES))
        if count.votes > _MOST_ROWS:
            break
        if is_no_chance(past, count):
            hour_us = (vote.at_us // HOUR_US + 1) * HOUR_US
            return replace(incident, confirmed_us=max(incident.confirmed_us, hour_us))
    state = IncidentState.SUSPECTED if incident.closed_us is None else IncidentState.WITHDRAWN
    return replace(incident, confirmed_us=None, state=state, confidence=_CONFIDENCE)


def select_rows(incident: Incident, votes: Iterable[ServiceVote]) -> list[ServiceVote]:
    """Select votes in a block's cells that show whether its service works."""
    return [
        vote
        for vote in votes
        if (vote.standing is VoteValue.GOOD or vote.standing in FAILING_VALUES)
        and is_in_cells(vote.witness.place, incident.parts)
    ]


def _count_past(past: Iterable[ServiceVote]) -> VoteCount:
    """Count the rows before an onset, without the days on which most failed."""
    days: defaultdict[int, VoteCount] = defaultdict(VoteCount)
    for vote in past:
        days[vote.at_us // DAY_US].add(VoteCount(1, vote.standing in FAILING_VALUES))
    last = max(days, default=0)
    total = VoteCount()
    for day, count in days.items():
        if day > last - _PAST_US // DAY_US and count.share < THRESHOLDS.confirm_share:
            total.add(count)
    return total


def is_no_chance(past: VoteCount, block: VoteCount, chance: float = _CHANCE) -> bool:
    """Return whether a block has more failures than the rows before it explain.

    Args:
        chance: That they do, at which it has.
    """
    rows = past.votes + _PRIOR.votes
    mean = min((past.hits + _PRIOR.hits) / rows, _MOST_USUAL)
    return beta_binomial_tail(int(block.hits), int(block.votes), mean, 1 / (1 + rows)) <= chance
