"""Confounders of an outage: faults of the collector, a carrier or the power grid.

Each answers one question that a candidate asks before it confirms, and names why an outage is held:

- our fault: do other countries fall too, or begin to, and are they back (`is_spreading`,
  `are_others_back`, `may_return_slowly`)?
- a carrier: is one alone silent beside others that live (`find_blocked_carrier`)?
- the power: do lines fail as a grid does, and not as by an order (`is_power_failure`,
  `may_be_order`)?
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from heliograph.units import DAY_US, SECOND_US
from heliograph_collector.detect.silence import country_comparison
from heliograph_collector.detect.silence.cell_members import select_inside, select_silent
from heliograph_collector.detect.silence.grid_regions import (
    fail_by_region,
    fail_side_by_side,
    have_lost_power,
    is_rationed_region,
)
from heliograph_collector.detect.silence.presence_tracker import PresenceTracker
from heliograph_collector.detect.silence.silent_carriers import group_by_carrier
from heliograph_collector.detect.silence.vantage_presence import VantagePresence
from heliograph_collector.detect.silence.vantage_votes import count_silent, sum_silent
from heliograph_collector.detect.stats.localization import localize
from heliograph_collector.detect.stats.tails import chernoff_bound
from heliograph_collector.detect.stats.voting import VoteCount, VotesByPlace
from heliograph_collector.model.scope import AffectedCell, Scope
from heliograph_collector.model.thresholds import THRESHOLDS, Thresholds

_PHONES_SHARE = 0.34  # of silent mobiles: masts without batteries go with the lines; assumed
_PARTIAL_SHARE = (
    0.85  # of operators that fell: up to 12 % of a real cut remain (onset curves); assumed
)
_PLACE_SHARE = 0.9  # of the silent, which lie in cells that are dark by any carrier; assumed
_BACK_SHARE = 0.7  # of those hit by a fault of ours, back after it; assumed
# Agents that come back after a fault of ours one after another, after so long in the mean …
_SLOW_S = 1_200.0  # … are expected to be so many in a time in which none may be back …
_RETURNS = 4.0  # … which chance leaves in 2 %; assumed, all of them
_LONG_S = 480.0  # the longest such time, of few
_MOST_S = 1_200.0  # after which it is a cut though some come back: few of 60 % would be silent
_SPREAD_CHANCE = 1e-4  # of so many losses in the rest of the world by churn; assumed


def are_others_back(
    presence: PresenceTracker, country: str, since_us: int, now_us: int, wait_s: float = 0.0
) -> bool:
    """Return whether other countries that fell silent too are back for a while.

    A fault of ours ends for all. Agents try again within `retry_s`, so a country of which nobody is
    back so long after the others is cut off, though our fault hides when.
    """
    limits = presence.limits
    settled_us = now_us - int(max(wait_s, limits.retry_s + limits.beat_s) * SECOND_US)
    count = 0
    for other in presence.countries:
        hit = presence.list_fallen(other, since_us) if other != country else []
        if len(hit) < limits.witnesses:
            continue
        if sum(v.is_live and v.back_us <= settled_us for v in hit) < _BACK_SHARE * len(hit):
            return False  # the others need not be read, each of which is a whole country
        count += 1
    return count > 1


def may_return_slowly(presence: PresenceTracker, country: str, since_us: int, now_us: int) -> bool:
    """Return whether the silent after a collector fault may return late, one by one.

    Our other entrance, or the way to us, may be slow for one country. Then somebody returns within
    a time that is the shorter, the more are silent; in a cut nobody does.
    """
    fallen = [v for v in presence.list_fallen(country, since_us) if v.place.access != "hosting"]
    silent = sum(v.is_silent for v in fallen)
    wait_s = min(_RETURNS * _SLOW_S / max(1, silent), _LONG_S)
    waited_us = now_us - int(wait_s * SECOND_US)
    if not any(v.is_live and v.back_us >= waited_us for v in fallen):
        return not are_others_back(presence, country, since_us, now_us, wait_s)
    is_dark = silent >= presence.limits.confirm_share * len(fallen)
    return not is_dark or not are_others_back(presence, country, since_us, now_us, _MOST_S)


def compute_certainty(
    cells: Sequence[AffectedCell],
    witnesses: country_comparison.CountryComparison,
    limits: Thresholds,
) -> float:
    """Return the certainty that a cut, not chance or a fault of ours, silenced cells."""
    votes = sum(cell.votes for cell in cells)
    agreement = sum(cell.votes * cell.share for cell in cells) / (votes + 1)
    is_low = votes < limits.few or sum(cell.lines for cell in cells) < limits.votes
    caps = [limits.most, agreement]
    caps += [limits.low] if is_low or witnesses.is_hit or witnesses.may_be_transit else []
    caps += [] if witnesses.is_known else [limits.unwitnessed]
    return round(min(caps), 3)


def is_spreading(presence: PresenceTracker, country: str, burst_us: int, now_us: int) -> bool:
    """Return whether other countries begin to fall silent too, within `spread_s`.

    After `spread_hold_s` the rest of the world decides.

    A fault of the collector may reach country after country, so the candidate waits for the others:
    where two lost a tenth, or all but the one that lost most lost more than chance explains.
    """
    limits = presence.limits
    if now_us - burst_us >= limits.spread_hold_s * SECOND_US:
        return False
    apart_us = int(limits.spread_s * SECOND_US)
    since_us = burst_us - apart_us
    until_us = burst_us + apart_us
    others = [other for other in presence.countries if other != country]
    lost = {other: presence.tally(other).count_lost(since_us, until_us) for other in others}
    begun = sum(_has_begun(presence, other, since_us, lost[other]) for other in others)
    return begun >= 2 or _exceeds_chance(presence, lost, 2 * limits.spread_s)


def _has_begun(presence: PresenceTracker, country: str, since_us: int, lost_count: int) -> bool:
    limits = presence.limits
    if lost_count < limits.burst:
        return False
    tally = presence.tally(country)
    count, _ = tally.sum_established(since_us)
    if count.votes < limits.witnesses:
        count = tally.sum_every(since_us)
    return count.share >= limits.witness_share / 2


def _exceeds_chance(presence: PresenceTracker, lost: Mapping[str, int], span_s: float) -> bool:
    """Return whether churn hardly explains losses outside the country with the most.

    The losses are tested as a Poisson count.
    """
    limits = presence.limits
    rest = sorted(lost, key=lost.__getitem__)[:-1]
    count = sum(lost[country] for country in rest)
    if count < limits.burst or sum(lost[country] > 0 for country in rest) < 2:
        return False
    a_day = {other: presence.max_pool_rate(other) for other in rest if lost[other]}
    live = {other: presence.live_counts[Scope(other)] + lost[other] for other in a_day}
    expected = sum(live[other] * a_day[other] for other in a_day) * span_s * SECOND_US / DAY_US
    return chernoff_bound(expected, count) <= _SPREAD_CHANCE


@dataclass(frozen=True, slots=True)
class BlockedCarrier:
    """A carrier that is silent in cells where others live."""

    carrier: str
    cells: tuple[AffectedCell, ...]
    living_share: float  # of the votes there, by other carriers
    nearby_share: float  # the same in the networks in which these are


def find_blocked_carrier(
    vantages: Sequence[VantagePresence], before_us: int, limits: Thresholds
) -> BlockedCarrier | None:
    """Find a carrier that is silent in cells where vantages of others live on.

    Only those count that used another carrier before: who changes it tells so in its reports. And
    they are in the networks of the silent: others show nothing of operators that are cut.
    """
    groups = group_by_carrier(vantages)
    for carrier, group in groups.items() if len(groups) > 1 else ():
        cells = localize(count_silent(group), limits.confirm_share, limits.votes, limits)
        if not cells:
            continue
        everybody = select_inside(cells, vantages)
        others = [
            s
            for s in everybody
            if s.witness.carrier != carrier
            and s.place.access != "hosting"
            and max(s.since_us, s.moved_us) < before_us
        ]
        networks = {v.place.asn for v in select_silent(cells, group)}
        beside = [v for v in others if v.place.asn in networks]
        count = sum_silent(beside)
        if _is_alive(count, limits) and not _is_place_dark(group, others, limits):
            inside = [v for v in everybody if v.place.asn in networks]
            shared = {v.place.asn for v in beside}
            nearby = [v for v in inside if v.place.asn in shared]
            shares = (count.votes / sum_silent(members).votes for members in (inside, nearby))
            return BlockedCarrier(carrier, cells, *shares)
    return None


def _is_place_dark(
    group: Sequence[VantagePresence], others: Sequence[VantagePresence], limits: Thresholds
) -> bool:
    """Return whether places explain who is silent as well as their carrier does.

    Where all others have left the carrier before, as lines past a block, those that use it still
    are the phones: then others show nothing about that place.
    """
    cells = localize(count_silent([*group, *others]), limits.confirm_share, limits.votes, limits)
    silent = [vantage for vantage in group if vantage.is_silent]
    is_most = len(select_inside(cells, silent)) >= _PLACE_SHARE * len(silent)
    return is_most and not _is_alive(sum_silent(select_inside(cells, others)), limits)


def is_power_failure(
    cells: Sequence[AffectedCell], vantages: Sequence[VantagePresence], limits: Thresholds
) -> bool:
    """Return whether the fixed lines of whole regions fail while their mobiles live.

    Phones have batteries, and a cut of a city's network begins with the mobiles. The fixed lines
    must be of several operators, and live on in no region, or in part of every operator, or in
    whole regions, or be silent by half or more in every operator. In one region without phones of
    ours nothing distinguishes the two; a silent one does. Or the lines of one operator lost power
    together lately, and do so again; or they are all of a region, and power failed by regions
    lately. An operator whose phones fell where lines of others live is no power failure.
    """
    if _have_phones_of_operator_fallen(cells, vantages, limits):
        return False
    regional = [s for s in vantages if any(_shares_region(cell, s) for cell in cells)]
    mobile = sum_silent([s for s in regional if s.place.access == "mobile"])
    fixed = [s for s in regional if s.place.access not in ("mobile", "hosting")]
    silent_networks = {s.place.asn for s in fixed if s.is_silent}
    is_one_region = len({cell.scope.region for cell in cells}) == 1 and bool(cells[0].scope.region)
    is_most = sum_silent(fixed).share >= 1.0 - limits.alive_share
    is_whole = is_one_region or is_most or _may_be_grid(fixed, limits)
    is_whole |= _are_all_hit(fixed, limits) or fail_side_by_side(fixed)
    lacks_phones = is_one_region and mobile.votes < limits.witnesses and not mobile.hits
    lacks_phones &= _are_lines(fixed)
    lives = mobile.votes >= limits.witnesses and mobile.share <= _PHONES_SHARE
    if lives and _is_rationed(select_silent(cells, vantages), vantages):
        return True
    return (lives or lacks_phones) and len(silent_networks) > 1 and is_whole


def _have_phones_of_operator_fallen(
    cells: Sequence[AffectedCell], vantages: Sequence[VantagePresence], limits: Thresholds
) -> bool:
    """Return whether most phones of a named operator fell where lines of others live.

    A grid takes masts by region, so those in regions without power say nothing.
    """
    operators = [cell for cell in cells if cell.scope.asn and not cell.scope.region]
    if not operators:
        return False
    inside = select_inside(operators, vantages)
    names = {v.witness.nym for v in inside}
    lines: defaultdict[str, list[VantagePresence]] = defaultdict(list)
    for vantage in vantages:
        if vantage.place.access == "fixed" and vantage.witness.nym not in names:
            lines[vantage.place.region].append(vantage)
    lit = {r for r, others in lines.items() if sum_silent(others).share <= limits.alive_share}
    phones = [v for v in inside if v.place.access == "mobile" and v.place.region in lit]
    count = sum_silent(phones)
    return count.votes >= limits.witnesses and count.share >= limits.confirm_share


def _is_rationed(silent: Sequence[VantagePresence], vantages: Sequence[VantagePresence]) -> bool:
    """Return whether silent lines lost power lately, or other lines lose it in turn.

    Streets are without power by turns, so all lines of a small cell may be in one street.
    """
    if not silent or not _are_lines(silent):
        return False
    before_us = min(vantage.lost_us for vantage in silent)
    return have_lost_power(silent, before_us) or _is_region_rationed(silent, vantages)


def _is_region_rationed(
    silent: Sequence[VantagePresence], vantages: Sequence[VantagePresence]
) -> bool:
    lines = [v for v in vantages if v.place.access == "fixed"]
    return _are_lines(silent) and is_rationed_region(lines, silent)


def may_be_order(cells: Sequence[AffectedCell], vantages: Sequence[VantagePresence]) -> bool:
    """Return whether whole operators of a country fell, as by an order or a cable.

    A grid spares none, and leaves a part of them by batteries, or takes these one by one.
    """
    is_country = any(not cell.scope.region for cell in cells)
    if not is_country or _is_region_rationed(select_silent(cells, vantages), vantages):
        return False
    fixed = [v for v in vantages if v.place.access not in ("mobile", "hosting")]
    if _are_all_hit(fixed, THRESHOLDS) and is_partial(count_silent(fixed), THRESHOLDS):
        return False
    return not (_may_be_grid(fixed, THRESHOLDS) or fail_side_by_side(fixed))


def _may_be_grid(lines: Sequence[VantagePresence], limits: Thresholds) -> bool:
    return _are_mixed(lines, limits) or fail_by_region(lines)


def _are_mixed(vantages: Sequence[VantagePresence], limits: Thresholds) -> bool:
    """Return whether part of every operator's lines lives on, as on batteries.

    An order cuts all lines of an operator. Only operators with enough votes count.
    """
    shares = _list_shares(vantages, limits.votes)
    return len(shares) > 1 and all(
        limits.alive_share <= share <= 1.0 - limits.alive_share / 2 for share in shares
    )


def _are_all_hit(lines: Sequence[VantagePresence], limits: Thresholds) -> bool:
    """Return whether half or more of each operator's lines fell: a grid spares none."""
    shares = _list_shares(lines, limits.witnesses)
    return len(shares) > 1 and min(shares) >= limits.suspect_share


def _list_shares(lines: Sequence[VantagePresence], least_votes: float) -> list[float]:
    """List the silent share of each operator with enough votes."""
    by_network: defaultdict[int, list[VantagePresence]] = defaultdict(list)
    for line in lines:
        by_network[line.place.asn].append(line)
    counts = map(sum_silent, by_network.values())
    return [count.share for count in counts if count.votes >= least_votes]


def is_partial(votes: VotesByPlace, limits: Thresholds) -> bool:
    """Return whether fallen operators live on in part, as when some routes fail.

    A cable or an order takes whole operators.
    """
    by_network: defaultdict[int, VoteCount] = defaultdict(VoteCount)
    for place, count in votes.items():
        if place.access != "hosting":
            by_network[place.asn].add(count)
    fallen = VoteCount()
    for count in by_network.values():
        if count.share >= limits.suspect_share:
            fallen.add(count)
    return fallen.votes >= limits.votes and fallen.share <= _PARTIAL_SHARE


def _are_lines(vantages: Sequence[VantagePresence]) -> bool:
    """Return whether all are marked as fixed lines, so that none may be a phone."""
    return all(v.place.access == "fixed" for v in vantages)


def _shares_region(cell: AffectedCell, vantage: VantagePresence) -> bool:
    return cell.scope.region in ("", vantage.place.region)


def _is_alive(count: VoteCount, limits: Thresholds) -> bool:
    return count.votes >= limits.witnesses and count.share <= limits.alive_share
