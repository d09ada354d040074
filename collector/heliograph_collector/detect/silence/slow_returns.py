"""Find vantages that may still be on the way back after a collector start.

Theory of operation. A vantage that is not back from a start when its grace is over has not been
seen to fall silent. Most agents are back within a minute, but those of one country may dial for
long: their way is slow, or each was told to come later. They return one after another. In a cut
nobody returns. So the missing of a country stay awaited, which is unknown, while returns are a
matter of chance:

- A cell has ceased to return when chance would hardly leave the time since its last return empty.
  At one pace for all of the country, each of its returns falls into the earlier part of the time
  that its members waited with a chance that is the share of this part. Where others of the country
  are back within a minute, that is a matter of seconds; where they come one by one, of minutes.
- The few who are exempt from a cut are back as soon as other countries are. Where nobody came later
  the pace is unknown, and a slow one is assumed.
- A network may be slow alone, as one whose resolver fails. So where most missing of a cell are of
  networks that miss a fifth of their own, it must have ceased by the pace of these alone as well.
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
# An agent that the collector defers waits for an hour at most (agent: MAX_RETRY_AFTER_S). At that
# pace so many are expected in a time that is empty enough where nobody has come late, or it takes
# the time that follows at most; and so many where some have. Assumed.
_LATEST_S = 3_600.0
_RETURNS = 2.5
_LONG_S = 480.0
_LATE_RETURNS = 6.0
_BACK_SHARE = 0.9  # of the other countries: they are back; assumed


@dataclass(slots=True)
class _Network:
    """The vantages of one network that were awaited since a start."""

    missing: int = 0
    returned: int = 0
    waited_us: int = 0  # by those who returned, together
    are_late: bool = False  # some of them returned after the other countries

    @property
    def may_be_slow(self) -> bool:
        """Return whether too many are missing for other networks to show their pace."""
        least = THRESHOLDS.alive_share * (self.missing + self.returned)
        return self.missing >= max(THRESHOLDS.burst, least)


@dataclass(frozen=True, slots=True)
class _Wait:
    """One country's vantages awaited since a start, and their pace of returns."""

    missing: Sequence[VantagePresence]
    returned: Sequence[VantagePresence]
    since_us: int
    others_us: int  # when the other countries were back
    now_us: int

    def list_late(self) -> list[VantagePresence]:
        """List the missing who are in no cell that has ceased to return."""
        networks = self._count_networks()
        missing = self._count_missing()
        tested = {c for c, counts in missing.items() if counts.total() >= THRESHOLDS.burst}
        tested |= {cell for cell in missing if cell.is_national}
        last_us = self._list_last_returns(tested)
        ceased: set[Scope] = set()
        for cell, at_us in last_us.items():
            counts = missing[cell]
            slow = _select_slow(counts, networks)
            own = slow, sum(counts[asn] for asn in slow)
            chance = _CHANCE / (1 if cell.is_national else len(tested))
            if all(
                self._has_ceased(count, [networks[asn] for asn in pace], at_us, chance)
                for pace, count in ((networks, counts.total()), own)
                if pace
            ):
                ceased.add(cell)
        return [v for v in self.missing if ceased.isdisjoint(scopes_of(v.place))]

    def _count_networks(self) -> dict[int, _Network]:
        networks: defaultdict[int, _Network] = defaultdict(_Network)
        for vantage in self.missing:
            networks[vantage.place.asn].missing += 1
        for vantage in self.returned:
            network = networks[vantage.place.asn]
            network.returned += 1
            network.waited_us += vantage.resumed_us - self.since_us
            network.are_late |= vantage.resumed_us > self.others_us
        return networks

    def _count_missing(self) -> dict[Scope, Counter[int]]:
        """Count the missing of each cell by network."""
        missing: defaultdict[Scope, Counter[int]] = defaultdict(Counter)
        for vantage in self.missing:
            for cell in scopes_of(vantage.place):
                missing[cell][vantage.place.asn] += 1
        return missing

    def _list_last_returns(self, cells: Collection[Scope]) -> dict[Scope, int]:
        last_us = dict.fromkeys(cells, self.since_us)
        for vantage in self.returned:
            for cell in scopes_of(vantage.place):
                if cell in last_us:
                    last_us[cell] = max(last_us[cell], vantage.resumed_us)
        return last_us

    def _has_ceased(
        self, count: int, networks: Sequence[_Network], last_us: int, chance: float
    ) -> bool:
        """Return whether chance hardly leaves a time without a return of so many missing.

        Args:
            count: The missing.
            networks: Those by whose pace they return.
            last_us: The last return.
            chance: The least chance of such a time that is no cut.
        """
        empty_s = self._wait_s(last_us)
        empty_total_s = count * empty_s
        returned = sum(network.returned for network in networks)
        are_late = any(network.are_late for network in networks)
        if are_late and empty_total_s >= _LATE_RETURNS * _LATEST_S:
            return True
        # Who is exempt was back with the other countries, and shows no pace.
        alone_s = min(empty_s, self._wait_s(self.others_us)) if returned else empty_s
        if not are_late and (count * alone_s >= _RETURNS * _LATEST_S or alone_s >= _LONG_S):
            return True
        waited_s = sum(network.missing for network in networks) * self._wait_s(self.since_us)
        waited_s += sum(network.waited_us for network in networks) / SECOND_US
        earlier = 1.0 - empty_total_s / max(waited_s, empty_total_s)
        return returned > 0 and earlier**returned <= chance

    def _wait_s(self, since_us: int) -> float:
        return (self.now_us - since_us) / SECOND_US


def _select_slow(counts: Counter[int], networks: Mapping[int, _Network]) -> list[int]:
    """Select the networks slow by themselves that hold most of a cell's missing.

    Args:
        counts: The missing of the cell by network.
        networks: Those of the country.
    """
    slow = [asn for asn in counts if networks[asn].may_be_slow]
    return slow if 2 * sum(counts[asn] for asn in slow) > counts.total() else []


def list_late(
    affected: Collection[VantagePresence], since_us: int, now_us: int
) -> list[VantagePresence]:
    """List vantages that are not back from a start and may only be late.

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
    """Find when most vantages of the other countries were back.

    It is `now_us` if they are not back, and `since_us` if there are none.
    """
    times_us = [v.resumed_us for other, back in returned.items() if other != country for v in back]
    times_us += [now_us for other, away in missing.items() if other != country for _ in away]
    return quantile(times_us, _BACK_SHARE) if times_us else since_us
