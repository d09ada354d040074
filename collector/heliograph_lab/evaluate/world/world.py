"""World of countries and habits, to which a family adds events and truths."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from random import Random

from heliograph.units import DAY_US, SECOND_US
from heliograph_collector.model.scope import Scope, scope_label
from heliograph_collector.model.signals import Fault, VoteValue
from heliograph_collector.sources.replay import Truth, TruthKind
from heliograph_lab.evaluate.population import Interference
from heliograph_lab.evaluate.world.habits import add_habits
from heliograph_lab.evaluate.world.people import (
    COUNTRIES,
    Silence,
    SilenceCause,
    WorldVantage,
    draw_country_plan,
    draw_vantages,
)

T0_US = 1_641_168_000 * SECOND_US  # Monday, 3 January 2022


@dataclass(frozen=True, slots=True)
class PlannedTest:
    """A service that every vantage tests every `every_s` seconds, 10 % more or less."""

    service: str
    every_s: float
    noise: float
    unknown: float
    since_s: float = 0.0
    until_s: float = math.inf
    light_s: float = 0.0  # between two light checks; 0 for none


@dataclass(frozen=True, slots=True)
class Spans:
    """Times in which each vantage was affected, in seconds of the world."""

    members: tuple[WorldVantage, ...]
    since_s: tuple[float, ...]
    until_s: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class TruthDetails:
    """Kind, place and label of an event, for the score."""

    kind: TruthKind
    scope: Scope
    label: str
    service: str = ""
    layer: str = ""
    scoreable: bool = True


@dataclass(slots=True)
class World:
    name: str
    seed: int
    rng: Random
    lasts_s: float
    since_us: int = T0_US
    vantages: list[WorldVantage] = field(default_factory=list)
    truths: list[Truth] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    tests: list[PlannedTest] = field(default_factory=list)
    backlogs: list[tuple[float, float]] = field(default_factory=list)
    risky_days: set[tuple[str, int]] = field(default_factory=set)

    def to_us(self, second: float) -> int:
        return self.since_us + round(second * SECOND_US)

    def members(self, scope: Scope) -> list[WorldVantage]:
        return [v for v in self.vantages if not scope.country or scope.includes(v.location)]

    def record(self, details: TruthDetails, spans: Spans) -> None:
        """Record a truth; it ends when half of its vantages are back."""
        if not spans.members:
            return
        first_s = min(spans.since_s)
        half_s = sorted(spans.until_s)[(len(spans.until_s) - 1) // 2]
        self.truths.append(
            Truth(
                id=f"{details.label}-{len(self.truths)}",
                kind=details.kind,
                scope=details.scope,
                service=details.service,
                since_us=self.to_us(first_s),
                until_us=self.to_us(half_s) if half_s < self.lasts_s else None,
                label=details.label,
                scoreable=details.scoreable,
                layer=details.layer,
                spread_s=max(spans.since_s) - first_s,
                members={
                    v.ref.nym: (self.to_us(since_s), self.to_us(until_s))
                    for v, since_s, until_s in zip(
                        spans.members, spans.since_s, spans.until_s, strict=True
                    )
                },
            )
        )
        self._mark_risky(spans)

    def _mark_risky(self, spans: Spans) -> None:
        countries = {v.location.country for v in spans.members}
        first_day = self.to_us(min(spans.since_s)) // DAY_US
        last_day = self.to_us(min(self.lasts_s, max(spans.until_s))) // DAY_US
        self.risky_days |= {
            (code, day) for code in countries for day in range(first_day, last_day + 1)
        }

    def silence(self, spans: Spans, cause: SilenceCause) -> None:
        for v, since_s, until_s in zip(spans.members, spans.since_s, spans.until_s, strict=True):
            v.silences.append(Silence(since_s, until_s, cause))

    def trouble(
        self, details: TruthDetails, spans: Spans, value: VoteValue, method: str, share: float = 1.0
    ) -> None:
        for v, since_s, until_s in zip(spans.members, spans.since_s, spans.until_s, strict=True):
            v.troubles.append(
                Interference(since_s, until_s, details.service, value, details.layer, method, share)
            )
        self.record(details, spans)

    def cut(self, scope: Scope, spans: Spans, *, scoreable: bool = True) -> None:
        """Cut vantages off, and record it as a true cut of this scope."""
        self.silence(spans, "cut")
        self.record(TruthDetails("cut", scope, scope_label([scope]), scoreable=scoreable), spans)

    def disturb(self, label: str, spans: Spans, cause: SilenceCause) -> None:
        """Silence vantages without a cut, and record what it was."""
        self.silence(spans, cause)
        codes = {v.location.country for v in spans.members}
        scope = Scope(codes.pop() if len(codes) == 1 else "")
        self.record(TruthDetails("confounder", scope, label), spans)


def spans_of(
    members: Sequence[WorldVantage],
    at_s: float,
    offsets_s: Iterable[float],
    back_s: float,
    back_offsets_s: Iterable[float] = (),
) -> Spans:
    """Build spans from `at_s` to `back_s`, each with the vantage's own offset."""
    since_s = tuple(at_s + offset_s for offset_s in offsets_s)
    returns = tuple(back_offsets_s) or (0.0,) * len(since_s)
    until_s = tuple(
        max(since + 1, back_s + offset_s) for since, offset_s in zip(since_s, returns, strict=True)
    )
    return Spans(tuple(members), since_s, until_s)


def create_world(
    name: str, seed: int, rng: Random, lasts_s: float, count: int = 0, others: int = 0
) -> World:
    """Create five countries with their habits.

    Args:
        count: Vantages of the first country; 0 draws it.
        others: Vantages of each other country; 0 draws it.
    """
    world = World(name, seed, rng, lasts_s)
    for code in COUNTRIES:
        plan = draw_country_plan(rng, code, count if code == COUNTRIES[0] else others)
        settled = draw_vantages(rng, plan, world.since_us)
        add_habits(rng, settled, lasts_s)
        world.vantages += settled
    return world
