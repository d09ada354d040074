"""List the silent ways to the collector: carriers, with known entrances."""

from collections import Counter
from collections.abc import Iterable, Sequence

from heliograph_collector.detect.silence.vantage_presence import VantagePresence
from heliograph_collector.detect.silence.vantage_votes import sum_silent
from heliograph_collector.model.thresholds import THRESHOLDS

_LOST_SHARE = 0.1  # of those online, who lost a carrier, if that is blocked; assumed


def group_by_carrier(vantages: Iterable[VantagePresence]) -> dict[str, list[VantagePresence]]:
    groups: dict[str, list[VantagePresence]] = {}
    for vantage in vantages:
        groups.setdefault(vantage.witness.carrier, []).append(vantage)
    return groups


def list_silent_carrier_votes(vantages: Sequence[VantagePresence]) -> list[float]:
    """List silent votes of mostly silent carriers, the largest first.

    A carrier needs more than one vote. Those whose entrance is not known may use that of most
    others, and are no way beside it.
    """
    groups = group_by_carrier(vantages)
    for carrier in [name for name in groups if "/" not in name]:
        named = [name for name in groups if name.startswith(f"{carrier}/")]
        if named:
            most = max(named, key=lambda name: len(groups[name]))
            groups[most] += groups.pop(carrier)
    counts = (sum_silent(group) for group in groups.values())
    silent = [
        c for c in counts if c.votes >= THRESHOLDS.ways and c.share >= THRESHOLDS.confirm_share
    ]
    return sorted((c.hits for c in silent), reverse=True)


def list_lost_carriers(lost_by: Iterable[str]) -> tuple[str, ...]:
    """List carriers that a tenth or more of those online lost; fewer may be chance.

    A block explains all silences over its carriers, so one that returned by another entrance and
    was lost there once more would hide a cut of those that are on it.
    """
    counts = Counter(lost_by)
    least = _LOST_SHARE * counts.total()
    return tuple(sorted(carrier for carrier, count in counts.items() if count >= least))
