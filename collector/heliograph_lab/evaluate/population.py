"""Population: signals and votes of simulated vantages in virtual time.

The model is that of the published replay: heartbeats of 15 s; a loss after 2.5 heartbeats;
log-normal downtimes with a median of 3 minutes and sigma 1.5; at most a minute between two
attempts. The churn of vantages is independent. Seconds count from the start of the replay.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from random import Random
from typing import Literal

from heliograph.units import DAY_US, SECOND_US
from heliograph_collector.model.signals import (
    Goodbye,
    OfflineReport,
    ServiceVote,
    VantageArrival,
    VantageLocation,
    VantageLoss,
    VantageRef,
    VoteValue,
    sort_signals,
)
from heliograph_collector.sources.replay import Signal

# from the published replay, see above
BEAT_S = 15.0  # interval of heartbeats
LOST_S = 37.5  # from the last heartbeat to the loss
RETRY_S = 60.0
SILENT_S = 45.0  # until an agent notices: three heartbeats without an answer
WORD_S = 30.0  # and until it has sent its word by another way
DOWN_S = 180.0
DOWN_SIGMA = 1.5
ESTABLISHED_US = 60 * DAY_US  # age of every vantage at the start; assumed
REPORTING_SHARE = 0.9  # of returned vantages send an offline report; assumed
UNKNOWN_SHARE = 0.02  # of verdicts are unknown; assumed
# operators of a drawn country
MOBILE = (101, 102, 103)
FIXED = (201, 202, 203)
OPERATORS = (*((asn, "mobile") for asn in MOBILE), *((asn, "fixed") for asn in FIXED))
SilenceCause = Literal["own", "killed", "cut", "power", "blip", "away", "address"]


@dataclass(frozen=True, slots=True)
class SilentSpan:
    """A silent time of a vantage.

    own: churn; killed: its program ended, so that its kernel closed the session; blip: its path;
    away: goodbye; address: ours is blocked, and its line works.
    """

    since_s: float
    until_s: float
    how: SilenceCause
    other_way: bool = False  # of `address`: it posts what it measures meanwhile

    @property
    def lasts_s(self) -> float:
        return self.until_s - self.since_s


@dataclass(frozen=True, slots=True)
class Interference:
    """A time in which a share of one vantage's tests of a service has this value."""

    since_s: float
    until_s: float
    service: str
    value: VoteValue
    layer: str
    method: str
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class ServiceSchedule:
    """A service that vantages test every `every_s` seconds."""

    name: str
    every_s: float = 60.0
    noise: float = 0.03  # share of tests that fail by themselves; assumed
    since_s: float = 0.0
    until_s: float = math.inf


@dataclass(slots=True)
class SimulatedVantage:
    """One vantage and the events that affect it."""

    ref: VantageRef
    churn: float = 4.0  # silences a day
    silences: list[SilentSpan] = field(default_factory=list)
    interferences: list[Interference] = field(default_factory=list)
    moved: tuple[float, str] | None = None  # (when, prefix afterwards)

    @property
    def location(self) -> VantageLocation:
        return self.ref.place

    def ref_at(self, second: float) -> VantageRef:
        """Return the vantage as the collector sees it at a second of the replay."""
        if self.moved is None or second < self.moved[0]:
            return self.ref
        return replace(self.ref, prefix=self.moved[1])


@dataclass(slots=True)
class ReplayClock:
    """A converter from seconds of the replay to microseconds UTC."""

    since_us: int

    def to_us(self, second: float) -> int:
        return self.since_us + round(second * SECOND_US)


def vantages_at(
    location: VantageLocation,
    count: int,
    first_us: int,
    *,
    carrier: str = "session",
    prefix: str = "",
) -> list[VantageRef]:
    """Create vantages at a location, each in its own network unless `prefix` is given."""
    name = f"{location.country}{location.region}{location.asn}{location.access}{carrier}{prefix}"
    return [
        VantageRef(f"{name}-{i}", prefix or f"{name}-{i}", location, first_us, carrier)
        for i in range(count)
    ]


def vantages_in_country(
    code: str, regions: Sequence[str], count: int, first_us: int
) -> list[VantageRef]:
    """Create vantages of three mobile and three fixed operators in every region."""
    locations = [
        VantageLocation(code, r, asn, access) for asn, access in OPERATORS for r in regions
    ]
    return spread_vantages(sorted(locations, key=_order_locations), count, first_us)


def _order_locations(location: VantageLocation) -> tuple[int, str, int]:
    """Order locations by operator, mobile or fixed, and then by region."""
    return location.asn % 100, location.region, location.asn


def spread_vantages(
    locations: Sequence[VantageLocation], count: int, first_us: int
) -> list[VantageRef]:
    """Create `count` vantages, spread evenly over the locations."""
    each, more = divmod(count, len(locations))
    return [
        w
        for i, location in enumerate(locations)
        for w in vantages_at(location, each + (i < more), first_us)
    ]


def draw_churn(rng: Random, until_s: float, per_day: float) -> list[SilentSpan]:
    """Draw the silences of a vantage's churn."""
    spans = []
    second = 0.0
    while per_day > 0:
        second += rng.expovariate(per_day / 86_400)
        if second >= until_s:
            break
        back_s = second + math.exp(rng.gauss(math.log(DOWN_S), DOWN_SIGMA))
        spans.append(SilentSpan(second, back_s, "own"))
        second = back_s
    return spans


def presence_signals(
    vantages: Iterable[SimulatedVantage], rng: Random, until_s: float, clock: ReplayClock
) -> list[Signal]:
    """Return all presence signals, in order of time."""
    signals: list[Signal] = []
    for vantage in vantages:
        signals += _vantage_signals(vantage, rng, until_s, clock)
    return sort_signals(signals)


def merge_silences(vantage: SimulatedVantage) -> list[list[SilentSpan]]:
    """Group silent spans that overlap or touch within a second."""
    groups: list[list[SilentSpan]] = []
    latest_s = -1.0
    for span in sorted(vantage.silences, key=attrgetter("since_s", "until_s")):
        if groups and span.since_s <= latest_s + 1:
            groups[-1].append(span)
        else:
            groups.append([span])
            latest_s = span.until_s
        latest_s = max(latest_s, span.until_s)
    return groups


def _vantage_signals(
    vantage: SimulatedVantage, rng: Random, until_s: float, clock: ReplayClock
) -> list[Signal]:
    signals: list[Signal] = [VantageArrival(clock.to_us(0), vantage.ref)]
    pseudonym = vantage.ref.nym
    for group in merge_silences(vantage):
        since_s = group[0].since_s
        is_blocked = is_only_blocked(group)
        last = max(group, key=attrgetter("until_s"))
        heard_s = max(0.0, since_s - rng.uniform(0, BEAT_S))
        back_s = last.until_s + _reconnect_delay(last.how, rng)
        if group[0].how == "away":
            signals.append(Goodbye(clock.to_us(since_s), pseudonym))
        elif back_s > heard_s + LOST_S and heard_s + LOST_S < until_s:
            closed_us = clock.to_us(since_s) if group[0].how == "killed" else 0
            lost_us = clock.to_us(heard_s + LOST_S)
            heard_us = clock.to_us(heard_s)
            signals.append(VantageLoss(lost_us, pseudonym, heard_us, closed_us=closed_us))
        if is_blocked and group[0].other_way and back_s > heard_s + LOST_S:
            signals += _post_word(vantage, heard_s, since_s, rng, clock)
        if since_s > 0 and back_s < until_s:
            signals.append(VantageArrival(clock.to_us(back_s), vantage.ref_at(back_s)))
            signals += _offline_report(group, pseudonym, heard_s, back_s, rng, clock)
    return [s for s in signals if s.at_us <= clock.to_us(until_s)]


def is_only_blocked(group: Sequence[SilentSpan]) -> bool:
    """Return whether a group's vantages have lines, and cannot reach our address."""
    return all(span.how == "address" for span in group)


def _post_word(
    vantage: SimulatedVantage, heard_s: float, since_s: float, rng: Random, clock: ReplayClock
) -> list[Signal]:
    """Build the report by post of a vantage that cannot reach us, with its arrival."""
    told_us = clock.to_us(heard_s + SILENT_S + rng.uniform(1, WORD_S))
    heard_us = clock.to_us(heard_s)
    name = vantage.ref.nym
    report = OfflineReport(
        told_us, name, heard_us, told_us, alive=True, online=True, carrier="post",
        measured_us=told_us - SECOND_US,
    )  # fmt: skip
    return [report, VantageArrival(told_us, replace(vantage.ref_at(since_s), carrier="post"))]


def _reconnect_delay(cause: SilenceCause, rng: Random) -> float:
    if cause == "power":
        return rng.uniform(20, 180)  # start of the machine; assumed
    return rng.uniform(0, RETRY_S if cause in ("cut", "blip", "address") else 3.0)


def _offline_report(
    group: Sequence[SilentSpan],
    pseudonym: str,
    heard_s: float,
    back_s: float,
    rng: Random,
    clock: ReplayClock,
) -> list[OfflineReport]:
    """Build the offline report of a returned vantage; empty if it sends none."""
    longest = max(group, key=attrgetter("lasts_s"))
    if longest.how not in ("cut", "power", "address") or rng.random() >= REPORTING_SHARE:
        return []
    reported_us = clock.to_us(back_s + 2)
    if longest.how == "address":
        looked_us = clock.to_us(min(heard_s + SILENT_S, back_s))
        return [
            OfflineReport(
                reported_us, pseudonym, clock.to_us(heard_s), clock.to_us(back_s), alive=True,
                online=True, measured_us=looked_us,
            )
        ]  # fmt: skip
    return [
        OfflineReport(
            reported_us, pseudonym, clock.to_us(heard_s), clock.to_us(back_s), longest.how == "cut"
        )
    ]


def draw_votes(
    vantages: Iterable[SimulatedVantage],
    services: Iterable[ServiceSchedule],
    rng: Random,
    until_s: float,
    clock: ReplayClock,
) -> list[ServiceVote]:
    """Draw votes of every vantage on every service, in order of time."""
    tested = list(services)
    votes: list[ServiceVote] = []
    for vantage in vantages if tested else ():
        groups = [
            (g[0].since_s, max(s.until_s for s in g))
            for g in merge_silences(vantage)
            if not is_only_blocked(g)  # it measures on
        ]
        for service in tested:
            votes += _vantage_votes(vantage, service, groups, rng, until_s, clock)
    return sorted(votes, key=attrgetter("at_us", "witness.nym", "service"))


def _vantage_votes(
    vantage: SimulatedVantage,
    service: ServiceSchedule,
    silent_spans: Sequence[tuple[float, float]],
    rng: Random,
    until_s: float,
    clock: ReplayClock,
) -> list[ServiceVote]:
    votes = []
    interferences = [h for h in vantage.interferences if h.service == service.name]
    second = service.since_s + rng.uniform(0, service.every_s)
    dark_spans = iter([*silent_spans, (math.inf, math.inf)])
    dark_span = next(dark_spans)
    while second < min(until_s, service.until_s):
        while dark_span[1] <= second:
            dark_span = next(dark_spans)
        if second < dark_span[0]:
            votes.append(
                _draw_vote(vantage.ref_at(second), service, interferences, second, rng, clock)
            )
        second += service.every_s
    return votes


def _draw_vote(
    vantage: VantageRef,
    service: ServiceSchedule,
    interferences: Sequence[Interference],
    second: float,
    rng: Random,
    clock: ReplayClock,
) -> ServiceVote:
    chance = rng.random()
    vote = ServiceVote(clock.to_us(second), vantage, service.name, VoteValue.GOOD)
    for interference in interferences:
        is_now = interference.since_s <= second < interference.until_s
        if is_now and rng.random() < interference.share:
            value = interference.value if chance >= UNKNOWN_SHARE else VoteValue.UNKNOWN
            return replace(
                vote, standing=value, layer=interference.layer, method=interference.method
            )
    if chance < UNKNOWN_SHARE:
        return replace(vote, standing=VoteValue.UNKNOWN)
    if chance < UNKNOWN_SHARE + service.noise:
        return replace(vote, standing=VoteValue.BLOCKED, layer="dns", method="noise")
    return vote


def apply_restart(
    signals: Sequence[Signal],
    since_s: float,
    until_s: float,
    back_s: Mapping[str, float],
    clock: ReplayClock,
) -> list[Signal]:
    """Apply an absence of the collector: it gets no signals, then agents reconnect.

    Vantages that were not live before stay so.

    Args:
        back_s: Seconds from the end of the absence to each vantage's arrival, by pseudonym.
    """
    since_us = clock.to_us(since_s)
    until_us = clock.to_us(until_s)
    deaf_until_us = until_us + round(LOST_S * SECOND_US)
    vantages: dict[str, VantageRef | None] = {}
    kept_signals: list[Signal] = []
    for signal in signals:
        if signal.at_us <= since_us:
            _track_presence(vantages, signal)
            kept_signals.append(signal)
        elif signal.at_us >= deaf_until_us or (
            signal.at_us >= until_us and not isinstance(signal, VantageLoss)
        ):
            kept_signals.append(signal)
        else:
            _track_presence(vantages, signal)
    for pseudonym, vantage in vantages.items():
        if vantage is not None and pseudonym in back_s:
            kept_signals.append(VantageArrival(clock.to_us(until_s + back_s[pseudonym]), vantage))
    return sort_signals(kept_signals)


def _track_presence(vantages: dict[str, VantageRef | None], signal: Signal) -> None:
    if isinstance(signal, VantageArrival):
        vantages[signal.witness.nym] = signal.witness
    elif isinstance(signal, VantageLoss | Goodbye):
        vantages[signal.nym] = None
