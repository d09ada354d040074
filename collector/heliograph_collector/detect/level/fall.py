"""Falls of a level that were published, and how they join the outages of the burst channel."""

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
    confirmed_us: int | None = None
    closed_us: int | None = None
    ended: Bracket | None = None
    held: tuple[str, ...] = ()
    confidence: float = 0.0

    @property
    def is_open(self) -> bool:
        return self.closed_us is None

    def to_incident(self) -> Incident:
        is_confirmed = self.confirmed_us is not None
        state = IncidentState.CONFIRMED if is_confirmed else IncidentState.SUSPECTED
        if not self.is_open:
            state = IncidentState.CLOSED if is_confirmed else IncidentState.WITHDRAWN
        return Incident(
            id=self.id,
            kind=IncidentKind.SILENCE,
            state=state,
            parts=(self.part,),
            started=self.started,
            suspected_us=self.suspected_us,
            confidence=self.confidence,
            confirmed_us=self.confirmed_us,
            ended=self.ended,
            closed_us=self.closed_us,
            method="level",
            held=self.held,
            hints=hint_on_the_hour(self.started),
        )


def join_channels(outages: Sequence[Incident], falls: Sequence[Incident]) -> list[Incident]:
    """Return outages and falls, without those that the other channel tells as well.

    A fall gives way to an outage of its cell or a wider one, unless it alone is confirmed. An
    outage that is only suspected gives way to a confirmed fall around it.
    """
    kept_falls = [fall for fall in falls if not any(_is_better(o, fall) for o in outages)]
    kept_outages = [
        outage
        for outage in outages
        if outage.confirmed_us is not None
        or not any(fall.confirmed_us is not None and _holds(fall, outage) for fall in kept_falls)
    ]
    return [*kept_outages, *kept_falls]


def _is_better(outage: Incident, fall: Incident) -> bool:
    is_certain = outage.confirmed_us is not None or fall.confirmed_us is None
    is_alive = outage.state is not IncidentState.WITHDRAWN
    return is_certain and is_alive and _holds(outage, fall)


def _holds(outer: Incident, inner: Incident) -> bool:
    return inner.scope.is_within(outer.scope) and inner.overlaps(outer)
