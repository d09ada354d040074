"""An incident as the feed publishes it, and the entities that a source covers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from heliograph.timestamps import parse_timestamp
from heliograph.units import DAY_US, HOUR_US

JUDGED_US = DAY_US  # a long incident is compared over its first day
SETTLED_US = 3 * HOUR_US  # late data have arrived by then; no query after it
MAX_ENTITIES = 8
_SILENCE = "network_silence"


class Entity(NamedTuple):
    """A subject of a source: a country, or a network of that country."""

    country: str
    asn: int = 0

    def __str__(self) -> str:
        return f"asn/{self.asn}" if self.asn else f"country/{self.country}"


class IncidentCell(NamedTuple):
    """A cell; `is_exact` if it covers all regions and access types of its entity."""

    entity: Entity
    is_exact: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedIncident:
    """A published incident; all times in microseconds UTC.

    It began after `earliest_us` and before `latest_us`.
    """

    id: str
    earliest_us: int
    latest_us: int
    ended_us: int | None  # the earliest time at which it may have ended
    cells: tuple[IncidentCell, ...]

    @property
    def until_us(self) -> int:
        """Return the end of the window that is compared with a source."""
        last = self.earliest_us + JUDGED_US
        return last if self.ended_us is None else min(self.ended_us, last)

    def is_due(self, now_us: int) -> bool:
        """Return whether a source may still have new data."""
        return self.earliest_us <= now_us < self.until_us + SETTLED_US


class PublishedScope(Protocol):
    """A cell; an empty field matches every value."""

    @property
    def country(self) -> str: ...
    @property
    def region(self) -> str: ...
    @property
    def asn(self) -> int: ...
    @property
    def access(self) -> str: ...


class PublishedBracket(Protocol):
    """An event between two times, RFC 3339."""

    @property
    def earliest(self) -> str: ...
    @property
    def latest(self) -> str: ...


class PublishedIncident(Protocol):
    """What is read of an incident as the API publishes it."""

    @property
    def id(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def scope(self) -> PublishedScope: ...
    @property
    def started(self) -> PublishedBracket: ...
    @property
    def ended(self) -> PublishedBracket | None: ...
    @property
    def parts(self) -> Sequence[PublishedScope]: ...


def read_incident(incident: PublishedIncident) -> FeedIncident | None:
    """Read what is compared from an incident as the feed publishes it.

    None for a kind that outside sources cannot observe, and for a withdrawn incident.
    """
    if incident.kind != _SILENCE or incident.state == "withdrawn":
        return None
    return FeedIncident(
        id=incident.id,
        earliest_us=parse_timestamp(incident.started.earliest),
        latest_us=parse_timestamp(incident.started.latest),
        ended_us=parse_timestamp(incident.ended.earliest) if incident.ended else None,
        cells=_read_cells(incident.parts or [incident.scope]),
    )


def list_entities(incidents: Sequence[FeedIncident]) -> list[Entity]:
    return list(dict.fromkeys(part.entity for each in incidents for part in each.cells))


def _read_cells(scopes: Sequence[PublishedScope]) -> tuple[IncidentCell, ...]:
    exact_by_entity: dict[Entity, bool] = {}
    for scope in scopes:
        is_exact = not (scope.region or scope.access)
        entity = Entity(scope.country, scope.asn)
        exact_by_entity[entity] = exact_by_entity.get(entity, False) or is_exact
    return tuple(IncidentCell(*each) for each in exact_by_entity.items())[:MAX_ENTITIES]
