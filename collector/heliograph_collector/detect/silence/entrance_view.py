"""What others show of an entrance of ours that the people of one country lost.

Theory. A block of an entrance in one country, and its end for everybody, look alike to the people
of that country: they lose it, and come back by another one. Somebody else has to tell which it is:

- *lives*: a control outside the country, or any established vantage, was here by the entrance
  before the loss, and still is.
- *fell*: nobody was, and a control outside lost it in these minutes too: the fault is ours.
- *unseen*: nobody was, and no control used it. Who comes by it later tells nothing of that time,
  because it may have been repaired.
"""

from collections import Counter
from collections.abc import Collection, Iterable
from enum import Enum

from heliograph.units import SECOND_US
from heliograph_collector.detect.silence.presence_tracker import PresenceTracker
from heliograph_collector.detect.silence.vantage_presence import VantagePresence
from heliograph_collector.detect.stats.tails import quantile
from heliograph_collector.detect.stats.voting import is_established

UNSEEN = "entrance_unseen"  # counter-evidence: it may be our own fault
FAIL_US = 300 * SECOND_US  # in which a failing entrance reaches one place after another; assumed


class EntranceView(Enum):
    """What others show of an entrance."""

    LIVES = 1
    FELL = 2
    UNSEEN = 3


def view_entrance(
    presence: PresenceTracker, country: str, carrier: str, since_us: int
) -> EntranceView:
    """Return what others show of a carrier that people of a country lost since a time."""
    controls = presence.controls
    before_us = since_us - int(presence.limits.spread_s * SECOND_US)
    if controls.holds(country, carrier, before_us) or any(
        _holds(vantage, carrier, before_us)
        and is_established(vantage.witness, before_us, presence.limits)
        for vantage in presence.vantages.values()
    ):
        return EntranceView.LIVES
    has_fallen = controls.has_lost(country, carrier, before_us, since_us + FAIL_US)
    return EntranceView.FELL if has_fallen else EntranceView.UNSEEN


def view_entrances(
    presence: PresenceTracker,
    country: str,
    silenced: Iterable[VantagePresence],
    carriers: Collection[str],
    since_us: int,
) -> EntranceView:
    """Return what others show of that of some carriers by which most were lost since a time."""
    counts = Counter(vantage.lost_by for vantage in silenced if vantage.lost_by in carriers)
    carrier = max(counts, key=counts.__getitem__, default="")
    return view_entrance(presence, country, carrier, since_us)


def have_ways_fallen(presence: PresenceTracker, country: str, since_us: int, now_us: int) -> bool:
    """Return whether the ways by which a country's vantages are silent fell for controls too.

    A few may be silent by others, by chance. Agents try again within `retry_s`: who is silent for
    longer after a control is back by that way is cut off.
    """
    if not any(session.lost_us for session in presence.controls.sessions.values()):
        return False  # as nearly always
    silent = [v for v in presence.list_silent(country, since_us) if not v.deferred]
    if not silent:
        return False
    onset_us = quantile([vantage.lost_us for vantage in silent], 0.5)  # an entrance falls at once
    limits = presence.limits
    settled_us = now_us - int((limits.retry_s + limits.beat_s) * SECOND_US)
    counts = Counter(vantage.lost_by for vantage in silent)
    explained = sum(
        count
        for carrier, count in counts.items()
        if view_entrance(presence, country, carrier, onset_us) is EntranceView.FELL
        and not presence.controls.holds(country, carrier, settled_us)
    )
    return explained >= (1.0 - limits.alive_share) * len(silent)


def _holds(vantage: VantagePresence, carrier: str, since_us: int) -> bool:
    """Return whether a vantage has been here by a carrier since a time."""
    is_through = vantage.lost_us <= since_us and vantage.changed_us <= since_us
    return vantage.is_live and vantage.witness.carrier == carrier and is_through
