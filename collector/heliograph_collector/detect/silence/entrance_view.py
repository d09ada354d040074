"""Judge from other agents whether an entrance failed or one country blocks it.

Theory. A block of an entrance in one country, and its end for everybody, look alike to the people
of that country: they lose it, and come back by another one. Other agents have to show which it is:

- *lives*: a control outside the country, or any established vantage, was here by the entrance
  before the loss, and still is.
- *fell*: nobody was, and a control outside lost it in these minutes too, or people of another
  country did: the fault is ours. Where few countries are known, nothing else tells that: the one
  that loses less of its people has other entrances, and is no witness of this one.
- *unseen*: nobody was, and neither a control nor people outside used it. Who comes by it later
  tells nothing of that time, because it may have been repaired.
"""

from collections import Counter
from collections.abc import Collection, Iterable
from enum import Enum

from heliograph.units import SECOND_US
from heliograph_collector.detect.silence.presence_tracker import PresenceTracker
from heliograph_collector.detect.silence.vantage_presence import VantagePresence
from heliograph_collector.detect.stats.tails import quantile
from heliograph_collector.detect.stats.voting import is_established

FAIL_US = 300 * SECOND_US  # in which a failing entrance reaches one place after another; assumed
_OTHERS = 2  # established vantages outside, who do not lose one entrance by chance; assumed
_BACK_SHARE = 0.5  # of them that do not stay by another way, who show that it is mended; assumed


class EntranceView(Enum):
    """State of an entrance, as seen by agents outside one country."""

    LIVES = 1
    FELL = 2
    UNSEEN = 3


def view_entrance(
    presence: PresenceTracker, country: str, carrier: str, since_us: int
) -> EntranceView:
    """Return the state of a carrier that a country lost, as others show it."""
    controls = presence.controls
    before_us = since_us - int(presence.limits.spread_s * SECOND_US)
    if controls.holds(country, carrier, before_us) or any(
        _holds(vantage, carrier, before_us)
        and is_established(vantage.witness, before_us, presence.limits)
        for vantage in presence.vantages.values()
    ):
        return EntranceView.LIVES
    has_fallen = controls.has_lost(country, carrier, before_us, since_us + FAIL_US)
    has_fallen |= len(_list_losers(presence, country, carrier, since_us)) >= _OTHERS
    return EntranceView.FELL if has_fallen else EntranceView.UNSEEN


def view_entrances(
    presence: PresenceTracker,
    country: str,
    silenced: Iterable[VantagePresence],
    carriers: Collection[str],
    since_us: int,
) -> EntranceView:
    """Return the view of the carrier by which most were lost since a time."""
    counts = Counter(vantage.lost_by for vantage in silenced if vantage.lost_by in carriers)
    carrier = max(counts, key=counts.__getitem__, default="")
    return view_entrance(presence, country, carrier, since_us)


def have_ways_fallen(presence: PresenceTracker, country: str, since_us: int, now_us: int) -> bool:
    """Return whether a country's lost ways to the collector fell elsewhere too.

    A few may be silent by others, by chance. Agents try again within `retry_s`: who is silent for
    longer after a control, or half of the others, are back by that way is cut off.
    """
    silent = [v for v in presence.list_silent(country, since_us) if not v.deferred]
    if not silent:
        return False
    onset_us = quantile([vantage.lost_us for vantage in silent], 0.5)  # an entrance falls at once
    if not _have_others_lost(presence, country, onset_us):
        return False  # as nearly always
    limits = presence.limits
    settled_us = now_us - int((limits.retry_s + limits.beat_s) * SECOND_US)
    counts = Counter(vantage.lost_by for vantage in silent)
    explained = sum(
        count
        for carrier, count in counts.items()
        if view_entrance(presence, country, carrier, onset_us) is EntranceView.FELL
        and not _is_mended(presence, country, carrier, onset_us, settled_us)
    )
    return explained >= (1.0 - limits.alive_share) * len(silent)


def _have_others_lost(presence: PresenceTracker, country: str, onset_us: int) -> bool:
    """Return whether a control ever lost a session, or others did in these minutes."""
    if any(session.lost_us for session in presence.controls.sessions.values()):
        return True
    since_us = onset_us - int(presence.limits.spread_s * SECOND_US)
    others = [other for other in presence.countries if other != country]
    lost = (presence.tally(other).count_lost(since_us, onset_us + FAIL_US) for other in others)
    return sum(lost) >= _OTHERS


def _list_losers(
    presence: PresenceTracker, country: str, carrier: str, onset_us: int
) -> list[VantagePresence]:
    """List the established of other countries who lost a carrier in these minutes."""
    limits = presence.limits
    since_us = onset_us - int(limits.spread_s * SECOND_US)
    lost = [
        presence.vantages[name]
        for other in presence.countries
        if other != country
        for name in presence.tally(other).list_lost(since_us)
    ]
    return [
        v
        for v in lost
        if v.lost_by == carrier
        and v.lost_us <= onset_us + FAIL_US
        and not v.deferred
        and is_established(v.witness, since_us, limits)
    ]


def _is_mended(
    presence: PresenceTracker, country: str, carrier: str, onset_us: int, settled_us: int
) -> bool:
    """Return whether a control, or half of others that lost a carrier, regained it."""
    if presence.controls.holds(country, carrier, settled_us):
        return True
    waiting = [v for v in _list_losers(presence, country, carrier, onset_us) if not v.is_rerouted]
    back = sum(v.is_live and v.back_us <= settled_us for v in waiting)
    return bool(waiting) and back >= _BACK_SHARE * len(waiting)


def _holds(vantage: VantagePresence, carrier: str, since_us: int) -> bool:
    """Return whether a live vantage has used a carrier since before a time."""
    is_through = vantage.lost_us <= since_us and vantage.changed_us <= since_us
    return vantage.is_live and vantage.witness.carrier == carrier and is_through
