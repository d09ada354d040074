"""Directory of agents and the plan, in memory, kept in step with fleet.db.

Commands write fleet.db while `serve` runs.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Sequence
from typing import Protocol

from heliograph import trust_chain
from heliograph.network_shares import NetworkKey
from heliograph.v1 import plan_pb2 as pb
from heliograph_collector.fleet import agent_keys
from heliograph_collector.fleet.entrances import EntranceNames
from heliograph_collector.fleet.forgetting import forget_agent
from heliograph_collector.fleet.plans import load_current_plan
from heliograph_collector.fleet.quarantine import (
    enrol_without_invite,
    record_results,
)
from heliograph_collector.fleet.registry import AgentSighting, EnrolledAgent, Fleet, hash_token
from heliograph_collector.fleet.session_records import (
    Refusal,
    SessionEnd,
    read_end,
    record_sessions,
)
from heliograph_collector.fleet.trust_chain import load_charters

log = logging.getLogger("heliograph.intake")

_POLL_S = 1.0
_POLLS_PER_WRITE = 30  # polls between two writes of sightings


class FleetObserver(Protocol):
    def on_fleet_change(self) -> None:
        """Act on a change that another process, or another stage, wrote to fleet.db."""


class AgentDirectory:
    """Agents by id and the current plan. Reads are safe from any thread."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self._agents: dict[bytes, EnrolledAgent] = {}
        self._sightings: dict[bytes, AgentSighting] = {}
        self._ends: dict[bytes, SessionEnd] = {}
        self._refusals: dict[bytes, Refusal] = {}
        self._results: dict[bytes, int] = {}  # last accepted results of agents in quarantine
        self._changed: set[bytes] = set()  # agents that this process put into quarantine
        self._data_version = -1
        self.plan = pb.SignedPlan()
        self.plan_version = self.charter_version = 0
        self._other_keys: dict[bytes, tuple[bytes, ...]] = {}
        self._invites: frozenset[bytes] = frozenset()  # hashes of their tokens
        self.heartbeat_s = 15
        self.entrances = EntranceNames()
        self.reload_fleet()

    def get(self, agent: bytes) -> EnrolledAgent | None:
        """Return the agent, also a revoked one."""
        return self._agents.get(agent)

    async def find(self, agent: bytes) -> EnrolledAgent | None:
        """Return the agent, also if it has just enrolled elsewhere. Raises JournalError."""
        return self.get(agent)

    def list_keys(self, agent: bytes) -> tuple[bytes, ...]:
        """List all keys that may have signed the agent's envelopes, the present one first."""
        record = self._agents.get(agent)
        return () if record is None else (record.public_key, *self._other_keys.get(agent, ()))

    def find_invite(self, token: bytes) -> str:
        """Return the name of an invite that was known at the last poll, else ""."""
        token_hash = hash_token(token)
        return token_hash.hex() if token_hash in self._invites else ""

    async def quarantine(
        self, rule: Callable[[Fleet, bytes, int], bool], agent: EnrolledAgent, now_s: int
    ) -> None:
        """Apply a rule that may quarantine the agent; its results then no longer count."""
        if await asyncio.to_thread(rule, self.fleet, agent.id, now_s):
            log.warning(
                "Agent %s seems to run on two machines; its results are kept and not counted. "
                "Send its volunteer an invite for `join INVITE --new-key` on one of them, then "
                "`agents clear`; `agents revoke` if there is no second machine.",
                agent.id.hex(),
            )
            await asyncio.to_thread(self._reload_agent, agent.id)
            self._changed.add(agent.id)

    def take_changed(self) -> set[bytes]:
        """Return the agents whose sessions do not know yet that they are in quarantine."""
        changed = self._changed
        self._changed = set()
        return changed

    def enrol_stranger(
        self,
        public_key: bytes,
        version: str,
        now_s: int,
        networks: Sequence[Sequence[NetworkKey]],
    ) -> EnrolledAgent:
        """Enroll an agent into quarantine. Raises EnrolmentRefusedError, sqlite3.Error."""
        return enrol_without_invite(self.fleet, public_key, version, now_s, networks)

    def offer_next_key(self, agent: EnrolledAgent, public_key: bytes, now_s: int) -> None:
        """Record the agent's next key. Raises EnrolmentRefusedError, sqlite3.Error."""
        agent_keys.offer_key(self.fleet, agent.id, public_key, now_s)
        self._other_keys = agent_keys.list_other_keys(self.fleet)

    def confirm_next_key(self, agent: EnrolledAgent, public_key: bytes, now_s: int) -> bool:
        """Make the next key the present one; return False if it was not the next key."""
        if not agent_keys.confirm_key(self.fleet, agent.id, public_key, now_s):
            return False
        self._reload_agent(agent.id)
        self._other_keys = agent_keys.list_other_keys(self.fleet)
        return True

    def forget_agent(self, agent: bytes, now_s: int) -> None:
        """Forget an agent at its request, and let its other sessions end.

        Raises sqlite3.Error.
        """
        forget_agent(self.fleet, agent, now_s)
        self._sightings.pop(agent, None)
        self._reload_agent(agent)
        self._changed.add(agent)

    def _reload_agent(self, agent: bytes) -> None:
        record = self.fleet.get_agent(agent)
        if record is not None:
            self._agents[agent] = record

    def list_agents(self) -> list[EnrolledAgent]:
        return list(self._agents.values())

    def count_enrolled(self) -> int:
        return sum(1 for agent in self._agents.values() if agent.revoked_s is None)

    def add_agent(self, agent: EnrolledAgent) -> None:
        """Add an agent that has just enrolled, without waiting for the next poll."""
        self._agents[agent.id] = agent

    def record_sighting(self, sighting: AgentSighting) -> None:
        self._sightings[sighting.agent] = sighting

    def record_end(self, end: SessionEnd | None) -> None:
        """Record the end of an agent's last session; None is of one that has another."""
        if end is not None:
            self._ends[end.agent] = end

    def find_end(self, agent: bytes) -> SessionEnd | None:
        """Return the end of an agent's last session before the present one.

        Raises sqlite3.Error.
        """
        return self._ends.get(agent) or read_end(self.fleet, agent)

    def record_refusal(self, refusal: Refusal) -> None:
        """Record a refusal to a known agent, for operators who ask why it is silent."""
        if refusal.agent in self._agents:
            self._refusals[refusal.agent] = refusal

    def record_result(self, agent: EnrolledAgent, at_s: int) -> None:
        """Record an accepted result, which keeps an agent's place in quarantine."""
        if agent.trial_s is not None:
            self._results[agent.id] = at_s

    def reload_fleet(self, *, force: bool = False) -> bool:
        """Reload if fleet.db has changed beside the directory, or if `force`.

        Returns whether it did. Agents that are no longer in fleet.db are no longer known.
        """
        changes = self.fleet.data_version()
        if changes == self._data_version and not force:
            return False
        known_agents = dict(self._agents)
        agents = {agent.id: agent for agent in self.fleet.list_agents()}
        # In place, because an agent may enroll during the read.
        self._agents.update(agents)
        for agent_id in known_agents.keys() - agents.keys():
            if self._agents[agent_id] is known_agents[agent_id]:
                del self._agents[agent_id]
        self._other_keys = agent_keys.list_other_keys(self.fleet)
        self._invites = self.fleet.list_invites()
        standing_plan = load_current_plan(self.fleet)
        if standing_plan is not None:
            plan, signed = standing_plan
            charters = load_charters(self.fleet)
            signed.charters.extend(charters)
            self.plan = signed
            self.plan_version = plan.version
            self.heartbeat_s = plan.heartbeat_s
            self.entrances.replace_listed(plan.entrances)
            self.charter_version = (
                trust_chain.decode_trust_root(charters[-1].charter).version if charters else 0
            )
        self._data_version = changes  # only now, so that a failed read is repeated
        return True

    def flush_sightings(self) -> None:
        sightings = self._sightings
        self._sightings = {}
        if sightings:
            self.fleet.record_sightings(list(sightings.values()))
        ends = self._ends
        self._ends = {}
        refusals = self._refusals
        self._refusals = {}
        if ends or refusals:
            record_sessions(self.fleet, ends.values(), refusals.values())
        results = self._results
        self._results = {}
        if results:
            record_results(self.fleet, results)

    async def watch_fleet(self, observer: FleetObserver | None = None) -> None:
        """Poll every second; never return. None: another process acts on changes."""
        polls = 0
        while True:
            await asyncio.sleep(_POLL_S)
            polls += 1
            try:
                if await asyncio.to_thread(self.reload_fleet) and observer is not None:
                    observer.on_fleet_change()
                if polls % _POLLS_PER_WRITE == 0:
                    await asyncio.to_thread(self.flush_sightings)
            except sqlite3.Error as error:
                log.warning("fleet.db: %s; who is known stays as it was.", error)
