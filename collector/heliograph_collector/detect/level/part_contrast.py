"""Decide whether a part of a country falls no further than its other parts do.

Theory of operation. On a feast, or on the evening after the clocks change, people of a whole
country are away at an hour at which they never were. Where about six tenths of them are, chance
makes some city or operator darker than the share that confirms a cut, though the country is not.
So what the other parts have lost since a part began to fall is expected of that part too, and only
more than chance makes of it is a cut. Parts that are as dark themselves are no measure, as an order
may take three operators of four, unless chance makes them so of what all others lost: where seven
tenths of a country sleep, most of its parts are dark, and those that are not are too few to tell.

The same comparison stands in for a habit that is not known yet: an operator of which nearly all
went, while its neighbors stayed, is not asleep. And where the hours of a country are known, who
goes within minutes while hardly anybody else does within the hour is no night.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from heliograph_collector.detect.level.cell_counts import Sample
from heliograph_collector.detect.level.darkness import ALONE_SHARE, exclude_brief
from heliograph_collector.detect.level.fall import find_main_fall
from heliograph_collector.detect.silence.vantage_presence import VantagePresence
from heliograph_collector.detect.silence.vantage_votes import sum_silent
from heliograph_collector.detect.stats.independence import compute_chance
from heliograph_collector.detect.stats.tails import quantile, upper_tail
from heliograph_collector.detect.stats.voting import VoteCount
from heliograph_collector.model.scope import Scope
from heliograph_collector.model.signals import VantageLocation
from heliograph_collector.model.thresholds import THRESHOLDS

_CHANCE = 1e-3  # of so many silences in parts, by what their country lost; assumed

# Assumed, all of them:
_GONE_SHARE = 0.9  # of a part that is gone; a few may come another way
_PEERS_SHARE = 0.85  # the same beside peers; up to 12 % of a real cut remain (onset curves)
_STAYED_SHARE = 0.1  # of peers that may go meanwhile, by chance
_GONE_CHANCE = 1e-4  # that others of a country go so; of many parts, each since its own fall
_LEAST_RATE = 0.05  # of people who go in such a time


def falls_with_others(
    scope: Scope, fallen: Sequence[VantagePresence], sample: Sample, since_us: int
) -> bool:
    """Return whether chance explains a part's silences, given the rest's losses.

    Args:
        fallen: Its vantages that are here, or fell silent since `since_us`.
    """
    if scope in sample.whole_cells or is_gone_beside_others(scope, sample, since_us):
        return False
    others = sum_silent(_select_others(scope, sample, since_us))
    if others.votes < sample.limits.votes:
        return False
    own = sum_silent(list(exclude_brief(fallen, sample.now_us)))
    return upper_tail([others.share] * round(own.votes), round(own.hits)) > _CHANCE


def is_gone_beside_others(scope: Scope, sample: Sample, since_us: int) -> bool:
    """Return whether nearly all of a part fell while hardly any others did.

    Its country may fall for longer, by habit or by another event, which took some of the part too.
    """
    limits = sample.limits
    fallen = list(exclude_brief(sample.select_fallen(scope, since_us), sample.now_us))
    own = sum_silent(fallen)
    if own.votes < limits.votes or own.share < _GONE_SHARE or scope in sample.whole_cells:
        return False
    begun_us = find_main_fall([v.lost_us for v in fallen if v.is_silent])
    others = sum_silent(_select_others(scope, sample, begun_us))
    last = sum_silent([v for v in fallen if v.is_live or v.lost_us >= begun_us])
    rate = max(others.share, _LEAST_RATE)
    is_measure = others.votes >= limits.votes
    return is_measure and upper_tail([rate] * round(last.votes), round(last.hits)) <= _GONE_CHANCE


def is_gone_beside_peers(scope: Scope, sample: Sample, since_us: int) -> bool:
    """Return whether nearly all of an operator fell while its neighbors stayed.

    Neighbors are people of other operators with the same access in the same regions. They go to bed
    and to work at the same hours, so that no habit that is yet unknown takes the one operator from
    all of its people and nobody from the others. Where it has no neighbors, most may be asleep.
    """
    if not scope.asn:
        return False
    fallen = list(exclude_brief(sample.select_fallen(scope, since_us), sample.now_us))
    own = sum_silent(fallen)
    if own.votes < sample.limits.few or own.share < _PEERS_SHARE:
        return False
    begun_us = quantile([v.lost_us for v in fallen if v.is_silent], 0.1)  # a few went by chance
    last = _group_by_home(v for v in fallen if v.is_live or v.lost_us >= begun_us)
    country = sample.select_fallen(Scope(scope.country), begun_us)
    beside = _group_by_home(v for v in country if not scope.includes(v.place))
    peers = [peer for home in last for peer in beside.get(home, ())]
    if sum_silent(peers).share > _STAYED_SHARE:
        return False
    chances: list[float] = []
    gone = 0.0
    for home, people in last.items():
        count = sum_silent(people)
        chances += [_find_peer_rate(sum_silent(beside.get(home, ())))] * round(count.votes)
        gone += count.hits
    return upper_tail(chances, round(gone)) <= _GONE_CHANCE


def list_gone_alone(country: str, recent: Sequence[VantagePresence]) -> list[Scope]:
    """List operators and regions of which most went while hardly anybody else did.

    Whose hours are known goes to bed with the others, in the same hour.

    Args:
        recent: The vantages of the country that are here, or fell silent in a burst or the hour
            before it.
    """
    groups: defaultdict[Scope, list[VantagePresence]] = defaultdict(list)
    for vantage in recent:
        groups[Scope(country, asn=vantage.place.asn)].append(vantage)
        if vantage.place.region:
            groups[Scope(country, region=vantage.place.region)].append(vantage)
    tested = {k: g for k, g in groups.items() if sum_silent(g).votes >= THRESHOLDS.votes}
    chance = _GONE_CHANCE / max(1, len(tested))
    return [scope for scope, group in tested.items() if _has_gone_alone(group, recent, chance)]


def _has_gone_alone(
    group: Sequence[VantagePresence], recent: Sequence[VantagePresence], chance: float
) -> bool:
    """Return whether most of a group went, by less than a chance of what the others lost."""
    own = sum_silent(group)
    if own.share < THRESHOLDS.confirm_share:
        return False  # as nearly always
    names = {vantage.witness.nym for vantage in group}
    rest = sum_silent([v for v in recent if v.witness.nym not in names])
    if rest.votes < THRESHOLDS.votes or rest.share > _STAYED_SHARE:
        return False
    rate = max(rest.share, _LEAST_RATE)
    return upper_tail([rate] * round(own.votes), round(own.hits)) <= chance


def _group_by_home(
    vantages: Iterable[VantagePresence],
) -> dict[tuple[str, str], list[VantagePresence]]:
    """Group vantages by region and access, in which people have the same hours."""
    groups: defaultdict[tuple[str, str], list[VantagePresence]] = defaultdict(list)
    for vantage in vantages:
        groups[vantage.place.region, vantage.place.access].append(vantage)
    return groups


def _find_peer_rate(peers: VoteCount) -> float:
    """Return the share that a habit may take where these are the neighbors; few tell little."""
    rate = (peers.hits + 1.0) / (peers.votes + 2.0)
    return min(ALONE_SHARE, max(rate, _LEAST_RATE))


def _select_others(scope: Scope, sample: Sample, since_us: int) -> list[VantagePresence]:
    """Select the vantages of the parts beside one that are not as dark as in a cut."""
    groups: defaultdict[str | int, list[VantagePresence]] = defaultdict(list)
    country = sample.select_fallen(Scope(scope.country), since_us)
    for vantage in exclude_brief(country, sample.now_us):
        if not scope.includes(vantage.place):
            groups[_name_part(scope, vantage.place)].append(vantage)
    lit = [v for group in groups.values() if not _is_dark(group, sample) for v in group]
    dark = [v for group in groups.values() if _is_dark(group, sample) for v in group]
    is_one = lit and compute_chance([sum_silent(lit), sum_silent(dark)]) > _CHANCE
    return [*lit, *dark] if is_one else lit


def _name_part(scope: Scope, place: VantageLocation) -> str | int:
    """Name the part in which a place lies, by what names the scope."""
    if scope.region:
        return place.region
    return place.asn if scope.asn else place.access


def _is_dark(group: Sequence[VantagePresence], sample: Sample) -> bool:
    votes = sum_silent(group)
    return votes.votes >= sample.limits.votes and votes.share >= sample.limits.confirm_share
