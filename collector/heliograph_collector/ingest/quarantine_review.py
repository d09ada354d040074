"""Agents in quarantine prove themselves: in how many hours did one see what the others saw?

An hour counts for it once, where at least three counted vantages of its network said the same of
the same service, and it said so too. Said by nobody else, or otherwise, it counts for nothing.
"""

import asyncio
import logging
import sqlite3
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from heliograph.clock import Clock
from heliograph_collector.fleet import Fleet, quarantine
from heliograph_collector.model.records import Block, Role, State
from heliograph_collector.store.pseudonyms import Pseudonyms

HOUR_US = 3_600_000_000
SETTLED_US = 1_800_000_000  # after its end an hour still gets most of its late data
WITNESSES = 3
MOST = 20_000  # cells that are waited with
LOOK_S = 600.0
log = logging.getLogger("heliograph.trials")

Cell = tuple[str, int, str, int]  # country, ASN, service or target, hour
_TOLD = (State.REACHABLE, State.BLOCKED)


@dataclass(slots=True)
class Heard:
    """What was said in one cell; the last word of each vantage counts."""

    counted: dict[str, State] = field(default_factory=dict)
    on_trial: dict[str, State] = field(default_factory=dict)

    def agreeing(self) -> Iterable[str]:
        """Pseudonyms on trial that said what all of enough counted ones said."""
        states = set(self.counted.values())
        if len(self.counted) < WITNESSES or len(states) != 1:
            return []
        return [nym for nym, state in self.on_trial.items() if state in states]


class Trials:
    """`took` hears of every block; `run` belongs in the collector's TaskGroup."""

    def __init__(self, fleet: Fleet, clock: Clock, pseudonyms: Pseudonyms) -> None:
        self._fleet, self._clock, self._pseudonyms = fleet, clock, pseudonyms
        self._cells: OrderedDict[Cell, Heard] = OrderedDict()

    def took(self, block: Block) -> None:
        for taken, verdicts in block.judged:
            state = next((v.state for v in verdicts if v.endpoint == ""), State.UNKNOWN)
            if state not in _TOLD or taken.role is Role.CONTROL:
                continue
            place, what = taken.vantage, taken.measurement
            cell = (place.country, place.asn, what.service or what.target,
                    taken.started_us // HOUR_US)  # fmt: skip
            heard = self._cells.setdefault(cell, Heard())
            said = heard.counted if taken.role is Role.VOLUNTEER else heard.on_trial
            said[taken.nym] = state
        while len(self._cells) > MOST:
            self._cells.popitem(last=False)

    async def run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            over = self._over()
            try:
                await asyncio.to_thread(self._count, over)
            except sqlite3.Error as error:
                log.warning("fleet.db: %s; who is on trial has to wait.", error)

    def settle(self) -> int:
        """Hours that are over are counted; how many agents were let out. Raises sqlite3.Error."""
        return self._count(self._over())

    def _over(self) -> list[tuple[Cell, Heard]]:
        over = (self._clock.wall_us() - SETTLED_US) // HOUR_US
        done = [cell for cell in self._cells if cell[3] < over]
        return [(cell, self._cells.pop(cell)) for cell in done]

    def _count(self, cells: Iterable[tuple[Cell, Heard]]) -> int:
        agreed: defaultdict[tuple[str, int, int], set[str]] = defaultdict(set)
        for (country, asn, _, hour), heard in cells:
            agreed[country, asn, hour].update(heard.agreeing())
        hours: Counter[bytes] = Counter()
        trying = [a.id for a in self._fleet.agents() if a.trial_s is not None]
        for (country, asn, hour), nyms in agreed.items():
            for agent in trying if nyms else ():
                nym = self._pseudonyms.vantage(agent, country, asn, hour * HOUR_US)
                hours[agent] += nym in nyms
        found = {agent: count for agent, count in hours.items() if count}
        let_out = quarantine.agreed(self._fleet, found, self._clock.wall_us() // 1_000_000)
        if let_out:
            log.info("%d agents have proved themselves and are counted from now on.", let_out)
        return let_out
