"""Ask vantages of a cell to test a service sooner, after two networks failed.

A messenger's light check runs every few minutes, and other tests every hour or two. If two
established vantages in different prefixes fail at one service, up to five others of their cell are
asked for their next run of the same task. They are drawn by chance, at moments drawn over one to
three minutes, so that a censor who fails one client does not see who reacts. Each cell and service
is asked for once in ASK_AGAIN_US.

>>> planner = EarlyRunPlanner(random.Random())
>>> planner.add(judged, now_us, sessions)
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter

from heliograph.clock import Clock
from heliograph.units import MINUTE_US
from heliograph.v1 import intake_pb2 as pb
from heliograph_collector.model.control_look import ConnectedVantage
from heliograph_collector.model.records import (
    LIGHT_CHECK,
    AgentRole,
    Block,
    JudgedMeasurement,
    ReceivedMeasurement,
    Verdict,
    VerdictState,
)
from heliograph_collector.model.seniority import Seniority

MIN_PREFIXES = 2  # that failed; one may be one household, or one liar
MAX_VANTAGES = 5
SPREAD_S = (60.0, 180.0)  # of which the last delay is drawn
FRESH_US = 10 * MINUTE_US  # of a failure; assumed
ASK_AGAIN_US = 15 * MINUTE_US  # assumed
MAX_CELLS = 4_096  # remembered, of a country and service each; assumed
_FAILING = (VerdictState.BLOCKED, VerdictState.PARTIAL)
CellKey = tuple[str, str, str, str]  # country, experiment, service, target


class ConnectedVolunteers(Protocol):
    """Declare the connected volunteers. Implemented by ingest.agent_sessions."""

    @property
    def is_schedule_fixed(self) -> bool:
        """Return whether the plan forbids tests out of their turn."""
        ...

    def list_vantages(self, country: str, now_us: int) -> Sequence[ConnectedVantage]:
        """List the volunteers of a country whose link is online."""
        ...

    def ask_early_run(self, agent: bytes, run: pb.EarlyRun) -> bool:
        """Queue a wish for one agent; return False if it left or does not read."""
        ...


@dataclass(slots=True)
class _Failures:
    """Recent failures of one service in one country, by prefix, and the last wish."""

    by_prefix: dict[str, tuple[int, int]] = field(default_factory=dict)  # (time, ASN)
    asked_us: int | None = None


@dataclass(slots=True)
class EarlyRunPlanner:
    """Decide which vantages are asked, and when. No clock and no network."""

    rng: random.Random
    _cells: dict[CellKey, _Failures] = field(default_factory=dict)

    def add(
        self, judged: Iterable[JudgedMeasurement], now_us: int, sessions: ConnectedVolunteers
    ) -> list[tuple[bytes, pb.EarlyRun]]:
        """Add judged measurements; return whom to ask for what."""
        asked: list[tuple[bytes, pb.EarlyRun]] = []
        for record, verdicts in judged:
            if _is_counted_failure(record, verdicts):
                asked += self._add_failure(record, now_us, sessions)
        return asked

    def _add_failure(
        self, record: ReceivedMeasurement, now_us: int, sessions: ConnectedVolunteers
    ) -> list[tuple[bytes, pb.EarlyRun]]:
        if now_us - record.started_us > FRESH_US:
            return []
        measurement = record.measurement
        target = "" if measurement.service else measurement.target
        place = record.vantage
        key = (place.country, measurement.experiment, measurement.service, target)
        failures = self._cells.pop(key, _Failures())
        self._cells[key] = failures  # the oldest comes first
        if len(self._cells) > MAX_CELLS:
            del self._cells[next(iter(self._cells))]
        recent = {p: f for p, f in failures.by_prefix.items() if now_us - f[0] <= FRESH_US}
        failures.by_prefix = {**recent, record.prefix: (record.started_us, place.asn)}
        is_asked = failures.asked_us is not None and now_us - failures.asked_us < ASK_AGAIN_US
        if len(failures.by_prefix) < MIN_PREFIXES or is_asked or sessions.is_schedule_fixed:
            return []
        drawn = self._draw_vantages(sessions.list_vantages(place.country, now_us), failures)
        if drawn:
            failures.asked_us = now_us
        spread_s = self.rng.uniform(*SPREAD_S)
        return [(vantage.agent, self._build_run(key, spread_s)) for vantage in drawn]

    def _draw_vantages(
        self, vantages: Sequence[ConnectedVantage], failures: _Failures
    ) -> list[ConnectedVantage]:
        """Draw vantages in other prefixes, of the failing network if only one fails."""
        others = [v for v in vantages if v.prefix not in failures.by_prefix]
        networks = {asn for _, asn in failures.by_prefix.values()}
        inside = [v for v in others if {v.asn} == networks]
        cell = inside or others
        return self.rng.sample(cell, min(MAX_VANTAGES, len(cell)))

    def _build_run(self, key: CellKey, spread_s: float) -> pb.EarlyRun:
        _, experiment, service, target = key
        delay_s = round(self.rng.uniform(0.0, spread_s))
        return pb.EarlyRun(experiment=experiment, service=service, target=target, delay_s=delay_s)


class EarlyRunDispatcher:
    """Feed the planner with stored blocks, and send its wishes. A `BlockListener`."""

    def __init__(
        self,
        planner: EarlyRunPlanner,
        sessions: ConnectedVolunteers,
        *,
        clock: Clock,
        registry: CollectorRegistry,
    ) -> None:
        self._planner = planner
        self._sessions = sessions
        self._clock = clock
        self._asked = Counter(
            "heliograph_early_runs", "Early runs that vantages were asked for", registry=registry
        )

    def on_block(self, block: Block) -> None:
        for agent, run in self._planner.add(block.judged, self._clock.wall_us(), self._sessions):
            self._asked.inc(self._sessions.ask_early_run(agent, run))


def _is_counted_failure(record: ReceivedMeasurement, verdicts: Sequence[Verdict]) -> bool:
    """Return whether an established volunteer failed at a service.

    A young vantage may be a liar's.
    """
    return (
        record.role is AgentRole.VOLUNTEER
        and record.seniority is Seniority.ESTABLISHED
        and not record.is_time_bad
        and any(v.endpoint in ("", LIGHT_CHECK) and v.state in _FAILING for v in verdicts)
    )
