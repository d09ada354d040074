"""Slow returns: who may still be on the way back after a start of the collector.

Theory of operation. Who is not back from a start when its grace is over has not been seen to fall
silent. Most agents are back within a minute, but those of one country may dial for long: their way
is slow, or each was told to come later. They return one after another. In a cut nobody does. So the
missing of a country stay awaited, which is unknown, while returns are a matter of chance:

- A cell has ceased to return when chance would hardly leave the time since its last return empty.
  At one pace for all of the country, each of its returns falls into the earlier part of the time
  that its members waited with a chance that is the share of this part. Where others of the country
  are back within a minute, that is a matter of seconds; where they come one by one, of minutes.
- The few who are exempt from a cut are back as soon as other countries are. Where nobody came later
  the pace is unknown, and a slow one is assumed.
- Who is in a cell that has ceased is lost: that is, in a cut that began while we were away, or just
  after. After an hour everybody is.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from heliograph.units import SECOND_US
from heliograph_collector.detect.silence.vantage_presence import PresenceStatus, VantagePresence
from heliograph_collector.detect.stats.tails import quantile
from heliograph_collector.model.scope import Scope, scopes_of
from heliograph_collector.model.thresholds import THRESHOLDS

_CHANCE = 0.003  # of an empty time, at the country's pace; of all smaller cells together; assumed
# An agent that is told to come later waits for an hour at most (agent: MAX_RETRY_AFTER_S). At that
# pace so many are expected in a time that is empty enough where nobody has come late, or it takes
# the time that follows at most; and so many where some have. Assumed.
_LATEST_S = 3_600.0
_RETURNS = 2.5
_LONG_S = 480.0
_LATE_RETURNS = 6.0
_BACK_SHARE = 0.9  # of the other countries: they are back; assumed


@dataclass(frozen=True, slots=True)
class _Wait:
    """The vantages of one country that were awaited since a start, and its pace of returns."""

    missing: Sequence[VantagePresence]
    returned: Sequence[VantagePresence]
    since_us: int
    others_us: int  # when the other countries were back
    now_us: int

    def list_late(self) -> list[VantagePresence]:
        """List the missing who are in no cell that has ceased to return."""
        missing = Counter(cell for v in self.missing for cell in scopes_of(v.place))
        tested = {cell for cell, count in missing.items() if count >= THRESHOLDS.burst}
        tested |= {cell for cell in missing if cell.is_national}
        last_us = self._list_last_returns(tested)
        chance = _CHANCE / len(tested)
        ceased = {
            cell
            for cell, at_us in last_us.items()
            if self._has_ceased(
                missing[cell], self._wait_s(at_us), _CHANCE if cell.is_national else chance
            )
        }
        return [v for v in self.missing if ceased.isdisjoint(scopes_of(v.place))]

    def _list_last_returns(self, cells: Collection[Scope]) -> dict[Scope, int]:
        last_us = dict.fromkeys(cells, self.since_us)
        for vantage in self.returned:
            for cell in scopes_of(vantage.place):
                if cell in last_us:
                    last_us[cell] = max(last_us[cell], vantage.resumed_us)
        return last_us

    def _has_ceased(self, count: int, empty_s: float, chance: float) -> bool:
        """Return whether chance hardly leaves a time without a return of so many missing."""
        empty_total_s = count * empty_s
        are_late = any(v.resumed_us > self.others_us for v in self.returned)
        if are_late and empty_total_s >= _LATE_RETURNS * _LATEST_S:
            return True
        # Who is exempt was back with the other countries, and shows no pace.
        alone_s = min(empty_s, self._wait_s(self.others_us)) if self.returned else empty_s
        if not are_late and (count * alone_s >= _RETURNS * _LATEST_S or alone_s >= _LONG_S):
            return True
        waited_s = len(self.missing) * self._wait_s(self.since_us)
        waited_s += sum(v.resumed_us - self.since_us for v in self.returned) / SECOND_US
        earlier = 1.0 - empty_total_s / max(waited_s, empty_total_s)
        return bool(self.returned) and earlier ** len(self.returned) <= chance

    def _wait_s(self, since_us: int) -> float:
        return (self.now_us - since_us) / SECOND_US


def list_late(
    affected: Collection[VantagePresence], since_us: int, now_us: int
) -> list[VantagePresence]:
    """List who is not back from a start, and may only be late.

    Args:
        affected: Those who were here before the start.
        since_us: When the collector was there again.
        now_us: The time of the evaluation.
    """
    if now_us - since_us >= _LATEST_S * SECOND_US:
        return []
    missing: defaultdict[str, list[VantagePresence]] = defaultdict(list)
    returned: defaultdict[str, list[VantagePresence]] = defaultdict(list)
    for vantage in affected:
        if vantage.place.access == "hosting":
            continue  # data centers live in a cut
        if vantage.status is PresenceStatus.AWAITED:
            missing[vantage.place.country].append(vantage)
        elif vantage.resumed_us >= since_us:
            returned[vantage.place.country].append(vantage)
    late: list[VantagePresence] = []
    for country, members in missing.items():
        others_us = _find_return(country, missing, returned, since_us, now_us)
        late += _Wait(members, returned[country], since_us, others_us, now_us).list_late()
    return late


def _find_return(
    country: str,
    missing: Mapping[str, Sequence[VantagePresence]],
    returned: Mapping[str, Sequence[VantagePresence]],
    since_us: int,
    now_us: int,
) -> int:
    """Find when most of the other countries were back: now, if they are not; at once, if none."""
    times_us = [v.resumed_us for other, back in returned.items() if other != country for v in back]
    times_us += [now_us for other, away in missing.items() if other != country for _ in away]
    return quantile(times_us, _BACK_SHARE) if times_us else since_us
