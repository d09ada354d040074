"""An incident as the feed tells it, and what a source outside can be asked about it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

SECOND_US = 1_000_000
HOUR_US = 3_600 * SECOND_US
DAY_US = 24 * HOUR_US

JUDGED_US = DAY_US  # of a long incident its first day is held against the sources
SETTLED_US = 3 * HOUR_US  # what lags has come by then; nobody is asked after it
MOST_ENTITIES = 8
_SILENCE = "network_silence"


class Entity(NamedTuple):
    """What a source can be asked about: a country, or a network (of that country)."""

    country: str
    asn: int = 0

    def __str__(self) -> str:
        return f"asn/{self.asn}" if self.asn else f"country/{self.country}"


class Part(NamedTuple):
    """One cell of an incident; `exact` when it is neither one region nor one access type of it."""

    entity: Entity
    exact: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """Microseconds UTC. It began after `earliest_us` and before `latest_us`."""

    id: str
    earliest_us: int
    latest_us: int
    ended_us: int | None  # the first moment at which it may have been over
    parts: tuple[Part, ...]

    @property
    def until_us(self) -> int:
        """How far it is held against a source."""
        last = self.earliest_us + JUDGED_US
        return last if self.ended_us is None else min(self.ended_us, last)

    def asked_about(self, now_us: int) -> bool:
        """Whether a source may still have something new to say."""
        return self.earliest_us <= now_us < self.until_us + SETTLED_US


def read_incident(told: Mapping[str, Any]) -> Incident | None:
    """From its JSON. None for what no source outside could see, and for what was withdrawn."""
    if told.get("kind") != _SILENCE or told.get("state") == "withdrawn":
        return None
    ended = told.get("ended")
    return Incident(
        id=str(told["id"]),
        earliest_us=micros(told["started"]["earliest"]),
        latest_us=micros(told["started"]["latest"]),
        ended_us=micros(ended["earliest"]) if ended else None,
        parts=_parts(told.get("parts") or [told["scope"]]),
    )


def open_incidents(told: Iterable[Mapping[str, Any]], now_us: int) -> list[Incident]:
    """Those about which it makes sense to ask now, in their order."""
    read = (read_incident(each) for each in told)
    return [incident for incident in read if incident and incident.asked_about(now_us)]


def entities_of(incidents: Sequence[Incident]) -> list[Entity]:
    return list(dict.fromkeys(part.entity for each in incidents for part in each.parts))


def _parts(scopes: Sequence[Mapping[str, Any]]) -> tuple[Part, ...]:
    found: dict[Entity, bool] = {}
    for scope in scopes:
        exact = not (scope.get("region") or scope.get("access"))
        entity = Entity(str(scope["country"]), int(scope.get("asn") or 0))
        found[entity] = found.get(entity, False) or exact
    return tuple(Part(*each) for each in found.items())[:MOST_ENTITIES]


def micros(text: str) -> int:
    """RFC 3339 as microseconds UTC. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    whole = int(moment.replace(microsecond=0).timestamp())
    return whole * SECOND_US + moment.microsecond


def moment(at_us: int) -> str:
    """RFC 3339, UTC, exact to the microsecond."""
    seconds, rest = divmod(at_us, SECOND_US)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:06d}Z"
