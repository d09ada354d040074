"""Friday prayer: phones that people switch off for it, which is no cut.

Most men leave or mute their phones for the prayer at noon (Jumu'ah): those of all operators go one
after another, some stay, lines go on, and most are back within the hour. An order that begins with
the sermon, as in Zahedan in 2022, leaves hardly any phone.
"""

from collections import defaultdict
from collections.abc import Sequence

from heliograph.units import MINUTE_US
from heliograph_collector.detect.level.local_time import is_friday_noon
from heliograph_collector.detect.silence.presence_tracker import count_silent
from heliograph_collector.detect.silence.renewal import have_fallen_slowly
from heliograph_collector.detect.silence.vantage_presence import VantagePresence
from heliograph_collector.detect.stats.voting import VoteCount, count_votes, sum_votes
from heliograph_collector.model.signals import VantageRef
from heliograph_collector.model.thresholds import THRESHOLDS, Thresholds

# Assumed, all of them:
_LASTS_US = 75 * MINUTE_US  # from the first that leaves to the last that is back
_LINES_SHARE = 0.34  # of fixed lines that are silent by themselves, at most
_EACH_SHARE = 0.2  # of the phones of each operator, at least: people of all go
_MOST_SHARE = 0.88  # of all phones: an order leaves less (onset curves: 1 to 12 %)


def may_be_prayer(
    vantages: Sequence[VantagePresence], since_us: int, now_us: int, limits: Thresholds
) -> bool:
    """Return whether phones of a country are silent since then as on a Friday at noon.

    Args:
        vantages: The country's established vantages, here or silent.
    """
    country = vantages[0].place.country if vantages else ""
    if now_us - since_us > _LASTS_US or not is_friday_noon(country, since_us):
        return False
    lines = sum_votes(count_silent([v for v in vantages if v.place.access == "fixed"]))
    phones = [v for v in vantages if v.place.access == "mobile"]
    all_phones = sum_votes(count_silent(phones))
    living = all_phones.votes - all_phones.hits
    if lines.share > _LINES_SHARE or all_phones.share > _MOST_SHARE or living < limits.lines:
        return False
    if not have_fallen_slowly([v for v in phones if v.is_silent]):
        return False
    gone = _count_gone(phones, since_us)
    return all(c.share >= _EACH_SHARE for c in gone.values() if c.votes >= limits.witnesses)


def _count_gone(phones: Sequence[VantagePresence], since_us: int) -> dict[int, VoteCount]:
    """Count by operator the phones that fell silent since then, also those that are back."""
    by_operator: defaultdict[int, list[tuple[VantageRef, bool]]] = defaultdict(list)
    for phone in phones:
        by_operator[phone.place.asn].append((phone.witness, phone.lost_us >= since_us))
    nat_votes = THRESHOLDS.nat_votes
    return {asn: sum_votes(count_votes(hits, nat_votes)) for asn, hits in by_operator.items()}
