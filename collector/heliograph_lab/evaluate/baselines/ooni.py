"""OONI's event detector: a two-sided CUSUM on the hourly median of blocked scores.

Parameters: the v5 detector (ooni/data, `detector.py`): means 0 (well) and 0.7 (blocked), and h =
edd x 0.7 / 2 with edd 10 or 20. States: unknown, well and blocked; the first crossing sets the
state and raises no alarm. After more than 24 h without data the sums are halved for every 48 h.
There is one series per country, ASN, service and layer. A job at half past each hour reads the
ended hours, so a measurement is 30 to 90 minutes old at an alarm.

OONI does not score partial blocking and throttling, and scores *down* separately, because it has no
control for a service that is down. Votes of all three have the score 0 (well) here.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from operator import attrgetter
from typing import NamedTuple

from heliograph.units import HOUR_US
from heliograph_collector.model.scope import Scope
from heliograph_collector.model.signals import VoteValue
from heliograph_collector.sources.replay import Alarm, Replay


@dataclass(frozen=True, slots=True, kw_only=True)
class OoniConfig:
    """Parameters of the detector; `edd` is the wanted delay in hours with data."""

    edd: float = 10.0
    well: float = 0.0
    blocked: float = 0.7
    gap: float = 24.0  # hours
    halflife: float = 48.0  # hours
    publish: float = 0.5  # hours


PUBLISHED = OoniConfig()
SLOW = OoniConfig(edd=20.0)


def ooni(replay: Replay) -> Sequence[Alarm]:
    """Detect with edd 10."""
    return find_alarms(replay, PUBLISHED)


def ooni_prompt(replay: Replay) -> Sequence[Alarm]:
    """Detect with edd 10, readable as soon as an hour is over."""
    return find_alarms(replay, replace(PUBLISHED, publish=0.0))


def ooni_slow(replay: Replay) -> Sequence[Alarm]:
    """Detect with edd 20."""
    return find_alarms(replay, SLOW)


class _CusumState(Enum):
    UNKNOWN = 1
    WELL = 2
    BLOCKED = 3


class _SeriesKey(NamedTuple):
    country: str
    asn: int
    service: str


@dataclass(slots=True)
class _Hour:
    votes: int = 0
    blocked: Counter[str] = field(default_factory=Counter)  # by layer


@dataclass(slots=True)
class Cusum:
    """The CUSUM of one series, updated for each hour with data."""

    config: OoniConfig
    state: _CusumState = _CusumState.UNKNOWN
    up: float = 0.0
    down: float = 0.0
    last: int | None = None  # the hour of the last data

    @property
    def height(self) -> float:
        return self.config.edd * (self.config.blocked - self.config.well) / 2

    def add_score(self, hour: int, score: float) -> bool | None:
        """Add a score; return True if now blocked, False if well again, else None."""
        self._decay(hour)
        half = (self.config.blocked - self.config.well) / 2
        if self.state is not _CusumState.BLOCKED:
            self.up = max(0.0, self.up + score - self.config.well - half)
        if self.state is not _CusumState.WELL:
            self.down = max(0.0, self.down - score + self.config.blocked - half)
        if self.up > self.height:
            return self._change_state(_CusumState.BLOCKED)
        if self.down > self.height:
            return self._change_state(_CusumState.WELL)
        return None

    def _change_state(self, new_state: _CusumState) -> bool | None:
        was_known = self.state is not _CusumState.UNKNOWN
        self.state = new_state
        self.up = 0.0
        self.down = 0.0
        return (new_state is _CusumState.BLOCKED) if was_known else None

    def _decay(self, hour: int) -> None:
        gap = 0 if self.last is None else hour - self.last
        if gap > self.config.gap:
            left = math.pow(0.5, gap / self.config.halflife)
            self.up = self.up * left
            self.down = self.down * left
        self.last = hour


def find_alarms(replay: Replay, config: OoniConfig) -> Sequence[Alarm]:
    alarms = [
        alarm
        for key, hours in sorted(_votes_by_hour(replay).items())
        for layer in sorted({layer for hour in hours.values() for layer in hour.blocked})
        for alarm in _series_alarms(key, layer, hours, replay, config)
    ]
    return sorted(alarms, key=attrgetter("at_us", "scope", "service"))


def _votes_by_hour(replay: Replay) -> dict[_SeriesKey, dict[int, _Hour]]:
    hours_by_key: dict[_SeriesKey, dict[int, _Hour]] = {}
    for vote in replay.opinions:
        if vote.standing is VoteValue.UNKNOWN:
            continue
        location = vote.witness.place
        key = _SeriesKey(location.country, location.asn, vote.service)
        hours = hours_by_key.setdefault(key, {})
        hour = hours.setdefault(vote.at_us // HOUR_US, _Hour())
        hour.votes += 1
        if vote.standing is VoteValue.BLOCKED:
            hour.blocked[vote.layer] += 1
    return hours_by_key


def _series_alarms(
    key: _SeriesKey, layer: str, hours: dict[int, _Hour], replay: Replay, config: OoniConfig
) -> Iterator[Alarm]:
    cusum = Cusum(config)
    begun: tuple[int, int] | None = None  # (time of the alarm, hour)
    for number in sorted(hours):
        hour = hours[number]
        is_blocked = cusum.add_score(number, _median(hour.blocked[layer], hour.votes))
        told_us = (number + 1) * HOUR_US + int(config.publish * HOUR_US)
        if is_blocked is None or told_us > replay.until_us:
            continue
        if is_blocked:
            begun = told_us, number
        elif begun is not None:
            yield _alarm(key, layer, begun, told_us)
            begun = None
    if begun is not None:
        yield _alarm(key, layer, begun, None)


def _median(hits: int, votes: int) -> float:
    """Return the median of `votes` scores, of which `hits` are 1 and the others 0."""
    return 0.5 if 2 * hits == votes else float(2 * hits > votes)


def _alarm(key: _SeriesKey, layer: str, begun: tuple[int, int], over_us: int | None) -> Alarm:
    """Build an alarm; its onset is the hour of the crossing, not that of the rise."""
    told_us, hour = begun
    return Alarm(
        at_us=told_us,
        scope=Scope(key.country, asn=key.asn),
        service=key.service,
        kind="block",
        started=(hour * HOUR_US, (hour + 1) * HOUR_US),
        ended_at_us=over_us,
        layer=layer,
    )
