"""The world as far as a bad line has told it: countries, services, open incidents. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Json = Mapping[str, Any]
OPEN = ("confirmed", "suspected")
ORDER = ("blocked", "down", "reachable", "unknown")  # the worst first
SIGNS = {"blocked": "✕", "down": "▼", "reachable": "✓", "unknown": "?"}
_Group = tuple[str, int, str]


@dataclass(frozen=True, slots=True)
class Tally:
    """How many networks of a country, of so many in all, say what of one service."""

    counts: Mapping[str, int]
    networks: int = 0

    @property
    def whole(self) -> bool:
        """Whether all networks could tell: who is silent is not well."""
        return sum(self.counts.get(state, 0) for state in ORDER[:3]) >= self.networks

    @property
    def worst(self) -> str:
        """Doubt is worst only where there is nothing else."""
        return next((state for state in ORDER if self.counts.get(state)), "unknown")

    @property
    def sign(self) -> str:
        """ "✓" where all networks are well, "✓ 1/3" where two of three can tell nothing, and
        "✕ 2/3" where two of three that could tell are blocked."""
        known = sum(self.counts.get(state, 0) for state in ORDER[:3])
        hit = self.counts.get(self.worst, 0)
        sign = SIGNS[self.worst]
        if self.worst == "unknown" or (self.worst == "reachable" and self.whole):
            return sign
        return f"{sign} {hit}/{self.networks if self.worst == 'reachable' else known}"


@dataclass(frozen=True, slots=True)
class Row:
    country: str
    networks: int
    services: Mapping[str, Tally]
    confirmed: int = 0  # incidents that are open
    suspected: int = 0


@dataclass
class Picture:
    """Starts empty; every `take` brings it nearer to the truth."""

    titles: dict[str, str] = field(default_factory=dict)
    groups: dict[_Group, dict[str, str]] = field(default_factory=dict)
    coverage: dict[str, Any] = field(default_factory=dict)
    incidents: dict[str, Json] = field(default_factory=dict)
    problems: Sequence[str] | None = None  # why it is not ready; None: not known yet
    figures: dict[str, float] = field(default_factory=dict)

    def take_status(self, document: Json) -> None:
        self.groups = {}
        for group in document["groups"]:
            here = self.groups.setdefault(_key(group), {})
            for service in group["services"]:
                self.titles[service["service"]] = service["title"]
                here[service["service"]] = service["state"]
        self.coverage = dict(document["coverage"])

    def take_cell(self, event: Json) -> None:
        """What changed of one network and service. One without votes any more is left out."""
        here = self.groups.setdefault(_key(event), {})
        if event["state"] == "unknown" and event["start"] is None:
            here.pop(event["service"], None)
        else:
            here[event["service"]] = event["state"]
        if not here:
            del self.groups[_key(event)]

    def take_coverage(self, event: Json) -> None:
        """Other events of that name tell of a time, not of now."""
        if "vantages" in event:
            self.coverage = dict(event)

    def take_incidents(self, found: Sequence[Json], state: str) -> None:
        """All that are in that state."""
        kept = {id_: one for id_, one in self.incidents.items() if one["state"] != state}
        self.incidents = kept | {one["id"]: one for one in found}

    def take_incident(self, incident: Json) -> None:
        if incident["state"] in OPEN:
            self.incidents[incident["id"]] = incident
        else:
            self.incidents.pop(incident["id"], None)

    def services(self) -> list[str]:
        """In the page's order; those that nothing is said of any more last."""
        seen = {name for here in self.groups.values() for name in here}
        return [*(n for n in self.titles if n in seen), *sorted(seen - self.titles.keys())]

    def rows(self) -> list[Row]:
        """Countries, those with the most trouble first. One that fell silent has no network left
        to say anything, and is the last to be left out."""
        told = [(one["state"], one.get("scope", {}).get("country")) for one in self.under_way()]
        countries: dict[str, list[dict[str, str]]] = {place: [] for _, place in told if place}
        for (country, _, _), here in self.groups.items():
            countries.setdefault(country, []).append(here)
        rows = [
            Row(
                country,
                len(groups),
                {name: _tally(groups, name) for name in self.services()},
                told.count(("confirmed", country)),
                told.count(("suspected", country)),
            )
            for country, groups in countries.items()
        ]
        return sorted(rows, key=lambda row: (-row.confirmed, -_trouble(row), row.country))

    def under_way(self) -> list[Json]:
        """Open incidents, the confirmed first, the newest first."""
        newest = sorted(
            self.incidents.values(), key=lambda i: str(i["started"]["latest"]), reverse=True
        )
        return sorted(newest, key=lambda i: OPEN.index(i["state"]))

    def as_json(self) -> dict[str, Any]:
        return {
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
                for row in self.rows()
            ],
            "incidents": [
                {name: one[name] for name in ("id", "state", "kind", "sentence", "scope")}
                for one in self.under_way()
            ],
            "figures": self.figures,
        }


def _key(group: Json) -> _Group:
    return group["country"], group["asn"], group["access"]


def _tally(groups: Sequence[Mapping[str, str]], name: str) -> Tally:
    states = [here[name] for here in groups if name in here]
    counts = {state: states.count(state) for state in ORDER if state in states}
    return Tally(counts, len(groups))


def _trouble(row: Row) -> int:
    return sum(
        tally.counts.get("blocked", 0) + tally.counts.get("down", 0)
        for tally in row.services.values()
    )


def age(seconds: float) -> str:
    """ "3 s", "4 min", "2 h": how old something is."""
    for size, unit in ((3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(max(0, seconds))} s"
