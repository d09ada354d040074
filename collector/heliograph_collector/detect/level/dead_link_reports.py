"""Confirm falls by returned agents that measured dead links during the fall.

Theory of operation. At night most of a country may sleep, and until its nights are known nothing
tells that from a cut. But those who are back do: a machine that sleeps measures nothing, and one
whose own line failed is alone. So a fall of most that is over was no habit where most who are back
tell that no anchor answered them, in several networks, while they were silent at one time for long.

Liars go with those who sleep and are back before them, so that they are most who are back. Hence
those who tell have to be more than a third of the whole cell, by prefixes and by vantages: phones
behind one NAT have more votes than vantages, and flatmates fewer.

At night phones may be cut while lines sleep. Then the phones alone report dead links, and they are
what was cut: of the rest nothing is known.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence

from heliograph.units import MINUTE_US
from heliograph_collector.detect.silence.vantage_presence import VantagePresence
from heliograph_collector.detect.silence.vantage_votes import count_hits
from heliograph_collector.detect.stats.localization import localize
from heliograph_collector.detect.stats.voting import count_votes
from heliograph_collector.model.scope import AffectedCell
from heliograph_collector.model.thresholds import THRESHOLDS, Thresholds

_POWERLESS_SHARE = 0.2  # of those who are back, as where a grid fails (doubts.py); assumed
_TOGETHER_US = 30 * MINUTE_US  # for which they were silent; lines fail for less; assumed


def have_reported_dead_links(
    fallen: Sequence[VantagePresence], darkest: float, since_us: int
) -> bool | None:
    """Return whether vantages back from a fall report that it was a cut.

    Args:
        fallen: The established vantages of the cell that are here, or fell silent in the fall.
        darkest: The share of the votes that was silent at one time.
        since_us: When the fall began.

    Returns:
        None while several report it, but too few to decide.
    """
    returned = list_returned(fallen, since_us)
    powerless = sum(v.power_failed for v in returned)
    if darkest < THRESHOLDS.confirm_share or powerless >= _POWERLESS_SHARE * len(returned):
        return False  # laptops behind dead routers report the same after a power failure
    tellers = _select_together([v for v in returned if _tells_of_dead_link(v)])
    names = {v.witness.nym for v in tellers}
    of_returned = count_hits(returned, [v.witness.nym in names for v in returned])
    networks = len({v.place.asn for v in tellers})
    if networks < THRESHOLDS.networks or of_returned.hits < THRESHOLDS.witnesses:
        return False
    of_all = count_hits(fallen, [v.witness.nym in names for v in fallen])
    least = min(of_all.share, len(tellers) / len(fallen))
    is_told = of_returned.share >= THRESHOLDS.confirm_share and least >= THRESHOLDS.unfeigned_share
    return is_told or None


def find_told_part(
    fallen: Sequence[VantagePresence], whole: AffectedCell, limits: Thresholds
) -> AffectedCell:
    """Return the one part of a country whose people told, where hardly others did; or the country.

    Args:
        fallen: The established vantages of the country that are here, or fell silent in the fall.
        whole: The cell of the country.
        limits: The thresholds.
    """
    marked = [(vantage, _tells_of_dead_link(vantage)) for vantage in fallen]
    votes = count_votes([(v.witness, has_told) for v, has_told in marked], limits.nat_votes)
    cells = localize(votes, limits.confirm_share, limits.votes, limits)
    if len(cells) != 1 or whole.scope.is_within(cells[0].scope):
        return whole
    others = [has_told for v, has_told in marked if not cells[0].scope.includes(v.place)]
    return cells[0] if sum(others) <= limits.alive_share * len(others) else whole


def list_returned(fallen: Iterable[VantagePresence], since_us: int) -> Sequence[VantagePresence]:
    """List vantages that fell silent in a fall and are back from it."""
    return [v for v in fallen if v.is_live and since_us <= v.lost_us < v.back_us]


def _select_together(vantages: Iterable[VantagePresence]) -> list[VantagePresence]:
    """Select most that were silent at one time for long; one that fell late is no part of them."""
    long = [v for v in vantages if v.back_us - v.heard_us >= _TOGETHER_US]
    begun = sorted(v.heard_us for v in long)
    over = sorted(v.back_us - _TOGETHER_US for v in long)
    at_us = max(begun, key=lambda us: bisect_right(begun, us) - bisect_left(over, us), default=0)
    return [v for v in long if v.heard_us <= at_us <= v.back_us - _TOGETHER_US]


def _tells_of_dead_link(vantage: VantagePresence) -> bool:
    report = vantage.report
    return report is not None and report.online is False and report.until_us > vantage.heard_us
