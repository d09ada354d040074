"""Vantages that are back from a cut while nothing abroad answers them.

Where a state lets listed hosts pass and nothing else, agents come back within a minute by an
entrance in their country. Their sessions live, and the cut is not over (Iran in 2022 and 2026).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from heliograph.units import SECOND_US
from heliograph_collector.detect.silence.vantage_presence import VantagePresence
from heliograph_collector.model.signals import is_other_way

# A test of anchors holds so long, as do votes on services (blocking/): six tests of the plan.
_HELD_US = 1_800 * SECOND_US
# Until those that are back have tested: anchors are tested every 300 s, a batch takes up to 30 s,
# and a retry 60 s. As long as the judge's isolation of a country may take.
_TESTING_US = 420 * SECOND_US
_REJOINED_SHARE = 0.05  # of those back, who are so by chance or by another network; assumed


def is_isolated(vantage: VantagePresence, now_us: int) -> bool:
    """Return whether a live vantage said last, since its return, that nothing abroad answers."""
    is_of_session = vantage.is_live and vantage.link_us > vantage.changed_us
    return is_of_session and vantage.is_link_dead and now_us - vantage.link_us <= _HELD_US


@dataclass(frozen=True, slots=True)
class IsolatedReturns:
    """Pseudonyms of those that fell silent in a cut and are back, but not from it."""

    isolated: frozenset[str] = frozenset()  # no host abroad answers them, or they have not tested
    is_waiting: bool = False  # for tests, which may end without any signal


def find_isolated_returns(
    vantages: Iterable[VantagePresence], since_us: int, now_us: int
) -> IsolatedReturns:
    """Find those that are back from a cut and stay cut off from abroad.

    A vantage that came by another way than the lost one, and found no host abroad in the silence,
    waits for its test where hardly anybody came by the lost way. At the end of a cut the lost ways
    work again: agents that come by post at first have them within a minute. In a country that is
    left with listed hosts they stay dead.
    """
    back = [v for v in vantages if v.is_live and v.lost_us >= since_us]
    rejoined = sum(not _is_by_other_way(v) and v.place.asn == v.lost_in for v in back)
    may_wait = rejoined <= _REJOINED_SHARE * len(back)
    untested = {v.witness.nym for v in back if may_wait and _is_untested(v, now_us)}
    isolated = {v.witness.nym for v in back if is_isolated(v, now_us)}
    return IsolatedReturns(frozenset(isolated | untested), is_waiting=bool(untested))


def _is_untested(vantage: VantagePresence, now_us: int) -> bool:
    is_early = now_us - vantage.changed_us <= _TESTING_US and vantage.link_us < vantage.changed_us
    report = vantage.report
    is_told = report is not None and report.online is False and report.until_us > vantage.heard_us
    return is_early and is_told and _is_by_other_way(vantage)


def _is_by_other_way(vantage: VantagePresence) -> bool:
    return is_other_way(vantage.witness.carrier, vantage.lost_by)
