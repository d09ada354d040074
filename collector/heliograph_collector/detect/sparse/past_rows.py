"""Comparison of a block in sparse rows with what its service usually does there.

Where few rows come, five of six that fail are likely sooner or later where a third always fails: a
tunnel in poor networks, a page behind a challenge. So a block that the hours show is confirmed only
once so many failures would be chance in two of a million, by the rows before it. Until then it is
suspected. Where two of a hundred rows failed before, five that fail are enough; where 15 of them
did, eight; where a third did, 13; where there were none, 14.

The past are the thirty days before, without those on which most failed. Its failures and successes
are added to one and nine, and the failures that come have a beta-binomial distribution: a short
past does not tell well what is usual.

Nor is it confirmed while the service fails more than in the month before in two other countries.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate

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
_BEFORE_US = 3 * HOUR_US  # before an onset, from which rows elsewhere count
_RISING_SHARE = 0.2  # of the rows of each of these countries fail …
_RISING_CHANCE = 0.01  # … and their month before explains it with this probability at most
_CONFIDENCE = 0.3  # while it may be chance


def confirm_against_past(
    incident: Incident,
    votes: Sequence[ServiceVote],
    by_country: Mapping[str, "PastRows"] | None = None,
) -> Incident:
    """Confirm an incident once its failures are no chance, or keep it suspected.

    Args:
        incident: A block, with the bracket of its onset.
        votes: All votes on its service, in order of time.
        by_country: The votes on its service in all countries.
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
        hour_us = (vote.at_us // HOUR_US + 1) * HOUR_US
        now_us = max(incident.confirmed_us, hour_us)
        if is_no_chance(past, count) and not _fails_elsewhere(incident, by_country or {}, now_us):
            return replace(incident, confirmed_us=now_us)
    state = IncidentState.SUSPECTED if incident.closed_us is None else IncidentState.WITHDRAWN
    return replace(incident, confirmed_us=None, state=state, confidence=_CONFIDENCE)


def _fails_elsewhere(incident: Incident, by_country: Mapping[str, "PastRows"], now_us: int) -> bool:
    """Return whether a service fails more than before in two other countries.

    It is down then, or a new release of the tester fails everywhere, in one country first.
    """
    since_us = incident.started.latest_us - _BEFORE_US
    past, count = VoteCount(), VoteCount()
    rising = 0
    for country, rows in by_country.items():
        own = rows.count_between(since_us, now_us)
        if country != incident.scope.country and own.share >= _RISING_SHARE:
            rising += 1
            count.add(own)
            past.add(rows.count_between(since_us - _PAST_US, since_us))
    return rising >= THRESHOLDS.elsewhere and is_no_chance(past, count, _RISING_CHANCE)


def select_rows(incident: Incident, votes: Iterable[ServiceVote]) -> list[ServiceVote]:
    """Select votes in a block's cells that show whether its service works."""
    return [
        vote
        for vote in votes
        if shows_service(vote) and is_in_cells(vote.witness.place, incident.parts)
    ]


def shows_service(vote: ServiceVote) -> bool:
    """Return whether a vote tells that its service worked or failed."""
    return vote.standing is VoteValue.GOOD or vote.standing in FAILING_VALUES


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


class PastRows:
    """The rows of a cell in order of time, which can be counted."""

    def __init__(self, votes: Sequence[ServiceVote]) -> None:
        self.votes = votes
        self._times_us = [vote.at_us for vote in votes]
        failures = (vote.standing in FAILING_VALUES for vote in votes)
        self._failures = [0, *accumulate(failures)]  # before each row

    def count_between(self, since_us: int, until_us: int) -> VoteCount:
        """Count the rows of [since, until)."""
        first = bisect_left(self._times_us, since_us)
        end = max(first, bisect_left(self._times_us, until_us))
        return VoteCount(end - first, self._failures[end] - self._failures[first])
