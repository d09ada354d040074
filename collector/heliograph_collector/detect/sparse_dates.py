"""Dates of blocks in sparse votes, whose voters hardly ever vote twice.

The brackets of the live detector are those of vantages that worked and then failed. Where each row
is a separate voter, they are the rows around the moment that divides the rows best: before it a
service fails now and then, after it nearly always. It does not lie before two days without a row,
after which a single failure says nothing of what was before.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate

from heliograph.units import DAY_US
from heliograph_collector.incidents.incident import Bracket, Incident
from heliograph_collector.model.signals import FAILING_VALUES, ServiceVote, VoteValue

_WORKS = 0.04  # failing rate before a block, as the prior has it
_FAILS = 0.9  # … and during it, as `Thresholds.p_bad`
_SILENT_US = 2 * DAY_US  # without a row; assumed


def date_incident(incident: Incident, votes: Sequence[ServiceVote]) -> Incident:
    """Return the incident with the brackets of its onset and its end by its rows.

    Args:
        incident: A block of one service.
        votes: All votes on the service, in order of time.
    """
    rows = [vote for vote in votes if _says_something(incident, vote)]
    known = [vote for vote in rows if vote.at_us < incident.suspected_us]
    if not known:
        return incident
    first = _find_last_rise(known)
    started = Bracket(known[max(0, first - 1)].at_us, known[first].at_us)
    ended = incident.ended
    if incident.closed_us is not None:
        ended = _find_end([o for o in rows if started.latest_us <= o.at_us < incident.closed_us])
    return replace(incident, started=started, ended=ended)


def _says_something(incident: Incident, vote: ServiceVote) -> bool:
    is_known = vote.standing is VoteValue.GOOD or vote.standing in FAILING_VALUES
    return is_known and any(part.scope.includes(vote.witness.place) for part in incident.parts)


def _find_last_rise(votes: Sequence[ServiceVote]) -> int:
    """Return the index from which on nearly all votes fail."""
    gains = list(accumulate(map(_weigh, reversed(votes))))
    first = len(votes) - 1 - gains.index(max(gains))
    indices = range(len(votes) - 1, first, -1)
    gaps = (i for i in indices if votes[i].at_us - votes[i - 1].at_us > _SILENT_US)
    return next(gaps, first)


def _find_end(votes: Sequence[ServiceVote]) -> Bracket | None:
    """Return the bracket of the moment up to which nearly all votes fail."""
    gains = list(accumulate(map(_weigh, votes)))
    last = gains.index(max(gains)) if gains else 0
    return Bracket(votes[last].at_us, votes[last + 1].at_us) if last + 1 < len(votes) else None


def _weigh(vote: ServiceVote) -> float:
    """Return the evidence of one vote for a block, in nats."""
    if vote.standing in FAILING_VALUES:
        return math.log(_FAILS / _WORKS)
    return math.log((1 - _FAILS) / (1 - _WORKS))
