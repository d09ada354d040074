"""Track a fault of the collector and the vantages whose silence it explains."""

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from heliograph.units import SECOND_US
from heliograph_collector.detect.silence.detector_state import CoverageGap
from heliograph_collector.detect.silence.presence_tracker import PresenceTracker
from heliograph_collector.detect.silence.slow_returns import list_late
from heliograph_collector.detect.silence.vantage_presence import (
    PresenceStatus,
    VantagePresence,
    affects,
)
from heliograph_collector.model.signals import Fault, FaultReason, VantageLoss
from heliograph_collector.model.thresholds import Thresholds

_PUBLIC_REASONS = {
    FaultReason.TAKEOVER: FaultReason.RESTART,
    FaultReason.HOST: FaultReason.STALLED,
}
_WITHOUT_GRACE = (FaultReason.TAKEOVER, FaultReason.STALLED, FaultReason.HOST)
_REVIEW_US = 10 * SECOND_US  # hosts have reported their sessions by then; assumed
_LATE_US = 30 * SECOND_US  # between two looks at the late vantages; assumed
_AWAITED_SHARE = 0.2  # of a country, whose silence may hide a cut of a region; assumed


@dataclass(slots=True)
class FaultPeriod:
    """A fault of the collector and the vantages that it affected."""

    fault: Fault
    until_us: int
    affected: list[VantagePresence]
    late: list[VantagePresence] = field(default_factory=list)  # as seen last, after it was settled

    @property
    def is_takeover(self) -> bool:
        return self.fault.why is FaultReason.TAKEOVER

    def explains(self, signal: VantageLoss, vantage: VantagePresence) -> bool:
        """Return whether the fault explains a loss.

        A stall explains only the loss of a vantage that was not heard after it. A takeover explains
        none: a host watched that session all the time, and reported its loss.
        """
        if self.is_takeover:
            return False
        is_heard_since = (
            self.fault.why is FaultReason.STALLED and signal.heard_us > self.fault.until_us
        )
        is_in_time = signal.at_us <= self.until_us and not is_heard_since
        return is_in_time and affects(self.fault, vantage)

    def is_continued_by(self, fault: Fault) -> bool:
        """Return whether this is the same fault, reported again because it continues."""
        return replace(self.fault, until_us=fault.until_us) == fault

    def defer(self, presence: PresenceTracker, silences: deque[VantagePresence]) -> None:
        """Defer silences since a heartbeat before the fault, as it may explain them."""
        since_us = self.fault.at_us - int(presence.limits.beat_s * SECOND_US)
        for vantage in list(silences):
            is_explained = vantage.heard_us >= since_us and affects(self.fault, vantage)
            if is_explained and vantage.is_silent:
                presence.defer(vantage)
                self.affected.append(vantage)
                silences.remove(vantage)

    def hand_over(self, periods: Iterable["FaultPeriod"]) -> bool:
        """Let a later start await who is missing; return whether there was one."""
        is_start = self.fault.is_start
        later = [p for p in periods if p.fault.is_start and p.fault.at_us > self.fault.at_us]
        if is_start and later:
            later[-1].affected += self.affected
            self.affected = []
        return is_start and bool(later)

    def list_settled(self, now_us: int) -> list[VantagePresence]:
        """List affected vantages that are known to be back or missing, without late ones."""
        affected = list(dict.fromkeys(self.affected))
        is_restart = self.fault.why is FaultReason.RESTART
        self.late = list_late(affected, self.fault.until_us, now_us) if is_restart else []
        late = set(self.late)
        is_first = now_us <= self.until_us
        return [v for v in affected if v not in late and (is_first or not v.deferred)]

    def next_look_us(self, now_us: int) -> int | None:
        """Return when to see who is late still; None if nobody is."""
        return now_us + _LATE_US if self.late else None

    def list_reviews_us(self, fault: Fault) -> range:
        """List the times after a takeover to review countries with many awaited."""
        if fault.why is not FaultReason.TAKEOVER:
            return range(0)
        return range(fault.until_us + _REVIEW_US, self.until_us, _REVIEW_US)

    def review_gaps(self, gaps: Sequence[CoverageGap], now_us: int) -> list[CoverageGap]:
        """Return the gaps, updated for countries where many are awaited after a start.

        After a takeover their agents may be at a host that died with the leader; after a restart
        they may be late. Each gap lasts until the missing are known, or ends now if they have come
        back.
        """
        if not self.fault.is_start:
            return list(gaps)
        until_us = self.next_look_us(now_us) or self.until_us
        why = FaultReason.RESTART.value
        open_gaps = {
            country: CoverageGap(self.fault.at_us, until_us, why, country)
            for country in self._list_unseen()
        }
        reviewed = []
        for gap in gaps:
            is_open = bool(gap.country) and (gap.since_us, gap.why) == (self.fault.at_us, why)
            if is_open and gap.until_us >= now_us:
                reviewed.append(open_gaps.pop(gap.country, replace(gap, until_us=now_us)))
            else:
                reviewed.append(gap)
        return [*reviewed, *open_gaps.values()]

    def _list_unseen(self) -> list[str]:
        known = Counter(v.place.country for v in self.affected)
        unseen = self.late
        if self.is_takeover:
            unseen = [v for v in self.affected if v.status is PresenceStatus.AWAITED]
        awaited = Counter(v.place.country for v in unseen)
        return sorted(c for c, count in awaited.items() if count >= _AWAITED_SHARE * known[c])


def select_pending(
    periods: Iterable[FaultPeriod], timer_targets: Iterable[object], since_us: int
) -> list[FaultPeriod]:
    """Select fault periods that a fault since `since_us` may continue or a timer settles."""
    due = {id(target) for target in timer_targets}
    return [p for p in periods if p.until_us >= since_us or id(p) in due]


def _build_gap(fault: Fault, until_us: int) -> CoverageGap:
    """Build the coverage gap of a fault that ends, with its grace, at `until_us`.

    After a stall or a takeover, who is missing is found without waiting for the grace, but for
    agents of hosts that died too (`review_gaps`).
    """
    why = _PUBLIC_REASONS.get(fault.why, fault.why)
    end_us = fault.until_us if fault.why in _WITHOUT_GRACE else until_us
    return CoverageGap(fault.at_us, end_us, why.value, fault.country)


def put_gap(gaps: Sequence[CoverageGap], fault: Fault, until_us: int) -> list[CoverageGap]:
    """Return the gaps with a fault's gap added, or with a new end where it continues."""
    gap = _build_gap(fault, until_us)
    updated = [gap if replace(other, until_us=gap.until_us) == gap else other for other in gaps]
    return updated if gap in updated else [*updated, gap]


def compute_grace_us(fault: Fault, limits: Thresholds) -> int:
    """Return the time that agents have to reconnect after a fault, in microseconds.

    A stall shorter than two heartbeats ends no session: an agent gives up after three heartbeats
    without a message, and it heard one at most a heartbeat before the stall. After a longer stall
    agents have as long to return as they tried in vain. A stall that cost more than its length
    would let an attacker who causes short ones blind the detector for good.
    """
    grace_us = int(limits.grace_s * SECOND_US)
    if fault.why is not FaultReason.STALLED:
        return grace_us
    stalled_us = fault.until_us - fault.at_us
    return min(grace_us, stalled_us) if stalled_us >= 2 * limits.beat_s * SECOND_US else 0
