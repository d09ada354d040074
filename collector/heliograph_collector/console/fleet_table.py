"""Join registry data with live session data into the fleet table.

Pure, and fast enough for ten thousand agents: pages are cut after filtering.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from heliograph_collector.console.backend import LiveAgent
from heliograph_collector.fleet.registry import EnrolledAgent

PAGE_SIZE = 50
STATES = ("all", "here", "away", "not counted", "revoked")


@dataclass(frozen=True, slots=True)
class FleetRow:
    agent: EnrolledAgent
    live: LiveAgent | None

    @property
    def id(self) -> str:
        return self.agent.id.hex()

    @property
    def country(self) -> str:
        return self.live.country if self.live else self.agent.country

    @property
    def access(self) -> str:
        return self.live.access if self.live else self.agent.access

    @property
    def region(self) -> str:
        return self.live.region if self.live else ""

    @property
    def exclusion_reason(self) -> str:
        """Return why the agent's votes do not count; "" if they do."""
        if self.agent.cloned_s is not None:
            return "seems to run on two machines"
        return "in quarantine: came without an invite" if self.agent.trial_s is not None else ""

    @property
    def state(self) -> str:
        """Return one of STATES except the first."""
        if self.agent.revoked_s is not None:
            return "revoked"
        if self.exclusion_reason:
            return "not counted"
        return "here" if self.live else "away"


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetFilter:
    """Filter of the fleet; `search_text` is the start of an id or part of a field."""

    search_text: str = ""
    state: str = "all"
    role: str = ""
    page: int = 1


@dataclass(frozen=True, slots=True)
class FleetPage:
    rows: Sequence[FleetRow]
    match_count: int
    page: int
    page_count: int


@dataclass(frozen=True, slots=True)
class FleetCoverage:
    """Volunteers of one country, network and access whose votes count."""

    country: str
    asn: int
    access: str
    regions: Sequence[str]
    connected: int
    enrolled: int


def build_rows(
    agents: Iterable[EnrolledAgent], live_agents: Mapping[bytes, LiveAgent]
) -> list[FleetRow]:
    """Build rows, connected agents first, then the newest."""
    fleet_rows = [FleetRow(agent, live_agents.get(agent.id)) for agent in agents]
    return sorted(fleet_rows, key=_rank_row)


def describe_neighbors(row: FleetRow, rows: Iterable[FleetRow]) -> str:
    """Say how many others of its network are here: a cut takes all, a machine one."""
    others = [
        r
        for r in rows
        if r.id != row.id
        and r.agent.revoked_s is None
        and (r.country, r.agent.asn) == (row.country, row.agent.asn)
    ]
    if not others:
        return "nobody else is enrolled there"
    here = sum(r.live is not None for r in others)
    return f"{here} of {len(others)} are here now"


def cut_page(rows: Sequence[FleetRow], fleet_filter: FleetFilter) -> FleetPage:
    matches = [row for row in rows if _matches_filter(row, fleet_filter)]
    page_count = max(1, -(-len(matches) // PAGE_SIZE))
    page = min(max(1, fleet_filter.page), page_count)
    return FleetPage(
        matches[(page - 1) * PAGE_SIZE : page * PAGE_SIZE], len(matches), page, page_count
    )


def build_coverage(rows: Iterable[FleetRow]) -> list[FleetCoverage]:
    """Build the coverage, best covered first."""
    cells: dict[tuple[str, int, str], list[FleetRow]] = {}
    for row in rows:
        if row.agent.role == "volunteer" and row.state in ("here", "away"):
            cells.setdefault((row.country, row.agent.asn, row.access), []).append(row)
    coverage_cells = [
        FleetCoverage(
            *cell_key,
            sorted({row.region for row in cell_rows if row.region}),
            sum(row.live is not None for row in cell_rows),
            len(cell_rows),
        )
        for cell_key, cell_rows in cells.items()
    ]
    return sorted(coverage_cells, key=_rank_cell)


def _rank_row(row: FleetRow) -> tuple[bool, int, bytes]:
    return row.live is None, -row.agent.created_s, row.agent.id


def _rank_cell(cell: FleetCoverage) -> tuple[int, int, str, int, str]:
    return -cell.connected, -cell.enrolled, cell.country, cell.asn, cell.access


def count_places(rows: Iterable[FleetRow], role: str) -> Counter[tuple[str, str]]:
    """Count the agents of a role by (country, access), without revoked ones."""
    return Counter(
        (row.country, row.access)
        for row in rows
        if row.agent.revoked_s is None and role in ("", row.agent.role)
    )


def _matches_filter(row: FleetRow, fleet_filter: FleetFilter) -> bool:
    if fleet_filter.state not in ("all", row.state) or fleet_filter.role not in (
        "",
        row.agent.role,
    ):
        return False
    search_text = fleet_filter.search_text.strip().lower()
    if not search_text:
        return True
    agent = row.agent
    searchable_fields = (
        row.country,
        f"as{agent.asn}",
        row.access,
        agent.version,
        agent.role,
        row.region,
        agent.name,
        agent.note,
    )
    return row.id.startswith(search_text) or any(
        search_text in value.lower() for value in searchable_fields
    )
