"""Suspected falls of a level, and how they combine with outages of bursts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from heliograph.units import MINUTE_US
from heliograph_collector.incidents.incident import (
    Bracket,
    Incident,
    IncidentKind,
    IncidentState,
    hint_on_the_hour,
)
from heliograph_collector.model.scope import AffectedCell, Scope

SAMPLE_US = 2 * MINUTE_US  # between two looks at a level; assumed
_MAIN_SHARE = 0.5  # of the silent, that fell and had not gone to bed; assumed


def next_sample_us(at_us: int) -> int:
    """Return when a country that changed at this time is sampled."""
    return (at_us // SAMPLE_US + 1) * SAMPLE_US


@dataclass(slots=True, kw_only=True)
class LevelFall:
    """A fall of one cell that was published."""

    scope: Scope
    started: Bracket
    suspected_us: int
    part: AffectedCell  # as when it was darkest
    id: str
    closed_us: int | None = None
    ended: Bracket | None = None
    held: tuple[str, ...] = ()
    in_order: bool = False  # it fell as batteries run out
    confidence: float = 0.0
    narrower: tuple[Scope, ...] = ()  # cells that explain it: they fall by themselves
    is_told: bool = False  # by the fall of the cell that explains it

    @property
    def is_open(self) -> bool:
        return self.closed_us is None

    def to_incident(self) -> Incident:
        state = IncidentState.SUSPECTED if self.is_open else IncidentState.WITHDRAWN
        return Incident(
            id=self.id,
            kind=IncidentKind.SILENCE,
            state=state,
            parts=(self.part,),
            started=self.started,
            suspected_us=self.suspected_us,
            confidence=self.confidence,
            ended=self.ended,
            closed_us=self.closed_us,
            method="level",
            held=self.held,
            hints=hint_on_the_hour(self.started),
        )


def join_channels(outages: Sequence[Incident], falls: Sequence[Incident]) -> list[Incident]:
    """Return outages and falls, without falls inside an outage or a wider fall."""
    live = [outage for outage in outages if outage.state is not IncidentState.WITHDRAWN]
    open_falls = [fall for fall in falls if fall.state is not IncidentState.WITHDRAWN]
    own_falls = [
        fall
        for fall in falls
        if not any(_holds(outage, fall) for outage in live)
        and not any(_holds(wider, fall) and wider.scope != fall.scope for wider in open_falls)
    ]
    return [*outages, *own_falls]


def _holds(outer: Incident, inner: Incident) -> bool:
    return inner.scope.is_within(outer.scope) and inner.overlaps(outer)


def find_main_fall(lost_us: Sequence[int]) -> int:
    """Return when half began to go, those that went in the shortest time.

    Vantages silent before had gone to bed, or were silent by chance.
    """
    times_us = sorted(lost_us)
    count = math.ceil(_MAIN_SHARE * len(times_us))
    firsts = range(len(times_us) - count + 1)
    return times_us[min(firsts, key=lambda first: times_us[first + count - 1] - times_us[first])]
