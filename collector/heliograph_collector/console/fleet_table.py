"""The fleet as rows: what the registry knows of each agent and what those that are here say.

Pure, and quick enough for ten thousand: pages are cut after filtering.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from heliograph_collector.console.backend import Here
from heliograph_collector.fleet.registry import Agent

PAGE = 50
STATES = ("all", "here", "away", "not counted", "revoked")


@dataclass(frozen=True, slots=True)
class Row:
    agent: Agent
    here: Here | None

    @property
    def id(self) -> str:
        return self.agent.id.hex()

    @property
    def country(self) -> str:
        return self.here.country if self.here else self.agent.country

    @property
    def access(self) -> str:
        return self.here.access if self.here else self.agent.access

    @property
    def region(self) -> str:
        return self.here.region if self.here else ""

    @property
    def doubt(self) -> str:
        """Why its word is not counted; "" when it is."""
        if self.agent.cloned_s is not None:
            return "seems to run on two machines"
        return "in quarantine: came without an invite" if self.agent.trial_s is not None else ""

    @property
    def state(self) -> str:
        """One of STATES but the first."""
        if self.agent.revoked_s is not None:
            return "revoked"
        if self.doubt:
            return "not counted"
        return "here" if self.here else "away"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What of the fleet to show; `text` is looked for in id, country, network, access, version."""

    text: str = ""
    state: str = "all"
    role: str = ""
    page: int = 1


@dataclass(frozen=True, slots=True)
class Cut:
    rows: Sequence[Row]
    found: int
    page: int
    pages: int


@dataclass(frozen=True, slots=True)
class Coverage:
    """Volunteers of one country, network and access that count."""

    country: str
    asn: int
    access: str
    regions: Sequence[str]
    here: int
    enrolled: int


def rows(agents: Iterable[Agent], here: Mapping[bytes, Here]) -> list[Row]:
    """Who is here first, then the newest."""
    found = [Row(agent, here.get(agent.id)) for agent in agents]
    return sorted(found, key=lambda row: (row.here is None, -row.agent.created_s, row.agent.id))


def cut(found: Sequence[Row], wanted: Wanted) -> Cut:
    kept = [row for row in found if _wanted(row, wanted)]
    pages = max(1, -(-len(kept) // PAGE))
    page = min(max(1, wanted.page), pages)
    return Cut(kept[(page - 1) * PAGE : page * PAGE], len(kept), page, pages)


def coverage(found: Iterable[Row]) -> list[Coverage]:
    """Most covered first."""
    cells: dict[tuple[str, int, str], list[Row]] = {}
    for row in found:
        if row.agent.role == "volunteer" and row.state in ("here", "away"):
            cells.setdefault((row.country, row.agent.asn, row.access), []).append(row)
    whole = [
        Coverage(
            *where,
            sorted({row.region for row in some if row.region}),
            sum(row.here is not None for row in some),
            len(some),
        )
        for where, some in cells.items()
    ]
    return sorted(whole, key=lambda c: (-c.here, -c.enrolled, c.country, c.asn, c.access))


def places(found: Iterable[Row], role: str) -> Counter[tuple[str, str]]:
    """Who would run something: per (country, access), of those in good standing."""
    return Counter(
        (row.country, row.access)
        for row in found
        if row.agent.revoked_s is None and role in ("", row.agent.role)
    )


def _wanted(row: Row, wanted: Wanted) -> bool:
    if wanted.state not in ("all", row.state) or wanted.role not in ("", row.agent.role):
        return False
    text = wanted.text.strip().lower()
    if not text:
        return True
    agent = row.agent
    told = (row.country, f"as{agent.asn}", row.access, agent.version, agent.role, row.region)
    return row.id.startswith(text) or any(text in one.lower() for one in told)
