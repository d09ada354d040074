"""An incident as the feed publishes it, and the entities that a source covers."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from heliograph.units import DAY_US, HOUR_US, SECOND_US

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


def read_incident(entry: Mapping[str, Any]) -> FeedIncident | None:
    """Parse an incident from its JSON.

    None for a kind that outside sources cannot observe, and for a withdrawn incident.
    """
    if entry.get("kind") != _SILENCE or entry.get("state") == "withdrawn":
        return None
    ended = entry.get("ended")
    return FeedIncident(
        id=str(entry["id"]),
        earliest_us=parse_timestamp(entry["started"]["earliest"]),
        latest_us=parse_timestamp(entry["started"]["latest"]),
        ended_us=parse_timestamp(ended["earliest"]) if ended else None,
        cells=_read_cells(entry.get("parts") or [entry["scope"]]),
    )


def open_incidents(entries: Iterable[Mapping[str, Any]], now_us: int) -> list[FeedIncident]:
    """Parse the incidents for which a query is useful now, in their order."""
    read = (read_incident(each) for each in entries)
    return [incident for incident in read if incident and incident.is_due(now_us)]


def list_entities(incidents: Sequence[FeedIncident]) -> list[Entity]:
    return list(dict.fromkeys(part.entity for each in incidents for part in each.cells))


def _read_cells(scopes: Sequence[Mapping[str, Any]]) -> tuple[IncidentCell, ...]:
    exact_by_entity: dict[Entity, bool] = {}
    for scope in scopes:
        is_exact = not (scope.get("region") or scope.get("access"))
        entity = Entity(str(scope["country"]), int(scope.get("asn") or 0))
        exact_by_entity[entity] = exact_by_entity.get(entity, False) or is_exact
    return tuple(IncidentCell(*each) for each in exact_by_entity.items())[:MAX_ENTITIES]


def parse_timestamp(timestamp: str) -> int:
    """Parse an RFC 3339 time to microseconds UTC. Raises ValueError."""
    parsed = datetime.fromisoformat(timestamp)
    if parsed.tzinfo is None:
        parsed = parsed.replace(tzinfo=UTC)
    seconds = int(parsed.replace(microsecond=0).timestamp())
    return seconds * SECOND_US + parsed.microsecond


def format_timestamp(at_us: int) -> str:
    """Format a time as RFC 3339 in UTC, exact to the microsecond."""
    seconds, rest = divmod(at_us, SECOND_US)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:06d}Z"
