"""What a play came to: costs per session, delays of alarms, what should not have been. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from heliograph_lab.simulate.costs import Cost
from heliograph_lab.simulate.counters import Tally
from heliograph_lab.simulate.script import Cut
from heliograph_lab.simulate.subscriber import Seen


@dataclass(frozen=True, slots=True)
class Delay:
    """From a cut's first moment to the public row about it, in real seconds."""

    country: str
    label: str
    onset_s: float
    first_row_s: float | None = None
    confirmed_s: float | None = None


@dataclass(frozen=True, slots=True)
class Comeback:
    """After a restart of the collector, in seconds from its start."""

    at_s: float
    up_s: float  # it answers again
    back_s: float | None  # 99 % of those who can are connected


@dataclass(slots=True)
class Marks:
    """The collector's costs at the moments that matter; None where they could not be read."""

    idle: Cost | None = None  # up, nobody there
    empty: Cost | None = None  # the same, a few seconds later
    enrolled: Cost | None = None
    connected: Cost | None = None  # everybody is
    calm: Cost | None = None  # the end of a stretch in which nothing happened
    beats: int = 0  # heartbeats answered in that stretch
    agents_cpu: float | None = None  # share of a core that all virtual agents took then


@dataclass(slots=True)
class Account:
    name: str
    agents: int
    connected: int
    processes: int
    shared: bool
    tally: Tally
    published: bool
    delays: Sequence[Delay]
    false: Sequence[Seen]
    incidents: Sequence[Seen] = ()  # all of them
    restarts: Sequence[Comeback] = ()
    costs: Mapping[str, float] = field(default_factory=dict)

    @property
    def sound(self) -> bool:
        """Everybody came in, each cut was told and confirmed, and nothing else was confirmed."""
        told = all(d.confirmed_s is not None for d in self.delays)
        return self.connected == self.agents and not self.false and (told or not self.published)

    def json(self) -> dict[str, Any]:
        return asdict(self) | {"sound": self.sound}


def costs(marks: Marks, agents: int) -> dict[str, float]:
    """Per session and per heartbeat, as far as the moments are known."""
    found: dict[str, float] = {}
    empty, enrolled, connected, calm = marks.empty, marks.enrolled, marks.connected, marks.calm
    if marks.idle and empty and empty.at_s > marks.idle.at_s:
        spent_s = empty.cpu_s - marks.idle.cpu_s
        found["idle_core_share"] = spent_s / (empty.at_s - marks.idle.at_s)
    if empty and connected:
        found["rss_empty_mib"] = empty.rss_kib / 1024
        found["rss_mib"] = (calm or connected).rss_kib / 1024
        found["rss_kib_per_session"] = ((calm or connected).rss_kib - empty.rss_kib) / agents
    if empty and enrolled:
        found["enrol_cpu_ms"] = (enrolled.cpu_s - empty.cpu_s) / agents * 1_000
    if enrolled and connected:
        found["connect_cpu_ms"] = (connected.cpu_s - enrolled.cpu_s) / agents * 1_000
    if connected and calm and calm.at_s > connected.at_s:
        spent_s, took_s = calm.cpu_s - connected.cpu_s, calm.at_s - connected.at_s
        found["calm_core_share"] = spent_s / took_s
        found["calm_cpu_ms_per_session_minute"] = spent_s / took_s * 60_000 / agents
        if marks.beats:
            found["heartbeats_per_s"] = marks.beats / took_s
            found["calm_cpu_us_per_heartbeat"] = spent_s / marks.beats * 1e6
    if marks.agents_cpu is not None:
        found["agents_core_share"] = marks.agents_cpu
    return found


def delays(cuts: Sequence[Cut], incidents: Sequence[Seen], zero_s: float) -> list[Delay]:
    """Of each cut the first row that names its country, at or after its onset."""
    found = []
    for cut in cuts:
        at_s = zero_s + cut.at_s
        ours = [
            i for i in incidents if _about(i, cut.country) and (i.closed_s or i.first_s) >= at_s
        ]
        first = min((i.first_s - at_s for i in ours), default=None)
        confirmed = [i.confirmed_s - at_s for i in ours if i.confirmed_s is not None]
        found.append(Delay(cut.country, cut.label, cut.at_s, first, min(confirmed, default=None)))
    return found


def false_alarms(cuts: Sequence[Cut], incidents: Sequence[Seen]) -> list[Seen]:
    """Confirmed silences of countries in which the story cuts nobody."""
    countries = {cut.country for cut in cuts}
    return [
        i
        for i in incidents
        if i.confirmed_s is not None
        and i.kind == "network_silence"
        and i.scope.get("country") not in countries
    ]


def _about(incident: Seen, country: str) -> bool:
    return incident.kind == "network_silence" and incident.scope.get("country") == country
