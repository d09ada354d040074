"""Phones that people put away together, which is no cut.

Most men leave or mute their phones for the prayer at noon of a Friday (Jumu'ah), and on the morning
of a feast, which may be any day; so do those who sit an exam or go to a funeral. Phones of all
operators go one after another, by minutes and not by operators; some stay, lines go on, and most
are back within the hour. An order leaves hardly any phone, and takes each operator's at once.
"""

from collections import defaultdict
from collections.abc import Sequence

from heliograph.units import MINUTE_US, SECOND_US
from heliograph_collector.detect.level.local_time import is_friday_noon
from heliograph_collector.detect.silence.presence_tracker import count_silent
from heliograph_collector.detect.silence.renewal import measure_middle
from heliograph_collector.detect.silence.vantage_presence import VantagePresence
from heliograph_collector.detect.stats.voting import VoteCount, count_votes, sum_votes
from heliograph_collector.model.signals import VantageRef
from heliograph_collector.model.thresholds import Thresholds

# Assumed, all of them:
_LASTS_US = 75 * MINUTE_US  # from the first that leaves to the last that is back
_LINES_SHARE = 0.34  # of fixed lines that are silent by themselves, at most
_EACH_SHARE = 0.2  # of the phones of each operator, at least: people of all go
_MOST_SHARE = 0.88  # of all phones: an order leaves less (onset curves: 1 to 12 %)
# In which the middle three fifths fall silent, at least, also of each operator: people walk to a
# place, an order takes a mast or a core at once. On a Friday at noon the hour itself tells.
_PRAYER_US = 20 * SECOND_US
_GATHER_US = 150 * SECOND_US
_OPERATOR_US = 60 * SECOND_US
_MIN_PHONES = 5  # of an operator, whose spread says something


def may_be_put_away(
    vantages: Sequence[VantagePresence], since_us: int, now_us: int, limits: Thresholds
) -> bool:
    """Return whether phones of a country are silent since then as when people put them away.

    Args:
        vantages: The country's established vantages, here or silent.
    """
    country = vantages[0].place.country if vantages else ""
    if now_us - since_us > _LASTS_US:
        return False
    lines = sum_votes(count_silent([v for v in vantages if v.place.access == "fixed"]))
    phones = [v for v in vantages if v.place.access == "mobile"]
    all_phones = sum_votes(count_silent(phones))
    living = all_phones.votes - all_phones.hits
    if lines.share > _LINES_SHARE or all_phones.share > _MOST_SHARE or living < limits.lines:
        return False
    gone = _count_gone(phones, since_us, limits)
    if any(c.share < _EACH_SHARE for c in gone.values() if c.votes >= limits.witnesses):
        return False
    if sum(_tells_of_dead_link(v, since_us) for v in vantages) >= limits.witnesses:
        return False
    silent = [v for v in phones if v.is_silent]
    if is_friday_noon(country, since_us):
        return measure_middle(silent) > _PRAYER_US
    fallen = [v for v in silent if v.lost_us >= since_us]
    return measure_middle(fallen) > _GATHER_US and all(
        measure_middle(group) > _OPERATOR_US for group in _group_by_operator(fallen)
    )


def _tells_of_dead_link(vantage: VantagePresence, since_us: int) -> bool:
    """Return whether it ran while it was silent, and anchors did not answer; on Wi-Fi by now."""
    report = vantage.report
    if report is None or report.online is not False:
        return False
    return min(vantage.lost_us, report.until_us) >= since_us


def _group_by_operator(fallen: Sequence[VantagePresence]) -> list[list[VantagePresence]]:
    """List the phones that fell silent by operator, where they are enough to have a spread."""
    groups: defaultdict[int, list[VantagePresence]] = defaultdict(list)
    for phone in fallen:
        groups[phone.place.asn].append(phone)
    return [group for group in groups.values() if len(group) >= _MIN_PHONES]


def _count_gone(
    phones: Sequence[VantagePresence], since_us: int, limits: Thresholds
) -> dict[int, VoteCount]:
    """Count by operator the phones that fell silent since then, also those that are back."""
    by_operator: defaultdict[int, list[tuple[VantageRef, bool]]] = defaultdict(list)
    for phone in phones:
        by_operator[phone.place.asn].append((phone.witness, phone.lost_us >= since_us))
    return {
        asn: sum_votes(count_votes(hits, limits.nat_votes)) for asn, hits in by_operator.items()
    }
