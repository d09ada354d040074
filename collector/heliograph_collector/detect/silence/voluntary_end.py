"""Voluntary ends: silences that people and programs make themselves, and no order.

Phones are put away together. Most men leave or mute theirs for the prayer at noon of a Friday
(Jumu'ah), and on the morning of a feast, which may be any day; so do those who sit an exam or go to
a funeral. Phones of all operators go one after another, by minutes and not by operators; some stay,
lines go on, and most are back within the hour. An order leaves hardly any phone, and takes each
operator's at once.

Cohorts stop together: the agents of a campaign, or of one edition (cohorts.py). People who travel
are back elsewhere (travelers.py).
"""

from collections import defaultdict
from collections.abc import Sequence

from heliograph.units import MINUTE_US, SECOND_US
from heliograph_collector.detect.level.local_time import is_friday_noon
from heliograph_collector.detect.silence.cohorts import find_day, find_edition, may_be_cohort
from heliograph_collector.detect.silence.renewal import have_restarted, measure_middle
from heliograph_collector.detect.silence.travelers import are_traveling
from heliograph_collector.detect.silence.vantage_presence import VantagePresence
from heliograph_collector.detect.silence.vantage_votes import count_hits, sum_silent
from heliograph_collector.incidents.incident import HoldReason
from heliograph_collector.model.scope import AffectedCell
from heliograph_collector.model.thresholds import THRESHOLDS

# Of phones; assumed, all of them:
_LASTS_US = 75 * MINUTE_US  # from the first that leaves to the last that is back
_LINES_SHARE = 0.34  # of fixed lines that are silent by themselves, at most
_EACH_SHARE = 0.2  # of the phones of each operator, at least: people of all go
_MOST_SHARE = 0.88  # of all phones: an order leaves less (onset curves: 1 to 12 %)
# In which the middle three fifths fall silent, at least, also of each operator: people walk to a
# place, an order takes a mast or a core at once. On a Friday at noon the hour itself shows it.
_PRAYER_US = 20 * SECOND_US
_GATHER_US = 150 * SECOND_US
_OPERATOR_US = 60 * SECOND_US
_MIN_PHONES = 5  # of an operator, so that their spread is a measure


def _may_be_put_away(vantages: Sequence[VantagePresence], since_us: int, now_us: int) -> bool:
    """Return whether a country's phones fell silent as when people put them away.

    Args:
        vantages: The country's established vantages, here or silent.
    """
    country = vantages[0].place.country if vantages else ""
    if now_us - since_us > _LASTS_US:
        return False
    lines = sum_silent([v for v in vantages if v.place.access == "fixed"])
    phones = [v for v in vantages if v.place.access == "mobile"]
    all_phones = sum_silent(phones)
    living = all_phones.votes - all_phones.hits
    if lines.share > _LINES_SHARE or all_phones.share > _MOST_SHARE or living < THRESHOLDS.lines:
        return False
    counts = [count_hits(o, [v.lost_us >= since_us for v in o]) for o in _group_by_operator(phones)]
    if any(c.share < _EACH_SHARE for c in counts if c.votes >= THRESHOLDS.witnesses):
        return False
    if sum(_tells_of_dead_link(v, since_us) for v in vantages) >= THRESHOLDS.witnesses:
        return False
    silent = [v for v in phones if v.is_silent]
    if is_friday_noon(country, since_us):
        return measure_middle(silent) > _PRAYER_US
    fallen = [v for v in silent if v.lost_us >= since_us]
    return measure_middle(fallen) > _GATHER_US and all(
        measure_middle(group) > _OPERATOR_US
        for group in _group_by_operator(fallen)
        if len(group) >= _MIN_PHONES
    )


def _tells_of_dead_link(vantage: VantagePresence, since_us: int) -> bool:
    """Return whether it ran while silent, and no anchor answered it.

    It may report that over Wi-Fi by now.
    """
    report = vantage.report
    if report is None or report.online is not False:
        return False
    return min(vantage.lost_us, report.until_us) >= since_us


def _group_by_operator(phones: Sequence[VantagePresence]) -> list[list[VantagePresence]]:
    groups: defaultdict[int, list[VantagePresence]] = defaultdict(list)
    for phone in phones:
        groups[phone.place.asn].append(phone)
    return list(groups.values())


def find_voluntary_end(
    cells: Sequence[AffectedCell],
    vantages: Sequence[VantagePresence],
    since_us: int,
    now_us: int,
    abroad: Sequence[VantagePresence] = (),
) -> str:
    """Find why agents in the cells may have stopped by themselves; "" if unknown.

    Args:
        cells: Those that fell silent.
        vantages: The country's established vantages, here or silent.
        since_us: When they began to fall silent.
        now_us: The time of the evaluation.
        abroad: Its vantages that are back in another country.
    """
    if have_restarted(cells, vantages, now_us):
        return HoldReason.RESTARTS
    people = [*vantages, *abroad]
    if _may_be_put_away(vantages, since_us, now_us) or are_traveling(cells, people, since_us):
        return HoldReason.HABIT
    if may_be_cohort(vantages, since_us, find_edition):
        return HoldReason.RESTARTS
    return HoldReason.HABIT if may_be_cohort(vantages, since_us, find_day) else ""
