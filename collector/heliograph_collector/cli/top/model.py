"""Model of the received state: countries, services, open incidents; pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NotRequired, TypedDict

OPEN_STATES = ("confirmed", "suspected")
STATE_ORDER = ("blocked", "down", "partial", "reachable", "unknown")  # worst first
KNOWN_STATES = STATE_ORDER[:-1]
SIGN_BY_STATE = {"blocked": "✕", "down": "▼", "partial": "◐", "reachable": "✓", "unknown": "?"}
_GroupKey = tuple[str, int, str]


class Network(TypedDict):
    """The key of a network in documents and events."""

    country: str
    asn: int
    access: str


class ServiceStatus(TypedDict):
    service: str
    title: str
    state: str


class StatusGroup(Network):
    services: Sequence[ServiceStatus]


class Coverage(TypedDict, total=False):
    """Counts as the API formats them; {} before the first answer."""

    vantages: str
    controls: int
    groups: int


class StatusReply(TypedDict):
    at: str
    entry: NotRequired[int]  # older collectors do not say it
    groups: Sequence[StatusGroup]
    coverage: Coverage


class CellEvent(Network):
    service: str
    state: str
    start: str | None


class OpenIncident(TypedDict):
    """The fields of an incident that the screen shows."""

    id: str
    state: str
    kind: str
    sentence: str
    scope: Mapping[str, str | int]
    started: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class NetworkCount:
    """Numbers of a country's networks by state of one service."""

    counts: Mapping[str, int]
    networks: int = 0

    @property
    def is_complete(self) -> bool:
        """Return whether all networks have a result, because silence is no success."""
        return sum(self.counts.get(state, 0) for state in KNOWN_STATES) >= self.networks

    @property
    def worst_state(self) -> str:
        """Return the worst state; unknown counts only without any other."""
        return next((state for state in STATE_ORDER if self.counts.get(state)), "unknown")

    @property
    def sign_text(self) -> str:
        """Format as "✓", "✓ 1/3" or "✕ 2/3".

        "✓" means that all networks are reachable, "✓ 1/3" that two of three have no result, and "✕
        2/3" that two of three networks with a result are blocked.
        """
        conclusive_count = sum(self.counts.get(state, 0) for state in KNOWN_STATES)
        worst_count = self.counts.get(self.worst_state, 0)
        sign = SIGN_BY_STATE[self.worst_state]
        if self.worst_state == "unknown" or (self.worst_state == "reachable" and self.is_complete):
            return sign
        total = self.networks if self.worst_state == "reachable" else conclusive_count
        return f"{sign} {worst_count}/{total}"


@dataclass(frozen=True, slots=True)
class CountryLine:
    country: str
    networks: int
    services: Mapping[str, NetworkCount]
    confirmed: int = 0  # open incidents
    suspected: int = 0


@dataclass
class WorldModel:
    """Model that starts empty and is updated by every `apply_…`."""

    titles: dict[str, str] = field(default_factory=dict)
    groups: dict[_GroupKey, dict[str, str]] = field(default_factory=dict)
    coverage: Coverage = field(default_factory=Coverage)
    incidents: dict[str, OpenIncident] = field(default_factory=dict)
    at: str = ""  # the moment of the last status, and the newest log entry that it follows
    entry: int = 0
    problems: Sequence[str] | None = None  # why the collector is not ready; None if unknown
    metrics: dict[str, float] = field(default_factory=dict)

    def apply_status(self, document: StatusReply) -> None:
        self.groups = {}
        for group in document["groups"]:
            services = self.groups.setdefault(_build_key(group), {})
            for service in group["services"]:
                self.titles[service["service"]] = service["title"]
                services[service["service"]] = service["state"]
        self.coverage = document["coverage"]
        self.at = document["at"]
        self.entry = document.get("entry", 0)

    def apply_cell(self, event: CellEvent) -> None:
        """Apply the change of one network and service; remove one without votes."""
        services = self.groups.setdefault(_build_key(event), {})
        if event["state"] == "unknown" and event["start"] is None:
            services.pop(event["service"], None)
        else:
            services[event["service"]] = event["state"]
        if not services:
            del self.groups[_build_key(event)]

    def apply_coverage(self, event: Coverage) -> None:
        """Apply present coverage; other events of that name describe a past time."""
        if "vantages" in event:
            self.coverage = event

    def apply_incidents(self, incidents: Sequence[OpenIncident], state: str) -> None:
        """Replace all incidents in one state."""
        others = {
            id_: incident for id_, incident in self.incidents.items() if incident["state"] != state
        }
        self.incidents = others | {incident["id"]: incident for incident in incidents}

    def apply_incident(self, incident: OpenIncident) -> None:
        if incident["state"] in OPEN_STATES:
            self.incidents[incident["id"]] = incident
        else:
            self.incidents.pop(incident["id"], None)

    def list_services(self) -> list[str]:
        """List services in the page's order, and those without a title last."""
        present_services = {name for services in self.groups.values() for name in services}
        return [
            *(n for n in self.titles if n in present_services),
            *sorted(present_services - self.titles.keys()),
        ]

    def build_rows(self) -> list[CountryLine]:
        """Build one row per country, those with the most problems first.

        A country with an open incident is always included: a silent one has no networks left.
        """
        state_countries = [
            (incident["state"], incident.get("scope", {}).get("country"))
            for incident in self.list_open_incidents()
        ]
        countries: dict[str, list[dict[str, str]]] = {
            str(incident_country): [] for _, incident_country in state_countries if incident_country
        }
        for (country, _, _), services in self.groups.items():
            countries.setdefault(country, []).append(services)
        rows = [
            CountryLine(
                country,
                len(groups),
                {name: _count_states(groups, name) for name in self.list_services()},
                state_countries.count(("confirmed", country)),
                state_countries.count(("suspected", country)),
            )
            for country, groups in countries.items()
        ]
        return sorted(rows, key=_rank_country)

    def list_open_incidents(self) -> list[OpenIncident]:
        """List open incidents, confirmed ones first, then newest first."""
        newest = sorted(self.incidents.values(), key=_read_start, reverse=True)
        return [
            incident for state in OPEN_STATES for incident in newest if incident["state"] == state
        ]

    def format_json(self, url: str) -> str:
        """Format the present state as one JSON object."""
        document = {
            "url": url,
            "at": self.at,
            "entry": self.entry,
            "ready": self.problems == [],
            "problems": list(self.problems or ()),
            "coverage": self.coverage,
            "countries": [
                {
                    "country": row.country,
                    "networks": row.networks,
                    "incidents": {"confirmed": row.confirmed, "suspected": row.suspected},
                    "services": {name: dict(t.counts) for name, t in row.services.items()},
                }
                for row in self.build_rows()
            ],
            "incidents": [
                {name: incident[name] for name in ("id", "state", "kind", "sentence", "scope")}
                for incident in self.list_open_incidents()
            ],
            "figures": self.metrics,
        }
        return json.dumps(document)


def _read_start(incident: OpenIncident) -> str:
    return str(incident["started"]["latest"])


def _build_key(group: Network) -> _GroupKey:
    return group["country"], group["asn"], group["access"]


def _count_states(groups: Sequence[Mapping[str, str]], name: str) -> NetworkCount:
    states = [services[name] for services in groups if name in services]
    counts = {state: states.count(state) for state in STATE_ORDER if state in states}
    return NetworkCount(counts, len(groups))


def _count_problems(row: CountryLine) -> int:
    return sum(
        tally.counts.get("blocked", 0) + tally.counts.get("down", 0)
        for tally in row.services.values()
    )


def _rank_country(row: CountryLine) -> tuple[int, int, str]:
    return -row.confirmed, -_count_problems(row), row.country


def format_age(seconds: float) -> str:
    """Format an age as "3 s", "4 min" or "2 h"."""
    for unit_s, unit in ((3_600, "h"), (60, "min")):
        if seconds >= unit_s:
            return f"{int(seconds // unit_s)} {unit}"
    return f"{int(max(0, seconds))} s"
