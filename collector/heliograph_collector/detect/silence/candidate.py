"""Outage candidate: a burst of silences that chance does not explain.

Theory of operation. A candidate opens when `find_burst` finds a burst, and it is pending until:

- settled: after `hold_s` (later in a part of the country, or where sessions may have been ended to
  begin again) `confirm_share` of the cell's votes are still silent. Its outage is confirmed, merged
  with an outage that it extends, or held because it looks like a power failure. After `give_up_s` a
  cell that lacks only votes settles too: its outage stays suspected.
- dropped: after `give_up_s` no cell stands out, or sessions flap. Its outage is withdrawn.
- gated: after `give_up_s`, `transit_s` where many live on, a fault of the collector explains it:
  others fall silent too, or the same carrier does. It is withdrawn; the time is a coverage gap.

While it is pending, a cell of which `suspect_share` is silent is suspected, if it extends none.
candidate_evaluation.py decides which of these it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from heliograph.units import SECOND_US
from heliograph_collector.detect.silence import (
    country_comparison,
)
from heliograph_collector.detect.silence.burst_test import (
    find_burst,
    list_holds,
)
from heliograph_collector.detect.silence.outage import OutageEpisode
from heliograph_collector.detect.silence.presence_tracker import PresenceTracker
from heliograph_collector.detect.silence.vantage_presence import VantagePresence
from heliograph_collector.incidents.incident import (
    IncidentState,
)
from heliograph_collector.model.signals import OfflineReport
from heliograph_collector.model.thresholds import Thresholds


class CandidateOutcome(Enum):
    """The result of one evaluation; all but PENDING end the candidate."""

    PENDING = 1
    SETTLED = 2
    DROPPED = 3
    GATED = 4  # explained by a confounder


@dataclass(slots=True)
class OutageCandidate:
    """A candidate of one country; silences since `from_us` belong to it."""

    country: str
    found_us: int  # time of the burst test
    burst_us: int  # first silence of the burst
    from_us: int
    window_s: float
    dark: OutageEpisode | None = None  # its outage, published unless it extends another
    gated: bool = False
    has_closed: bool = False  # a connection of it was closed
    witnesses: country_comparison.CountryComparison | None = None  # at the last evaluation
    replays: dict[str, OfflineReport] = field(default_factory=dict)  # while it is pending

    @classmethod
    def from_burst(
        cls,
        presence: PresenceTracker,
        country: str,
        silences: Sequence[VantagePresence],
        now_us: int,
    ) -> "OutageCandidate | None":
        """Open a candidate; return None if chance explains the silences."""
        burst = find_burst(presence, country, silences, now_us)
        if burst is None:
            return None
        return cls(country, now_us, burst.first_us, burst.first_us, burst.window_s)

    def hold_us(self, limits: Thresholds) -> int:
        """Return the hold's start: the burst, or at most a heartbeat before detection."""
        return max(self.burst_us, self.found_us - int(limits.beat_s * SECOND_US))

    def deadlines(self, limits: Thresholds) -> tuple[int, ...]:
        """Return the times of evaluations without a new signal."""
        holds = list_holds(limits, may_have_ended=self.has_closed and not self.gated)
        dues = [self.hold_us(limits) + int(s * SECOND_US) for s in holds]
        return (*dues, self.found_us + int(limits.give_up_s * SECOND_US))

    def is_late(self, now_us: int, limits: Thresholds) -> bool:
        return now_us - self.found_us >= limits.give_up_s * SECOND_US

    def withdraw(self, now_us: int) -> CandidateOutcome:
        if self.dark is not None:
            self.dark.state = IncidentState.WITHDRAWN
            self.dark.closed_us = now_us
        return CandidateOutcome.GATED if self.gated else CandidateOutcome.DROPPED
