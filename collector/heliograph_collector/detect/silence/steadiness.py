"""Decide whether the silent stay silent, or sessions merely break and return.

A cut keeps its vantages silent. Where packets are lost (throttling), or agents restart in turn,
most may be silent at any time and each for minutes only: results still arrive from all of them.
That is no cut, however many are silent at once.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Protocol

from heliograph.units import MINUTE_US, SECOND_US
from heliograph_collector.detect.level.local_time import is_busy_hour
from heliograph_collector.detect.silence.cell_members import select_inside
from heliograph_collector.detect.silence.renewal import have_fallen_slowly
from heliograph_collector.detect.silence.vantage_presence import VantagePresence
from heliograph_collector.detect.silence.vantage_votes import count_hits, sum_silent
from heliograph_collector.detect.stats.tails import (
    cease_chance,
    measure_spread,
    quantile,
    upper_tail,
)
from heliograph_collector.detect.stats.voting import VoteCount
from heliograph_collector.incidents.incident import IncidentState
from heliograph_collector.model.scope import AffectedCell, Scope, is_in_cells, scopes_of
from heliograph_collector.model.signals import VantageLocation
from heliograph_collector.model.thresholds import THRESHOLDS

# Lost again within it after a return: at 12 silences a day 15 % are, at sessions of minutes most.
FLAP_US = 20 * MINUTE_US  # assumed
STEADY_US = 30 * MINUTE_US  # a vantage silent for so long does not flap; assumed
UNSTEADY_SHARE = 0.4  # of the silent: as many came back; assumed, between churn and throttling
LEAST_RETURNS = 3.0  # votes; assumed
AGAIN_SHARE = 0.5  # of the silent: these came back before and were lost again; assumed
STEP_US = MINUTE_US  # of a second cut, of which nobody is back when it begins; assumed
APART_US = 3 * MINUTE_US  # between the tenth and nine tenths of such losses; a step takes two …
REJOIN_US = 6 * MINUTE_US  # … and of such returns; after a cut agents retry within five; assumed
SETTLED_US = 2 * MINUTE_US  # from the first silence of a cut until nobody comes back; assumed
_MOMENT_US = 15 * SECOND_US  # a heartbeat, within which the losses of one moment show
_GONE_SHARE = 0.9  # of those who were lost since then; assumed
CEASED_CHANCE = 1e-4  # assumed
_BREAKS_CHANCE = 1e-5  # of a part, of which a day has a thousand moments and parts; assumed
_LEAST_BACK = 0.2  # of the rest, who came back lately: churn brings a tenth; assumed
_MOST_BACK = 0.95  # share of those back, each of which counts once; assumed
EARLIER_US = (5 * MINUTE_US, 10 * MINUTE_US, FLAP_US)  # in which returns are counted; assumed
# Of a cell's votes: where sessions break and return no more are silent at a time than the share of
# packets that throttling loses, which is up to 70 % (Kentik, Cloudflare; above it is a cut).
NEARLY_SHARE = 0.7
FALLING_US = 5 * MINUTE_US  # in which the rest of a country may follow a part of it; assumed
HERE_US = 5 * MINUTE_US  # for which all are here after one fault; assumed


class ConfirmedOutage(Protocol):
    """An outage whose end explains returns."""

    from_us: int
    confirmed_us: int | None
    closed_us: int | None
    state: IncidentState

    @property
    def is_block(self) -> bool: ...

    def explains(self, lost_by: Collection[str]) -> bool: ...

    def holds(self, location: VantageLocation) -> bool: ...


def is_unsteady(
    vantages: Sequence[VantagePresence],
    since_us: int,
    neighbors: Sequence[VantagePresence],
    freed: Collection[str] = (),
) -> bool:
    """Return whether so many came back by their lost way that the silent will too.

    Args:
        vantages: Vantages of the place that are live or silent.
        since_us: Returns since then count of those that are live.
        neighbors: Vantages of the country, which tell whether the silent came back together.
        freed: Names of those that came back as a block of the collector ended, which do not count.
    """
    lost_again = [v for v in neighbors if _is_lost_again(v) and v.witness.nym not in freed]
    is_one_end = _returned_together(lost_again)
    has_returned = [
        v.witness.nym not in freed
        and (_is_lost_again(v) and not is_one_end if v.is_silent else v.rejoined_us >= since_us)
        for v in vantages
    ]
    if sum(has_returned) < LEAST_RETURNS:
        return False  # nobody has more than a vote
    returned = count_hits(vantages, has_returned)
    silent = sum_silent(vantages)
    return returned.hits >= max(LEAST_RETURNS, UNSTEADY_SHARE * silent.hits)


def is_flapping(
    cells: Sequence[AffectedCell],
    vantages: Sequence[VantagePresence],
    since_us: int,
    outages: Sequence[ConfirmedOutage],
    now_us: int,
) -> bool:
    """Return whether sessions in these cells flap without a cut that explains it.

    Args:
        since_us: The first silence of the burst.
        outages: Of the country; returns after a confirmed one are its end.
    """
    recent_us = since_us - int(THRESHOLDS.resume_s * SECOND_US)
    recent = [
        outage
        for outage in outages
        if outage.confirmed_us
        and outage.state is not IncidentState.WITHDRAWN
        and (outage.closed_us or since_us) >= recent_us
    ]
    inside = select_inside(cells, vantages)
    lost_by = {v.lost_by for v in inside if v.is_silent}
    is_end = any(outage.explains(lost_by) for outage in recent)
    if is_end or have_returns_ceased(inside, since_us, now_us):
        return False
    if are_gone_at_once(inside, since_us, now_us):
        return False
    freed = _list_freed(vantages, recent)
    where = inside, since_us, vantages, freed
    return is_unsteady(*where) or _do_breaks_explain(*where, now_us)


def _list_freed(
    vantages: Iterable[VantagePresence], outages: Sequence[ConfirmedOutage]
) -> set[str]:
    """List vantages inside an ended collector block whose last return was its end.

    Each is back after its own time, as it tries the lost way again after up to six hours.
    """
    blocks = [outage for outage in outages if outage.is_block]
    return {
        v.witness.nym
        for v in vantages
        if any(
            v.rejoined_us >= block.from_us and block.explains((v.lost_by,)) and block.holds(v.place)
            for block in blocks
        )
    }


def _do_breaks_explain(
    inside: Sequence[VantagePresence],
    since_us: int,
    vantages: Sequence[VantagePresence],
    freed: Collection[str],
    now_us: int,
) -> bool:
    """Return whether the rest's break rate makes so many silences of a part by chance.

    Of few people of one operator nobody may have come back yet. Where sessions break all over a
    country, each as likely here as there, such a part is silent now and then.
    """
    names = {v.witness.nym for v in inside}.union(freed)
    rest = [v for v in vantages if v.witness.nym not in names]
    back_us = [v.rejoined_us for v in rest if v.rejoined_us >= since_us - FLAP_US]
    if len(back_us) < LEAST_RETURNS or measure_spread(back_us) <= REJOIN_US:
        return False
    returned = count_hits(rest, [v.rejoined_us >= since_us - FLAP_US for v in rest])
    if returned.share < _LEAST_BACK:
        return False
    counted_us = now_us - since_us + FLAP_US
    chance = 1.0 - (1.0 - min(returned.share, _MOST_BACK)) ** ((now_us - since_us) / counted_us)
    silent = sum_silent(inside)
    return upper_tail([chance] * round(silent.votes), round(silent.hits)) > _BREAKS_CHANCE


def are_gone_at_once(vantages: Iterable[VantagePresence], since_us: int, now_us: int) -> bool:
    """Return whether most fell in one moment and stay away longer than a retry takes.

    Sessions that break by themselves break one by one; where something ends them all at once, they
    are back as soon as agents have tried again. So it is a cut, also minutes after another one of
    the same places that was too short to be confirmed.
    """
    lost = [v for v in vantages if v.lost_us >= since_us]
    gone_us = [v.lost_us for v in lost if v.is_silent]
    if len(gone_us) < THRESHOLDS.votes:
        return False
    moment_us = quantile(gone_us, 0.5)
    if now_us - moment_us < _MOMENT_US + THRESHOLDS.retry_s * SECOND_US:
        return False
    at_once = sum(abs(at_us - moment_us) <= _MOMENT_US for at_us in gone_us)
    are_away = [v.is_silent for v in lost if v.lost_us >= moment_us - _MOMENT_US]
    is_moment = at_once >= max(THRESHOLDS.votes, len(gone_us) / 2)
    return is_moment and sum(are_away) >= _GONE_SHARE * len(are_away)


def have_returns_ceased(vantages: Iterable[VantagePresence], since_us: int, now_us: int) -> bool:
    """Return whether sessions that broke and came back have stopped coming back.

    Where packets are lost, returns keep coming at a rate: that of a time before the silence. It is
    known at least, as each vantage counts once, by its last return; more of it in a shorter time.
    If chance hardly leaves so few since then, the loss has become a cut. A silence begins when
    told, or when nine tenths of those who are silent had been lost.
    """
    present = list(vantages)
    returns_us = sorted(v.rejoined_us for v in present if v.rejoined_us)
    if not returns_us:
        return False
    lost_us = [v.lost_us for v in present if v.is_silent]
    begun = [(since_us, since_us + SETTLED_US)]
    begun += [(quantile(lost_us, 0.9),) * 2] if lost_us else []
    return any(
        _have_ceased(returns_us, before_us, after_us, now_us) for before_us, after_us in begun
    )


def _have_ceased(returns_us: Sequence[int], before_us: int, after_us: int, now_us: int) -> bool:
    """Return whether returns since `after_us` are fewer than chance leaves.

    The rate is that of the time before `before_us`.

    Args:
        returns_us: The returns, in order of time.
    """
    earlier = bisect_left(returns_us, before_us)
    after = len(returns_us) - bisect_left(returns_us, after_us)
    later_us = max(0, now_us - after_us)
    return any(
        cease_chance(
            earlier - bisect_left(returns_us, before_us - span_us), after, later_us / span_us
        )
        <= CEASED_CHANCE / len(EARLIER_US)
        for span_us in EARLIER_US
    )


def has_flapped(vantages: Sequence[VantagePresence], since_us: int) -> bool:
    """Return whether half of the silent came back and were lost again, one by one.

    After an opening of a cut they come back together, or are lost together, also place by place.
    """
    lost_again = [v for v in vantages if v.is_silent and since_us < v.rejoined_us < v.lost_us]
    lost_again = _exclude_steps(lost_again)
    silent = sum_silent(vantages)
    names = {v.witness.nym for v in lost_again}
    # Of a whole city behind one NAT two may have been lost again, which are not its votes.
    hits = count_hits(vantages, [v.witness.nym in names for v in vantages]).hits
    least = max(THRESHOLDS.witnesses, AGAIN_SHARE * silent.hits)
    if len(lost_again) < THRESHOLDS.witnesses or hits < least:
        return False
    if _is_mixed(lost_again):
        return True
    is_apart = measure_spread([v.lost_us for v in lost_again]) > APART_US
    return is_apart and measure_spread([v.rejoined_us for v in lost_again]) > REJOIN_US


def _is_mixed(lost_again: Sequence[VantagePresence]) -> bool:
    """Return whether some were lost again before others returned: no cut took them."""
    lost_us = [v.lost_us for v in lost_again]
    rejoined_us = [v.rejoined_us for v in lost_again]
    is_before = quantile(lost_us, 0.1) < quantile(rejoined_us, 0.9)
    return is_before and measure_spread(lost_us) > STEP_US


def have_broken_on(vantages: Sequence[VantagePresence], ended_us: int) -> bool:
    """Return whether half of these were lost again after an end, each by itself.

    A brief silence of all, after which sessions keep breaking, was the beginning of packet loss.
    """
    lost_again = _exclude_steps([v for v in vantages if v.lost_us > ended_us])
    if len(lost_again) < THRESHOLDS.witnesses:
        return False
    names = {v.witness.nym for v in lost_again}
    hits = count_hits(vantages, [v.witness.nym in names for v in vantages])
    is_apart = measure_spread([v.lost_us for v in lost_again]) > APART_US
    return is_apart and hits.hits >= max(THRESHOLDS.witnesses, AGAIN_SHARE * hits.votes)


def _exclude_steps(lost_again: Sequence[VantagePresence]) -> list[VantagePresence]:
    """Drop vantages of regions, networks or access types that were lost together."""
    members: defaultdict[Scope, list[VantagePresence]] = defaultdict(list)
    for vantage in lost_again:
        for scope in scopes_of(vantage.place):
            members[scope].append(vantage)
    steps = {
        scope
        for scope, group in members.items()
        if len(group) >= THRESHOLDS.votes
        and measure_spread([v.lost_us for v in group]) <= APART_US
        and not _is_mixed(group)
    }
    return [v for v in lost_again if steps.isdisjoint(scopes_of(v.place))]


def count_steady(vantages: Sequence[VantagePresence], now_us: int) -> VoteCount:
    """Count the votes of those that have been silent for `STEADY_US`, among all."""
    steady = [v.is_silent and now_us - v.lost_us >= STEADY_US for v in vantages]
    return count_hits(vantages, steady)


def are_steady(
    cells: Sequence[AffectedCell], vantages: Sequence[VantagePresence], burst_us: int, now_us: int
) -> bool:
    """Return whether enough have been silent long enough to confirm each of the cells.

    Where sessions break one after another, the first are back by the time the last are lost. A
    heartbeat is enough of a cell that fell at once, or is nearly dark. An agent whose session broke
    tries again within `retry_s`, so of others nobody may be back by then.

    Args:
        cells: The cells that may be confirmed.
        vantages: The vantages of the country that are live or silent.
        burst_us: The first silence of the burst.
        now_us: The time of the evaluation.
    """
    # At hours at which days end, slow falls that are not confirmed at once are left to the level.
    is_by_day = is_busy_hour(cells[0].scope.country, now_us)
    is_slow = is_by_day and _have_fallen_slowly(cells, vantages, burst_us)
    if is_slow and _is_rest_falling(cells, vantages, burst_us, now_us):
        return False
    least_s = THRESHOLDS.retry_s if is_slow else THRESHOLDS.beat_s
    since_us = now_us - int(least_s * SECOND_US)
    locations = {v.place for v in vantages if v.is_silent and v.lost_us > since_us}
    return all(
        _is_cell_steady(
            [v for v in vantages if cell.scope.includes(v.place)], now_us, is_slow=is_slow
        )
        for cell in cells
        if any(map(cell.scope.includes, locations))
    )


def _is_cell_steady(inside: Sequence[VantagePresence], now_us: int, *, is_slow: bool) -> bool:
    silent = [v.is_silent for v in inside]
    has_others = is_slow and count_hits(inside, silent).share < NEARLY_SHARE
    since_us = now_us - int((THRESHOLDS.retry_s if has_others else THRESHOLDS.beat_s) * SECOND_US)
    if not any(v.is_silent and v.lost_us > since_us for v in inside):
        return True
    steady = [v.is_silent and v.lost_us <= since_us for v in inside]
    return count_hits(inside, steady).share >= THRESHOLDS.confirm_share


def _have_fallen_slowly(
    cells: Sequence[AffectedCell], vantages: Iterable[VantagePresence], burst_us: int
) -> bool:
    """Return whether these cells fell as sessions do that break by themselves."""
    fallen = (vantage for vantage in vantages if vantage.lost_us >= burst_us)
    return have_fallen_slowly(select_inside(cells, fallen))


def _is_rest_falling(
    cells: Sequence[AffectedCell], vantages: Sequence[VantagePresence], burst_us: int, now_us: int
) -> bool:
    """Return whether the country beside these cells still falls in the same burst.

    Where sessions break all over a country, they are most of some city first. Nobody of that city
    may be back yet, but the cause is not in the city.
    """
    if now_us - burst_us > FALLING_US:
        return False
    present = (v for v in vantages if v.is_live or v.lost_us >= burst_us)
    rest = [vantage for vantage in present if not is_in_cells(vantage.place, cells)]
    lost_us = [v.lost_us for v in rest if v.is_silent]
    if not lost_us or max(lost_us) < now_us - int(THRESHOLDS.retry_s * SECOND_US):
        return False
    silent = sum_silent(rest)
    return silent.votes >= THRESHOLDS.votes and silent.share > THRESHOLDS.alive_share


def _is_lost_again(vantage: VantagePresence) -> bool:
    return vantage.is_silent and 0 < vantage.lost_us - vantage.rejoined_us <= FLAP_US


def _returned_together(lost_again: Sequence[VantagePresence]) -> bool:
    """Return whether one fault ended for all of these, and all were here after it.

    Where sessions flap, some are lost again soon after the last are back, or before.
    """
    if len(lost_again) < THRESHOLDS.few:
        return False
    rejoined_us = [vantage.rejoined_us for vantage in lost_again]
    lost_us = [vantage.lost_us for vantage in lost_again]
    is_joint = measure_spread(rejoined_us) <= REJOIN_US
    here_us = quantile(lost_us, 0.1) - quantile(rejoined_us, 0.9)
    return is_joint and here_us >= HERE_US
