"""The fleet as intake needs it: in memory, in step with what the commands write to fleet.db."""

import asyncio
import logging
import sqlite3
from collections.abc import Callable

from heliograph.v1 import plan_pb2 as pb
from heliograph_collector.fleet.plans import standing
from heliograph_collector.fleet.registry import Agent, Fleet, Sighting

log = logging.getLogger("heliograph.intake")

_LOOK_S = 1.0
_WRITE_EVERY = 30  # looks between two writes of who was seen


class Roll:
    """Agents by id and the standing plan. Reads are safe from any thread."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self._agents: dict[bytes, Agent] = {}
        self._seen: dict[bytes, Sighting] = {}
        self._changes = -1
        self.plan = pb.SignedPlan()
        self.plan_version = 0
        self.heartbeat_s = 15
        self.reload()

    def get(self, agent: bytes) -> Agent | None:
        """Also one that was revoked."""
        return self._agents.get(agent)

    def key_of(self, agent: bytes) -> bytes | None:
        found = self._agents.get(agent)
        return None if found is None else found.public_key

    def enrolled(self) -> int:
        return sum(1 for agent in self._agents.values() if agent.revoked_s is None)

    def add(self, agent: Agent) -> None:
        """One that was enrolled a moment ago, and must not wait for the next look."""
        self._agents[agent.id] = agent

    def saw(self, sighting: Sighting) -> None:
        self._seen[sighting.agent] = sighting

    def reload(self) -> bool:
        """Whether anybody else has written since the last time."""
        changes = self.fleet.changes()
        if changes == self._changes:
            return False
        # In place: one enrolled while we read is in already, and nobody ever leaves the table.
        self._agents.update({agent.id: agent for agent in self.fleet.agents()})
        found = standing(self.fleet)
        if found is not None:
            plan, self.plan = found
            self.plan_version, self.heartbeat_s = plan.version, plan.heartbeat_s
        self._changes = changes  # only now: what could not be read is looked for again
        return True

    def flush(self) -> None:
        seen, self._seen = self._seen, {}
        if seen:
            self.fleet.saw(list(seen.values()))

    async def follow(self, on_change: Callable[[], None]) -> None:
        """Look every second; never returns."""
        looks = 0
        while True:
            await asyncio.sleep(_LOOK_S)
            looks += 1
            try:
                if await asyncio.to_thread(self.reload):
                    on_change()
                if looks % _WRITE_EVERY == 0:
                    await asyncio.to_thread(self.flush)
            except sqlite3.Error as error:
                log.warning("fleet.db: %s; who is known stays as it was.", error)
