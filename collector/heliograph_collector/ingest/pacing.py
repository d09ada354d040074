"""Pacing of routine tests: how often connected agents test, by crowd and by load.

Agents test all the more seldom, the more of them are in one place, and the further the judge is
behind. They are never asked to leave out results that show nothing new: failures alone would look
like a block. Longer intervals leave a fair sample, and after a first failure an agent tests again
within a minute as always. Anchors, early runs and controls keep their times.

Theory of operation. A place (country, network, region) has a crowding: by how much it has more
voting vantages than it needs, in its country and in its network and region. Without load, intervals
grow by the crowding. When results wait, `LoadShare` says which share of the routine tests the
collector can take, and `allot_intervals` slows the most crowded places first, until the sum fits.
Small networks keep the intervals of the plan longest. A session learns of it with a
heartbeat (`build_advice`), which spreads the change over some seconds.
"""

import logging
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from math import exp2
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Gauge

from heliograph.clock import Clock
from heliograph.plan import MAX_INTERVAL_PERCENT
from heliograph.units import MINUTE_US, SECOND_US
from heliograph.v1 import intake_pb2 as pb
from heliograph_collector.ingest.presence import AgentConnection, ConnectionTable
from heliograph_collector.model.records import AgentRole
from heliograph_collector.model.seniority import find_seniority
from heliograph_collector.model.thresholds import THRESHOLDS

# Vantages that suffice at the plan's intervals: of 2,000, one makes a light check of each messenger
# every 75 ms. Assumed.
FULL_RATE_COUNTRY = 2_000
FULL_RATE_PART = 200  # the same for one network of it, and for one region
MAX_LOAD_FACTOR = 8.0  # by load alone: a light round then comes in 20 min. Assumed.
LONG_WAIT_US = 15 * SECOND_US  # of a result for its verdict; assumed
FINE_WAIT_US = 5 * SECOND_US
_HEADROOM = 0.9  # of what the judge did in the last step: the rest makes up for what waits
_LEAST_FACTOR = 0.4  # of a step: a pause of the judge is no evidence on its rate
_MORE = 1.05  # factor of a step upward …
_FAR_MORE = 2.0  # … and of one where the judge did more than so many times what comes now; assumed
STEP_US = 45 * SECOND_US  # until a step shows: a heartbeat of 15 s, and a batch of 30 s under way
_SEARCH_BITS = 30.0  # of the factor that is searched for, to both sides of 1
_SEARCH_STEPS = 24
TELL_AGAIN_US = 5 * MINUTE_US  # an agent forgets it after 15 min

log = logging.getLogger("heliograph.intake")


class CrowdPlace(NamedTuple):
    """Country, network and region in which agents are counted as one crowd."""

    country: str
    asn: int
    region: str


class JudgeLoad(NamedTuple):
    """Journal positions, and how long the oldest result has waited."""

    arrived: int
    judged: int
    lag_us: int


@dataclass(slots=True)
class LoadShare:
    """Decide which share of the routine tests is asked for. Pure.

    It goes by the time for which what arrives now will wait. The age of the oldest result says what
    came in minutes ago, and still grows after enough is asked for.

    Where people are back from a cut, what they measured in it arrives within minutes, and the judge
    falls behind for as long. Fresh tests matter most then, so the share is back within a few steps.
    """

    share: float = 1.0
    _last: JudgeLoad | None = None  # at the last step
    _stepped_us: int = 0
    _wait_us: float = 0.0
    _judge_rate: float = 0.0  # positions a microsecond, in the last step in which results waited

    def update(self, load: JudgeLoad, now_us: int) -> float:
        """Take a step at most each STEP_US."""
        last = self._last
        passed_us = now_us - self._stepped_us
        if last is not None and passed_us < STEP_US:
            return self.share
        before_us = self._wait_us
        self._last = load
        self._stepped_us = now_us
        if last is not None:
            judged = max(1, load.judged - last.judged)
            arrived = max(1, load.arrived - last.arrived)
            waiting = load.arrived - load.judged
            is_behind = load.lag_us > FINE_WAIT_US  # one block under way is none
            if is_behind:
                self._judge_rate = judged / passed_us
            self._wait_us = waiting * passed_us / judged if is_behind else 0.0
            if self._wait_us > LONG_WAIT_US and self._wait_us > before_us:
                self._ask_less(judged / arrived)
            elif self._wait_us < FINE_WAIT_US:
                self._ask_more(arrived / passed_us)
        return self.share

    def _ask_less(self, judged_share: float) -> None:
        factor = min(max(_HEADROOM * judged_share, _LEAST_FACTOR), _HEADROOM)
        self.share = max(1 / MAX_LOAD_FACTOR, self.share * factor)

    def _ask_more(self, arrival_rate: float) -> None:
        has_spare = _HEADROOM * self._judge_rate >= _FAR_MORE * arrival_rate
        self.share = min(1.0, self.share * (_FAR_MORE if has_spare else _MORE))


def measure_crowding(votes: Mapping[CrowdPlace, int]) -> dict[CrowdPlace, float]:
    """Return the ratio of vantages to the needed number for each place; 1 is enough."""
    countries = Counter[str]()
    networks = Counter[CrowdPlace]()
    regions = Counter[CrowdPlace]()
    for crowd_place, count in votes.items():
        countries[crowd_place.country] += count
        networks[crowd_place._replace(region="")] += count
        regions[crowd_place._replace(asn=0)] += count
    crowding = {}
    for crowd_place in votes:
        parts = [networks[crowd_place._replace(region="")]]
        parts += [regions[crowd_place._replace(asn=0)]] if crowd_place.region else []
        crowding[crowd_place] = min(
            countries[crowd_place.country] / FULL_RATE_COUNTRY, min(parts) / FULL_RATE_PART
        )
    return crowding


def allot_intervals(
    votes: Mapping[CrowdPlace, int], share: float, open_countries: Collection[str]
) -> dict[CrowdPlace, int]:
    """Return by place the percentage of the plan's intervals. Pure.

    Args:
        votes: Vantages with a vote.
        share: Of the routine tests that a collector without load would ask for.
        open_countries: Where an incident is open, and a crowd tests as often as anybody.
    """
    crowding = measure_crowding(votes)
    crowd_factors = {
        crowd_place: 1.0
        if crowd_place.country in open_countries
        else min(max(1.0, crowding[crowd_place]), MAX_INTERVAL_PERCENT / 100)
        for crowd_place in votes
    }

    def factor_of(crowd_place: CrowdPlace, bits: float) -> float:
        return max(
            crowd_factors[crowd_place], min(crowding[crowd_place] * exp2(bits), MAX_LOAD_FACTOR)
        )

    bits = -_SEARCH_BITS
    if share < 1:
        wanted_tests = share * sum(
            count / crowd_factors[crowd_place] for crowd_place, count in votes.items()
        )
        span = 2 * _SEARCH_BITS
        for _ in range(_SEARCH_STEPS):
            span /= 2
            tests = sum(
                count / factor_of(crowd_place, bits + span) for crowd_place, count in votes.items()
            )
            bits += span if tests > wanted_tests else 0.0
        bits += span
    return {crowd_place: round(100 * factor_of(crowd_place, bits)) for crowd_place in votes}


@dataclass(slots=True)
class Pacing:
    """Apply both to the connected volunteers; `update` is called every few seconds."""

    clock: Clock
    registry: CollectorRegistry
    load: LoadShare = field(default_factory=LoadShare)
    _gauge: Gauge = field(init=False)

    def __post_init__(self) -> None:
        self._gauge = Gauge(
            "heliograph_asked_share",
            "Share of the routine tests that agents are asked for; below 1 judging is behind.",
            registry=self.registry,
        )
        self._gauge.set(1)

    def update(
        self, connections: ConnectionTable, load: JudgeLoad, open_countries: Collection[str]
    ) -> None:
        """Set how often each connected volunteer is to test."""
        before = self.load.share
        share = self.load.update(load, self.clock.monotonic_us())
        self._gauge.set(share)
        _log_share(before, share, load.lag_us)
        now_us = self.clock.wall_us()
        volunteers = [c for c in connections if c.agent.result_role != AgentRole.CONTROL]
        voting = {
            c: _find_place(c)
            for c in volunteers
            if find_seniority(c.agent.created_s * SECOND_US, now_us).has_vote
        }
        percents = allot_intervals(_count_votes(voting), share, open_countries)
        voiceless = 100 if share >= 1 else round(100 * MAX_LOAD_FACTOR)
        for connection in volunteers:
            crowd_place = voting.get(connection)
            connection.interval_percent = (
                voiceless if crowd_place is None else percents[crowd_place]
            )


def build_advice(connection: AgentConnection, now_us: int) -> pb.Advice | None:
    """Build the advice that an agent needs now, None for none."""
    percent = connection.interval_percent
    told_percent = connection.told_percent
    is_changed = percent != told_percent and (
        percent == 100 or abs(percent - told_percent) * 10 >= told_percent
    )
    is_old = percent > 100 and now_us - connection.told_us >= TELL_AGAIN_US
    if not percent or not (is_changed or is_old):
        return None
    connection.told_percent = percent
    connection.told_us = now_us
    return pb.Advice(interval_percent=percent)


def _find_place(connection: AgentConnection) -> CrowdPlace:
    vantage = connection.vantage
    return CrowdPlace(vantage.country, vantage.asn, vantage.region)


def _count_votes(voting: Mapping[AgentConnection, CrowdPlace]) -> Counter[CrowdPlace]:
    """Count vantages by place, of one line no more than vote."""
    lines = Counter((crowd_place, c.location.prefix) for c, crowd_place in voting.items())
    votes = Counter[CrowdPlace]()
    for (crowd_place, _), count in lines.items():
        votes[crowd_place] += min(count, THRESHOLDS.nat_votes)
    return votes


def _log_share(before: float, share: float, lag_us: int) -> None:
    if before == 1 > share:
        log.warning(
            "Judging is %d s behind: agents are asked to test more seldom, crowded places first.",
            lag_us // SECOND_US,
        )
    elif before < 1 == share:
        log.info("Judging keeps up: agents are asked for all routine tests again.")
