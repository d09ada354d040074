"""Simulation report: costs per session from /proc, alarm delays and false alarms."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from heliograph_lab.simulate.counters import AgentCounters
from heliograph_lab.simulate.script import ExpectedCut
from heliograph_lab.simulate.subscriber import ObservedIncident

_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU seconds and resident memory of processes at one moment of a monotonic clock."""

    at_s: float
    cpu_s: float
    rss_kib: int


def read_cost(pid: int, clock_s: Callable[[], float]) -> Cost | None:
    """Read the cost of a process and its children (Linux); None if it is not there.

    Memory that they share counts for each.
    """
    at_s = clock_s()
    if (own := _read_process(pid, at_s)) is None:
        return None
    costs = [own, *filter(None, (_read_process(child, at_s) for child in list_children(pid)))]
    return Cost(at_s, sum(cost.cpu_s for cost in costs), sum(cost.rss_kib for cost in costs))


def list_children(pid: int) -> list[int]:
    """List what the main thread of a process started and what is still there (Linux)."""
    try:
        return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _read_process(pid: int, at_s: float) -> Cost | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    rss = next((x.split()[1] for x in status.splitlines() if x.startswith("VmRSS:")), "0")
    return Cost(at_s, (int(stat[11]) + int(stat[12])) / _TICKS, int(rss))


@dataclass(frozen=True, slots=True)
class AlarmDelay:
    """The delay from a cut's onset to its public row, in real seconds."""

    country: str
    label: str
    onset_s: float
    first_row_s: float | None = None
    confirmed_s: float | None = None


@dataclass(frozen=True, slots=True)
class RestartRecovery:
    """The recovery from a restart of the collector, in seconds from its start."""

    at_s: float
    up_s: float  # until it answers again
    back_s: float | None  # until 99 % of agents outside cuts are connected; None if too late


@dataclass(slots=True)
class CostMarks:
    """The collector's costs at each phase; None if they could not be read."""

    idle: Cost | None = None  # after the start, without agents
    empty: Cost | None = None  # a few seconds later
    enrolled: Cost | None = None  # all agents
    connected: Cost | None = None  # all agents
    calm: Cost | None = None  # the end of a period without events
    beats: int = 0  # heartbeats answered in that period
    agents_cpu: float | None = None  # share of a core that all virtual agents used then


@dataclass(slots=True)
class SimulationReport:
    """The results of a simulation; `false` are its false alarms."""

    name: str
    agents: int
    connected: int
    processes: int
    shared: bool
    tally: AgentCounters
    published: bool
    delays: Sequence[AlarmDelay]
    false: Sequence[ObservedIncident]
    incidents: Sequence[ObservedIncident] = ()  # all of them
    restarts: Sequence[RestartRecovery] = ()
    costs: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_sound(self) -> bool:
        """Return whether all agents connected and only expected cuts were confirmed.

        All expected cuts must be confirmed if the collector publishes incidents.
        """
        is_confirmed = all(d.confirmed_s is not None for d in self.delays)
        return (
            self.connected == self.agents
            and not self.false
            and (is_confirmed or not self.published)
        )

    def to_json(self) -> str:
        return json.dumps(asdict(self) | {"sound": self.is_sound}, ensure_ascii=False)


def compute_costs(marks: CostMarks, agents: int) -> dict[str, float]:
    """Compute costs per session and per heartbeat from the marks that are present."""
    figures: dict[str, float] = {}
    empty = marks.empty
    enrolled = marks.enrolled
    connected = marks.connected
    calm = marks.calm
    if marks.idle and empty and empty.at_s > marks.idle.at_s:
        spent_s = empty.cpu_s - marks.idle.cpu_s
        figures["idle_core_share"] = spent_s / (empty.at_s - marks.idle.at_s)
    if empty and connected:
        figures["rss_empty_mib"] = empty.rss_kib / 1024
        figures["rss_mib"] = (calm or connected).rss_kib / 1024
        figures["rss_kib_per_session"] = ((calm or connected).rss_kib - empty.rss_kib) / agents
    if empty and enrolled:
        figures["enrol_cpu_ms"] = (enrolled.cpu_s - empty.cpu_s) / agents * 1_000
    if enrolled and connected:
        figures["connect_cpu_ms"] = (connected.cpu_s - enrolled.cpu_s) / agents * 1_000
    if connected and calm and calm.at_s > connected.at_s:
        spent_s = calm.cpu_s - connected.cpu_s
        took_s = calm.at_s - connected.at_s
        figures["calm_core_share"] = spent_s / took_s
        figures["calm_cpu_ms_per_session_minute"] = spent_s / took_s * 60_000 / agents
        if marks.beats:
            figures["heartbeats_per_s"] = marks.beats / took_s
            figures["calm_cpu_us_per_heartbeat"] = spent_s / marks.beats * 1e6
    if marks.agents_cpu is not None:
        figures["agents_core_share"] = marks.agents_cpu
    return figures


def compute_delays(
    cuts: Sequence[ExpectedCut], incidents: Sequence[ObservedIncident], zero_s: float
) -> list[AlarmDelay]:
    """Return for each cut the delay of the first silence of its country.

    An incident counts if it began after the onset, closed after it, or became wider after it: the
    steps of one shutdown are one incident.
    """
    result = []
    for cut in cuts:
        at_s = zero_s + cut.at_s
        rows = [
            row
            for i in incidents
            if i.is_silence and i.scope.get("country") == cut.country
            if (row := _find_row(i, at_s)) is not None
        ]
        first = min((first_s - at_s for first_s, _ in rows), default=None)
        confirmed = min((s - at_s for _, s in rows if s is not None), default=None)
        result.append(AlarmDelay(cut.country, cut.label, cut.at_s, first, confirmed))
    return result


def _find_row(incident: ObservedIncident, at_s: float) -> tuple[float, float | None] | None:
    """Return when an incident reported a cut of that time, and when it confirmed it."""
    wider_s = next((s for s in incident.widened_s if s >= at_s), None)
    if incident.first_s < at_s and wider_s is not None:
        confirmed_s = incident.confirmed_s
        return wider_s, None if confirmed_s is None else max(wider_s, confirmed_s)
    if (incident.closed_s or incident.first_s) >= at_s:
        return incident.first_s, incident.confirmed_s
    return None


def find_false_alarms(
    cuts: Sequence[ExpectedCut], incidents: Sequence[ObservedIncident]
) -> list[ObservedIncident]:
    """Return confirmed silences of countries without an expected cut."""
    countries = {cut.country for cut in cuts}
    return [
        i
        for i in incidents
        if i.confirmed_s is not None and i.is_silence and i.scope.get("country") not in countries
    ]
