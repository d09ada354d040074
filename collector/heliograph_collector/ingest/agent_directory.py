"""The fleet as intake needs it: in memory, in step with what the commands write to fleet.db."""

import asyncio
import logging
import sqlite3
from collections.abc import Callable

from heliograph import trust_chain
from heliograph.v1 import plan_pb2 as pb
from heliograph_collector.fleet import agent_keys
from heliograph_collector.fleet.plans import standing
from heliograph_collector.fleet.registry import Agent, Fleet, Sighting
from heliograph_collector.fleet.trust_chain import chain

log = logging.getLogger("heliograph.intake")

_LOOK_S = 1.0
Doubt = Callable[[Fleet, bytes, int], bool]
_WRITE_EVERY = 30  # looks between two writes of who was seen


class Roll:
    """Agents by id and the standing plan. Reads are safe from any thread."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self._agents: dict[bytes, Agent] = {}
        self._seen: dict[bytes, Sighting] = {}
        self._changes = -1
        self.plan = pb.SignedPlan()
        self.plan_version = self.charter_version = 0
        self._other_keys: dict[bytes, tuple[bytes, ...]] = {}
        self.heartbeat_s = 15
        self.reload()

    def get(self, agent: bytes) -> Agent | None:
        """Also one that was revoked."""
        return self._agents.get(agent)

    def keys_of(self, agent: bytes) -> tuple[bytes, ...]:
        """All that it may have signed an envelope by, the present one first."""
        found = self._agents.get(agent)
        return () if found is None else (found.public_key, *self._other_keys.get(agent, ()))

    async def doubt(self, doubt: Doubt, agent: Agent, now_s: int) -> None:
        """Note what makes `agent` doubtful; from the next look on its word is not counted."""
        if await asyncio.to_thread(doubt, self.fleet, agent.id, now_s):
            log.warning(
                "Agent %s seems to run on two machines; its results are kept and not counted. "
                "See `agents list`, then `agents revoke` or `agents clear`.",
                agent.id.hex(),
            )
            await asyncio.to_thread(self.reload, again=True)

    def offer_key(self, agent: Agent, public_key: bytes, now_s: int) -> None:
        """Raises RefusedError, sqlite3.Error."""
        agent_keys.offer(self.fleet, agent.id, public_key, now_s)
        self._other_keys = agent_keys.others(self.fleet)

    def confirm(self, agent: Agent, public_key: bytes, now_s: int) -> bool:
        """Whether that was the next key, and is the present one from here."""
        if not agent_keys.confirm(self.fleet, agent.id, public_key, now_s):
            return False
        self.reload(again=True)
        return True

    def enrolled(self) -> int:
        return sum(1 for agent in self._agents.values() if agent.revoked_s is None)

    def add(self, agent: Agent) -> None:
        """One that was enrolled a moment ago, and must not wait for the next look."""
        self._agents[agent.id] = agent

    def saw(self, sighting: Sighting) -> None:
        self._seen[sighting.agent] = sighting

    def reload(self, *, again: bool = False) -> bool:
        """Whether anybody else has written since the last time; `again` to read it anyhow."""
        changes = self.fleet.changes()
        if changes == self._changes and not again:
            return False
        # In place: one enrolled while we read is in already, and nobody ever leaves the table.
        self._agents.update({agent.id: agent for agent in self.fleet.agents()})
        self._other_keys = agent_keys.others(self.fleet)
        found = standing(self.fleet)
        if found is not None:
            plan, signed = found
            charters = chain(self.fleet)
            signed.charters.extend(charters)
            self.plan, self.plan_version, self.heartbeat_s = signed, plan.version, plan.heartbeat_s
            self.charter_version = (
                trust_chain.decode(charters[-1].charter).version if charters else 0
            )
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
