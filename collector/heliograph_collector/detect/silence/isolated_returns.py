"""Vantages that are back from a cut while nothing abroad answers them.

Where a state lets listed hosts pass and nothing else, agents come back within a minute by an
entrance in their country. Their sessions live, and the cut is not over (Iran in 2022 and 2026).
"""

from collections.abc import Iterable, Sequence

from heliograph.units import SECOND_US
from heliograph_collector.detect.silence.vantage_presence import VantagePresence

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


def list_isolated(vantages: Iterable[VantagePresence], since_us: int, now_us: int) -> set[str]:
    """Return the pseudonyms of those that fell silent, are back and stay cut off from abroad.

    Who is back by another way than the lost one, and found no host abroad in the silence, waits for
    its test where hardly anybody is back by the lost way. At the end of a cut the lost ways work
    again; in a country that is left with listed hosts they stay dead.
    """
    back = [v for v in vantages if v.is_live and v.lost_us >= since_us]
    isolated = {v.witness.nym for v in back if is_isolated(v, now_us)}
    return isolated | {v.witness.nym for v in _select_untested(back, now_us)}


def has_untested(vantages: Iterable[VantagePresence], since_us: int, now_us: int) -> bool:
    """Return whether some wait for their test, which ends without any signal."""
    back = [v for v in vantages if v.is_live and v.lost_us >= since_us]
    return bool(_select_untested(back, now_us))


def _select_untested(back: Sequence[VantagePresence], now_us: int) -> list[VantagePresence]:
    rejoined = [v for v in back if not v.is_rerouted and v.place.asn == v.lost_in]
    if len(rejoined) > _REJOINED_SHARE * len(back):
        return []
    return [v for v in back if _is_untested(v, now_us)]


def _is_untested(vantage: VantagePresence, now_us: int) -> bool:
    is_early = now_us - vantage.changed_us <= _TESTING_US and vantage.link_us < vantage.changed_us
    report = vantage.report
    is_told = report is not None and report.online is False and report.until_us > vantage.heard_us
    return is_early and is_told and vantage.is_rerouted
