"""Share a cluster's fleet: the leader writes the servers' table, others follow it."""

import asyncio
import hashlib
import hmac
import logging
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from heliograph_collector.app.cluster_messages import (
    ASK,
    IDENTITY,
    FleetReply,
    FleetRequest,
    decode_reply,
    encode,
)
from heliograph_collector.app.explained_errors import explain_errors
from heliograph_collector.config.errors import CannotServeError
from heliograph_collector.fleet import Fleet, Keyring, agent_keys
from heliograph_collector.fleet.forgetting import forget_agent
from heliograph_collector.fleet.quarantine import record_clone, record_fork
from heliograph_collector.fleet.registry import EnrolledAgent, EnrolmentRefusedError
from heliograph_collector.fleet.replica import (
    ReplicaError,
    apply_rows,
    read_rows,
    replace_rows,
)
from heliograph_collector.ingest.agent_directory import AgentDirectory
from heliograph_collector.store.journal.journal import JournalError

if TYPE_CHECKING:
    from heliograph_collector.store.journal.jetstream.bus import Bus, SharedTable

Rule: TypeAlias = Callable[[Fleet, bytes, int], bool]
POLL_S = 1.0  # assumed; how late a host learns of an agent that was revoked
ASK_S = 8.0  # an agent waits 10 s for an enrolment
log = logging.getLogger("heliograph.fleet")
_KEY_FILES = ("signing.key", "log.key", "sealing.key", "secret.key", "tls.pem")


def check_key_files(data: Path) -> None:
    """Check that the keys of the cluster are there. Raises CannotServeError."""
    missing = [name for name in _KEY_FILES if not (data / "keys" / name).exists()]
    if missing:
        raise CannotServeError(
            f"{data / 'keys' / missing[0]} is not there: copy the folder keys of the collector "
            "that leads into this data directory, by a way that nobody else reads."
        )


def compute_identity(keyring: Keyring) -> bytes:
    """Return a digest that is equal if two processes have the same keys."""
    return hmac.digest(keyring.secret, b"cluster" + keyring.pin, hashlib.sha256)


class FleetFollower:
    """Keeps a fleet.db equal to the table."""

    def __init__(self, fleet: Fleet, table: "SharedTable") -> None:
        self._fleet = fleet
        self._table = table
        self._lock = asyncio.Lock()
        self._began_s = 0.0  # of the last update

    async def load(self, keyring: Keyring) -> bool:
        """Read the table; return False if it was never written. Raises CannotServeError."""
        rows = dict(await self._table.read_new())
        identity = rows.pop(IDENTITY, None)
        if identity is None:
            return False
        if identity != compute_identity(keyring):
            raise CannotServeError(
                "The keys here are not those of the collector that leads: copy its folder keys, "
                "or give store.journal another name."
            )
        await asyncio.to_thread(replace_rows, self._fleet, rows)
        return True

    async def load_shared(self, keyring: Keyring) -> None:
        """Read what the collector that leads has written. Raises CannotServeError."""
        with explain_errors(JournalError, ReplicaError):
            is_there = await self.load(keyring)
        if not is_there:
            raise CannotServeError(
                "No collector has led this journal yet: start the one with the other roles first."
            )

    async def update(self) -> None:
        """Apply new rows. Raises JournalError, ReplicaError, sqlite3.Error."""
        asked_s = asyncio.get_running_loop().time()
        async with self._lock:
            if self._began_s > asked_s:  # while this call waited
                return
            self._began_s = asyncio.get_running_loop().time()
            changes = dict(await self._table.read_new())
            changes.pop(IDENTITY, None)
            await asyncio.to_thread(apply_rows, self._fleet, changes)

    async def follow(self) -> None:
        """Apply new rows, each POLL_S; never return."""
        while True:
            await asyncio.sleep(POLL_S)
            try:
                await self.update()
            except (JournalError, ReplicaError, sqlite3.Error) as error:
                log.warning("The fleet stays as it was: %s", error)


class FleetPublisher:
    """Writes the changes of the leader's fleet.db to the table."""

    def __init__(self, data: Path, table: "SharedTable", keyring: Keyring) -> None:
        self._fleet = Fleet(data)  # this connection sees the writes of all others
        self._table = table
        self._keyring = keyring
        self._published: dict[str, bytes] = {}
        self._version = -1
        self._lock = asyncio.Lock()

    def close(self) -> None:
        self._fleet.close()

    async def publish(self) -> None:
        """Write the changes, and return when the servers' quorum has them.

        Raises JournalError.
        """
        async with self._lock:
            version = self._fleet.data_version()
            if version == self._version:
                return
            rows = await asyncio.to_thread(read_rows, self._fleet)
            rows[IDENTITY] = compute_identity(self._keyring)
            for key, row in rows.items():
                if self._published.get(key) != row:
                    await self._table.put(key, row)
                    self._published[key] = row
            for key in self._published.keys() - rows.keys():
                await self._table.put(key, b"")
                del self._published[key]
            self._version = version

    def note_loaded(self, rows: dict[str, bytes]) -> None:
        """Take note of rows that the table has."""
        self._published = rows


def apply_request(fleet: Fleet, request: FleetRequest) -> FleetReply:
    """Apply what a host asks for. Raises sqlite3.Error."""
    agent = request.agent
    now_s = request.now_s
    try:
        match request.action:
            case "enrol":
                enrolled = fleet.enrol_agent(
                    request.token, request.public_key, request.version, now_s
                )
                return FleetReply(agent=enrolled)
            case "offer_key":
                agent_keys.offer_key(fleet, agent, request.public_key, now_s)
                is_done = True
            case "confirm_key":
                is_done = agent_keys.confirm_key(fleet, agent, request.public_key, now_s)
            case "forget":
                forget_agent(fleet, agent, now_s)
                is_done = True
            case "fork":
                is_done = record_fork(fleet, agent, now_s)
            case "clone":
                is_done = record_clone(fleet, agent, now_s)
            case _:
                return FleetReply(is_done=False, refused="update")
    except EnrolmentRefusedError as refused:
        return FleetReply(is_done=False, refused=refused.reason)
    return FleetReply(is_done=is_done, agent=fleet.get_agent(agent))


class LeaderClient:
    """Asks the leader for changes of the fleet; called from threads, as fleet.db is."""

    def __init__(self, bus: "Bus") -> None:
        self._bus = bus
        self._loop = asyncio.get_running_loop()

    def ask(self, request: FleetRequest) -> FleetReply:
        """Ask, and wait. Raises EnrolmentRefusedError, sqlite3.OperationalError."""
        asking = self._bus.ask(ASK, encode(request), ASK_S)
        future = asyncio.run_coroutine_threadsafe(asking, self._loop)
        try:
            reply = decode_reply(future.result(ASK_S + 1))
        except Exception as error:
            raise sqlite3.OperationalError(f"the leader does not answer ({error})") from error
        if reply.refused:
            raise EnrolmentRefusedError(reply.refused)
        return reply


class HostFleet(Fleet):
    """fleet.db of a host, which follows the leader's; enrolments are asked for there."""

    def __init__(self, data: Path, client: LeaderClient) -> None:
        super().__init__(data)
        self._client = client

    def enrol_agent(
        self, token: bytes, public_key: bytes, version: str, now_s: int
    ) -> EnrolledAgent:
        """Enroll by the leader. Raises EnrolmentRefusedError, sqlite3.OperationalError."""
        reply = self._client.ask(
            FleetRequest(
                action="enrol", token=token, public_key=public_key, version=version, now_s=now_s
            )
        )
        agent = reply.agent
        if agent is None:
            raise sqlite3.OperationalError("the leader enrolled nobody")
        with self.transaction() as db:  # it may say hello before the table is read again
            db.execute(
                "INSERT INTO agents (id, public_key, role, version, created_s)"
                " VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (agent.id, agent.public_key, agent.role, agent.version, agent.created_s),
            )
        return agent


class HostDirectory(AgentDirectory):
    """Directory of a host: the leader writes changes, and tracks connected agents."""

    def __init__(self, fleet: Fleet, client: LeaderClient, follower: FleetFollower) -> None:
        super().__init__(fleet)
        self._client = client
        self._follower = follower

    async def find(self, agent: bytes) -> EnrolledAgent | None:
        """Return the agent, also if it has just enrolled elsewhere. Raises JournalError."""
        if self.get(agent) is None:
            await self._follower.update()
            await asyncio.to_thread(self.reload_fleet)
        return self.get(agent)

    async def quarantine(self, rule: Rule, agent: EnrolledAgent, now_s: int) -> None:
        action = "clone" if rule is record_clone else "fork"
        request = FleetRequest(action=action, agent=agent.id, now_s=now_s)
        with suppress(EnrolmentRefusedError):
            await asyncio.to_thread(self._client.ask, request)

    def enrol_stranger(
        self, public_key: bytes, version: str, now_s: int, networks: object
    ) -> EnrolledAgent:
        raise EnrolmentRefusedError("invite_wanted")

    def offer_next_key(self, agent: EnrolledAgent, public_key: bytes, now_s: int) -> None:
        """Record the agent's next key. Raises EnrolmentRefusedError, sqlite3.Error."""
        self._ask("offer_key", agent.id, public_key, now_s)

    def confirm_next_key(self, agent: EnrolledAgent, public_key: bytes, now_s: int) -> bool:
        """Make the next key the present one; return False if it was not the next key."""
        reply = self._ask("confirm_key", agent.id, public_key, now_s)
        if reply.is_done and reply.agent is not None:
            self.add_agent(reply.agent)
        return reply.is_done

    def forget_agent(self, agent: bytes, now_s: int) -> None:
        self._ask("forget", agent, b"", now_s)

    def flush_sightings(self) -> None:
        """Forget sightings: the leader records where it sees agents."""
        self._sightings.clear()
        self._ends.clear()
        self._refusals.clear()
        self._results.clear()

    def _ask(self, action: str, agent: bytes, public_key: bytes, now_s: int) -> FleetReply:
        return self._client.ask(
            FleetRequest(action=action, agent=agent, public_key=public_key, now_s=now_s)
        )
