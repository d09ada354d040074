"""Review of agents in quarantine by their hours of agreement with others.

An hour counts once for an agent if in some cell of that hour at least MIN_WITNESSES counted
vantages of its network agree on a service and the agent agrees too. Other hours count for nothing.
"""

import asyncio
import logging
import sqlite3
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from heliograph.clock import Clock
from heliograph.units import HOUR_US, SECOND_US
from heliograph_collector.fleet import Fleet, quarantine
from heliograph_collector.model.records import AgentRole, Block, VerdictState
from heliograph_collector.store.pseudonyms import Pseudonyms

LATE_DATA_US = 1_800_000_000  # assumed; most late data of an hour arrives within this time
MIN_WITNESSES = 3
MAX_CELLS = 20_000  # pending cells
REVIEW_INTERVAL_S = 600.0
log = logging.getLogger("heliograph.trials")

Cell = tuple[str, int, str, int]  # country, ASN, service or target, hour
_INFORMATIVE_STATES = (VerdictState.REACHABLE, VerdictState.BLOCKED)


@dataclass(slots=True)
class CellReports:
    """States reported in one cell; the last one of each vantage counts."""

    counted_states: dict[str, VerdictState] = field(default_factory=dict)
    quarantined_states: dict[str, VerdictState] = field(default_factory=dict)

    def find_agreeing(self) -> Iterable[str]:
        """Return pseudonyms in quarantine that agree with enough unanimous vantages."""
        states = set(self.counted_states.values())
        if len(self.counted_states) < MIN_WITNESSES or len(states) != 1:
            return []
        return [nym for nym, state in self.quarantined_states.items() if state in states]


class QuarantineReview:
    """Review task: `on_block` gets every block, `run` belongs in a TaskGroup."""

    def __init__(self, fleet: Fleet, clock: Clock, pseudonyms: Pseudonyms) -> None:
        self._fleet = fleet
        self._clock = clock
        self._pseudonyms = pseudonyms
        self._cells: OrderedDict[Cell, CellReports] = OrderedDict()

    def on_block(self, block: Block) -> None:
        for record, verdicts in block.judged:
            state = next((v.state for v in verdicts if v.endpoint == ""), VerdictState.UNKNOWN)
            is_voter = record.role is not AgentRole.CONTROL and record.seniority.has_vote
            if state not in _INFORMATIVE_STATES or not is_voter:
                continue
            vantage = record.vantage
            measurement = record.measurement
            cell = (vantage.country, vantage.asn, measurement.service or measurement.target,
                    record.started_us // HOUR_US)  # fmt: skip
            reports = self._cells.setdefault(cell, CellReports())
            states = (
                reports.counted_states
                if record.role is AgentRole.VOLUNTEER
                else reports.quarantined_states
            )
            states[record.pseudonym] = state
        while len(self._cells) > MAX_CELLS:
            self._cells.popitem(last=False)

    async def run(self) -> None:
        while True:
            finished_cells = self._pop_finished()
            try:
                await asyncio.to_thread(self._count_agreements, finished_cells)
                await asyncio.to_thread(self.free_places)
            except sqlite3.Error as error:
                log.warning("fleet.db: %s; who is on trial has to wait.", error)
            await asyncio.sleep(REVIEW_INTERVAL_S)

    def count_finished_hours(self) -> int:
        """Count finished hours; return the released agents. Raises sqlite3.Error."""
        return self._count_agreements(self._pop_finished())

    def free_places(self) -> None:
        """Free the places of agents without results. Raises sqlite3.Error."""
        now_s = self._clock.wall_us() // SECOND_US
        freed, deleted = quarantine.free_places(self._fleet, now_s)
        if freed or deleted:
            log.info(
                "%d places in quarantine are free again; %d agents without one were forgotten.",
                freed,
                len(deleted),
            )

    def _pop_finished(self) -> list[tuple[Cell, CellReports]]:
        first_open_hour = (self._clock.wall_us() - LATE_DATA_US) // HOUR_US
        finished_cells = [cell for cell in self._cells if cell[3] < first_open_hour]
        return [(cell, self._cells.pop(cell)) for cell in finished_cells]

    def _count_agreements(self, cells: Iterable[tuple[Cell, CellReports]]) -> int:
        agreeing_by_hour: defaultdict[tuple[str, int, int], set[str]] = defaultdict(set)
        for (country, asn, _, hour), reports in cells:
            agreeing_by_hour[country, asn, hour].update(reports.find_agreeing())
        hours: Counter[bytes] = Counter()
        quarantined_ids = [a.id for a in self._fleet.list_agents() if a.trial_s is not None]
        for (country, asn, hour), pseudonyms in agreeing_by_hour.items():
            for agent in quarantined_ids if pseudonyms else ():
                pseudonym = self._pseudonyms.vantage(agent, country, asn, hour * HOUR_US)
                hours[agent] += pseudonym in pseudonyms
        agreements = {agent: count for agent, count in hours.items() if count}
        released_count = quarantine.add_agreements(
            self._fleet, agreements, self._clock.wall_us() // 1_000_000
        )
        if released_count:
            log.info(
                "%d agents have proved themselves and are counted from now on.", released_count
            )
        return released_count
