"""People's machines in virtual time: what a collector hears of them, given what befalls them.

The model is that of the published replay: heartbeats of 15 s, lost after 2½, downtimes log-normal
with a median of 3 minutes and sigma 1.5, waits of at most a minute between two tries. Nobody has
to do with anybody else's churn. Seconds are counted from the beginning of the replay.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Literal

from heliograph_collector.model.signals import (
    DAY_US,
    SECOND_US,
    Arrival,
    Fault,
    Goodbye,
    Lost,
    Opinion,
    Place,
    Standing,
    Witness,
)
from heliograph_collector.model.signals import Replay as Word
from heliograph_collector.sources.replay import Signal

BEAT_S = 15.0
LOST_S = 37.5
RETRY_S = 60.0
DOWN_S, DOWN_SIGMA = 180.0, 1.5
ESTABLISHED_US = 60 * DAY_US  # how long everybody was known before
WORD = 0.9  # of those who come back tell of their time in the dark
UNSURE = 0.02  # of the verdicts are unknown
MOBILE, FIXED = (101, 102, 103), (201, 202, 203)  # operators of a drawn country
OPERATORS = (*((asn, "mobile") for asn in MOBILE), *((asn, "fixed") for asn in FIXED))
How = Literal["own", "cut", "power", "blip", "away"]


@dataclass(frozen=True, slots=True)
class Spell:
    """One vantage is not heard. own: its churn; blip: the way to us; away: it said goodbye."""

    since_s: float
    until_s: float
    how: How


@dataclass(frozen=True, slots=True)
class Hindrance:
    """One vantage's test of a service says so meanwhile, in `share` of the tests."""

    since_s: float
    until_s: float
    service: str
    standing: Standing
    layer: str
    method: str
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class Service:
    """Tested every `every_s` seconds from … until …; fails by itself in `noise` of the tests."""

    name: str
    every_s: float = 60.0
    noise: float = 0.03
    since_s: float = 0.0
    until_s: float = math.inf


@dataclass(slots=True)
class Life:
    """One vantage, and all that befalls it."""

    witness: Witness
    churn: float = 4.0  # silences a day
    spells: list[Spell] = field(default_factory=list)
    hindrances: list[Hindrance] = field(default_factory=list)
    moved: tuple[float, str] | None = None  # (when, prefix afterwards)

    def at(self, second: float) -> Witness:
        """Who it is to us at that moment."""
        if self.moved is None or second < self.moved[0]:
            return self.witness
        w = self.witness
        return Witness(w.nym, self.moved[1], w.place, w.first_us, w.carrier)


@dataclass(slots=True)
class Clock:
    """Seconds of the replay to microseconds UTC."""

    since_us: int

    def at(self, second: float) -> int:
        return self.since_us + round(second * SECOND_US)


def people(
    place: Place, count: int, first_us: int, *, carrier: str = "session", prefix: str = ""
) -> list[Witness]:
    """`count` vantages, each in a network of its own, unless they share one."""
    name = f"{place.country}{place.region}{place.asn}{place.access}{carrier}{prefix}"
    return [
        Witness(f"{name}-{i}", prefix or f"{name}-{i}", place, first_us, carrier)
        for i in range(count)
    ]


def country(code: str, regions: Sequence[str], count: int, first_us: int) -> list[Witness]:
    """Three mobile and three fixed operators in every region; `count` vantages, evenly spread."""
    places = [Place(code, r, asn, access) for asn, access in OPERATORS for r in regions]
    return spread(sorted(places, key=lambda p: (p.asn % 100, p.region, p.asn)), count, first_us)


def spread(places: Sequence[Place], count: int, first_us: int) -> list[Witness]:
    """`count` vantages over these places, one after another."""
    each, more = divmod(count, len(places))
    return [w for i, place in enumerate(places) for w in people(place, each + (i < more), first_us)]


def churn(rng: Random, until_s: float, per_day: float) -> list[Spell]:
    """A vantage's own silences."""
    found, now = [], 0.0
    while per_day > 0:
        now += rng.expovariate(per_day / 86_400)
        if now >= until_s:
            break
        back = now + math.exp(rng.gauss(math.log(DOWN_S), DOWN_SIGMA))
        found.append(Spell(now, back, "own"))
        now = back
    return found


def presence(lives: Iterable[Life], rng: Random, until_s: float, clock: Clock) -> list[Signal]:
    """All that presence would write down, in order of time."""
    signals: list[Signal] = []
    for life in lives:
        signals += _presence(life, rng, until_s, clock)
    return ordered(signals)


def ordered(signals: Iterable[Signal]) -> list[Signal]:
    """In order of time; of one moment faults first, then who left, then who came."""
    return sorted(signals, key=_order)


def _order(signal: Signal) -> tuple[int, int, str]:
    rank = 0 if isinstance(signal, Fault) else 2 if isinstance(signal, Arrival) else 1
    nym = signal.witness.nym if isinstance(signal, Arrival) else getattr(signal, "nym", "")
    return signal.at_us, rank, nym


def silences(life: Life) -> list[list[Spell]]:
    """Its spells, those that touch one another together."""
    groups: list[list[Spell]] = []
    reach = -1.0
    for spell in sorted(life.spells, key=lambda s: (s.since_s, s.until_s)):
        if groups and spell.since_s <= reach + 1:
            groups[-1].append(spell)
        else:
            groups.append([spell])
            reach = spell.until_s
        reach = max(reach, spell.until_s)
    return groups


def _presence(life: Life, rng: Random, until_s: float, clock: Clock) -> list[Signal]:
    signals: list[Signal] = [Arrival(clock.at(0), life.witness)]
    nym = life.witness.nym
    for group in silences(life):
        since, last = group[0].since_s, max(group, key=lambda s: s.until_s)
        heard = max(0.0, since - rng.uniform(0, BEAT_S))
        back = last.until_s + _wait(last.how, rng)
        if group[0].how == "away":
            signals.append(Goodbye(clock.at(since), nym))
        elif back > heard + LOST_S and heard + LOST_S < until_s:
            signals.append(Lost(clock.at(heard + LOST_S), nym, clock.at(heard)))
        if since > 0 and back < until_s:
            signals.append(Arrival(clock.at(back), life.at(back)))
            signals += _word(group, nym, heard, back, rng, clock)
    return [s for s in signals if s.at_us <= clock.at(until_s)]


def _wait(how: How, rng: Random) -> float:
    """From the way being free to the session: a restless agent is quick, a patient one waits."""
    if how == "power":
        return rng.uniform(20, 180)  # the machine starts
    return rng.uniform(0, RETRY_S if how in ("cut", "blip") else 3.0)


def _word(
    group: Sequence[Spell], nym: str, heard: float, back: float, rng: Random, clock: Clock
) -> list[Word]:
    """Of a long silence an agent brings its measurements, or the news that it had none."""
    longest = max(group, key=lambda s: s.until_s - s.since_s)
    if longest.how not in ("cut", "power") or rng.random() >= WORD:
        return []
    told = clock.at(back + 2)
    return [Word(told, nym, clock.at(heard), clock.at(back), longest.how == "cut")]


def opinions(
    lives: Iterable[Life],
    services: Iterable[Service],
    rng: Random,
    until_s: float,
    clock: Clock,
) -> list[Opinion]:
    """Every vantage's verdicts on every service while it is heard, in order of time."""
    tested = list(services)
    found: list[Opinion] = []
    for life in lives if tested else ():
        groups = [(g[0].since_s, max(s.until_s for s in g)) for g in silences(life)]
        for service in tested:
            found += _opinions(life, service, groups, rng, until_s, clock)
    return sorted(found, key=lambda o: (o.at_us, o.witness.nym, o.service))


def _opinions(
    life: Life,
    service: Service,
    dark: Sequence[tuple[float, float]],
    rng: Random,
    until_s: float,
    clock: Clock,
) -> list[Opinion]:
    found = []
    mine = [h for h in life.hindrances if h.service == service.name]
    now = service.since_s + rng.uniform(0, service.every_s)
    silent = iter([*dark, (math.inf, math.inf)])
    gone = next(silent)
    while now < min(until_s, service.until_s):
        while gone[1] <= now:
            gone = next(silent)
        if now < gone[0]:
            found.append(_opinion(life.at(now), service, mine, now, rng, clock))
        now += service.every_s
    return found


def _opinion(
    witness: Witness,
    service: Service,
    hindrances: Sequence[Hindrance],
    now: float,
    rng: Random,
    clock: Clock,
) -> Opinion:
    chance = rng.random()
    for h in hindrances:
        if h.since_s <= now < h.until_s and rng.random() < h.share:
            standing = h.standing if chance >= UNSURE else Standing.UNKNOWN
            return Opinion(clock.at(now), witness, service.name, standing, h.layer, h.method)
    if chance < UNSURE:
        return Opinion(clock.at(now), witness, service.name, Standing.UNKNOWN)
    if chance < UNSURE + service.noise:
        return Opinion(clock.at(now), witness, service.name, Standing.BLOCKED, "dns", "noise")
    return Opinion(clock.at(now), witness, service.name, Standing.GOOD)


def restarted(
    signals: Sequence[Signal],
    since_s: float,
    until_s: float,
    back_s: Mapping[str, float],
    clock: Clock,
) -> list[Signal]:
    """The same if the collector was away: it hears nothing, then they come in again.

    `back_s`: how long each takes after the end. Who left or was lost before stays so.
    """
    since, until = clock.at(since_s), clock.at(until_s)
    deaf = until + round(LOST_S * SECOND_US)
    state: dict[str, Witness | None] = {}
    kept: list[Signal] = []
    for signal in signals:
        if signal.at_us <= since:
            _track(state, signal)
            kept.append(signal)
        elif signal.at_us >= deaf or (signal.at_us >= until and not isinstance(signal, Lost)):
            kept.append(signal)
        else:
            _track(state, signal)
    for nym, witness in state.items():
        if witness is not None and nym in back_s:
            kept.append(Arrival(clock.at(until_s + back_s[nym]), witness))
    return ordered(kept)


def _track(state: dict[str, Witness | None], signal: Signal) -> None:
    if isinstance(signal, Arrival):
        state[signal.witness.nym] = signal.witness
    elif isinstance(signal, Lost | Goodbye):
        state[signal.nym] = None
