"""Brokers, ingest hosts and possible leaders as real processes, some killed.

There are three brokers, two ingest hosts and two collectors. A leader is killed, or stopped and
resumed when the next one leads. What was acknowledged must be stored once, whichever host took it
and whatever was killed; no agent may be silent for a fault of ours; alert log and audit trail must
each be one chain; users of one leader's console must be those of the next; and the detectors'
memory must be there.
"""

import asyncio
import random
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from os import environ

import pyotp
import pytest

from heliograph import keys
from heliograph.voice_code import ServiceState, StatusReport, format_digits, make_code
from heliograph_collector.app.shared_audit import LEAD
from heliograph_collector.detect.checkpoint import FOLDER, list_states
from heliograph_collector.fleet import audit_log
from heliograph_collector.ingest.voice_reports import CARRIER
from heliograph_collector.model.records import RowKind
from heliograph_collector.store.journal.tables import read_rows as read_stored_rows
from support.cluster import (
    Cluster,
    IngestHost,
    cluster,
    find_leading_broker,
    is_handed_over,
    read_audit,
    read_log,
    read_rows,
)
from support.console_client import log_in
from support.intake import Caller, enrolled
from support.spooling_agent import SpoolingAgent
from support.waiting import until, until_true

pytestmark = [pytest.mark.slow, pytest.mark.real, pytest.mark.xdist_group("nats")]
SCHEDULES = int(environ.get("HELIOGRAPH_CLUSTER_SCHEDULES", "1"))
SEED = int(environ.get("HELIOGRAPH_SEED", "1"))
AGENTS = 6
COMES_BACK_S = 60.0
PAUSE_S = 0.1  # of an agent, after each envelope
PASSWORD = "a password of ten"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("cluster")) as running:
        running.start_leader(0).wait_for("http")
        running.start_leader(1)
        running.start_host(0)
        running.start_host(1)
        yield running


class Schedule:
    """Kills in an order drawn by chance, while agents send."""

    def __init__(self, running: Cluster, rng: random.Random) -> None:
        self._running = running
        self._rng = rng
        self.agents: list[SpoolingAgent] = []
        self.user = f"user{rng.getrandbits(32):x}"
        self.gaps_s: dict[str, list[float]] = {}

    def list_hosts(self) -> list[IngestHost]:
        return list(self._running.hosts.values())

    async def run(self) -> None:
        for _ in range(AGENTS):
            caller = await enrolled(self._rng.choice(self.list_hosts()))
            chance = random.Random(self._rng.random())
            self.agents.append(SpoolingAgent(caller, chance, pause_s=PAUSE_S))
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for agent in self.agents:
                group.create_task(agent.run(self.list_hosts, stop))
            await self._wait_progress()
            acts = [self._kill_host, self._kill_leader, self._kill_broker]
            self._rng.shuffle(acts)
            for act in acts:
                await act()
                await self._wait_progress()
            stop.set()

    async def _wait_progress(self) -> None:
        """Wait until each agent has one more acknowledged."""
        counts = [len(agent.acknowledged) for agent in self.agents]
        await until_true(
            lambda: all(len(a.acknowledged) > n for a, n in zip(self.agents, counts, strict=True))
        )

    async def _kill_host(self) -> None:
        number = self._rng.choice(list(self._running.hosts))
        began_s = time.monotonic()
        self._running.kill(self._running.hosts[number].served)
        await self._wait_progress()
        self._note("ingest host", began_s)
        await asyncio.to_thread(self._running.start_host, number)

    async def _kill_leader(self) -> None:
        running = self._running
        number = running.find_leader()
        totp = await self._add_user(number)
        now_s = int(time.time())
        assert await log_in(running.leaders[number], self.user, PASSWORD, totp.at(now_s))
        await until(partial(is_handed_over, running))
        began_s = time.monotonic()
        ended = running.leaders[number].process
        is_stopped = self._rng.random() < 0.5
        ended.send_signal(signal.SIGSTOP if is_stopped else signal.SIGKILL)
        successor = running.leaders[1 - number]
        await asyncio.to_thread(successor.wait_for, "http")
        self._note("stopped leader" if is_stopped else "leader", began_s)
        if is_stopped:  # it finds that another leads, and ends by itself
            ended.send_signal(signal.SIGCONT)
        await asyncio.to_thread(ended.wait, COMES_BACK_S)
        learned = {file.name for file in list_states(running.leaders[number].data / FOLDER)}
        assert learned & {file.name for file in list_states(successor.data / FOLDER)}
        running.start_leader(number)
        assert not await log_in(successor, self.user, PASSWORD, totp.at(now_s)), "used before"
        assert await log_in(successor, self.user, PASSWORD, totp.at(int(time.time()) + 30))

    async def _add_user(self, number: int) -> pyotp.TOTP:
        """Add a user with a second factor by commands, and wait until the leader has it."""
        await self._running.run_command(number, "operator", "add", self.user, typed=PASSWORD)
        uri = await self._running.run_command(number, "operator", "totp", self.user)
        mirror = self._running.leaders[number].data / "operators.json"
        secret = str(pyotp.parse_uri(uri.strip()).secret)
        await until_true(lambda: mirror.exists() and secret in mirror.read_text())
        return pyotp.TOTP(secret)

    async def _kill_broker(self) -> None:
        servers = self._running.servers
        number = await find_leading_broker(self._running)
        began_s = time.monotonic()
        servers.kill(number)
        await self._wait_progress()
        self._note("leading broker", began_s)
        servers.start(number)
        await asyncio.to_thread(servers.wait, number)

    def _note(self, what: str, began_s: float) -> None:
        self.gaps_s.setdefault(what, []).append(time.monotonic() - began_s)


@pytest.mark.parametrize("seed", range(SEED, SEED + SCHEDULES))
async def test_kills_lose_nothing_repeat_nothing_and_silence_nobody(
    running: Cluster, seed: int
) -> None:
    schedule = Schedule(running, random.Random(seed))
    await schedule.run()
    await import_code(running, schedule.agents[0].caller)
    rows = await read_rows(running)
    own = {agent.caller.id for agent in schedule.agents}
    stored = Counter((r.agent, r.sequence) for r in rows if r.kind is RowKind.ENVELOPE)
    acknowledged = {(a.caller.id, n) for a in schedule.agents for n in a.acknowledged}
    assert acknowledged <= stored.keys()
    assert set(stored.values()) == {1}
    codes = [row.agent for row in rows if row.carrier == CARRIER and row.agent in own]
    assert codes == [schedule.agents[0].caller.id]
    assert not [r for r in rows if r.kind is RowKind.LOST and r.agent in own]
    assert sum(agent.connections for agent in schedule.agents) > AGENTS, "agents moved"
    proof = running.verify_log(running.find_leader())
    assert (proof.bad, proof.entries) == (None, len(await read_log(running)))
    await check_trail(running, schedule.user)
    await check_backup(running, schedule.user)
    print(f"seed {seed}: {len(acknowledged)} acknowledged; gaps in s: {schedule.gaps_s}")


async def check_backup(running: Cluster, user: str) -> None:
    """Check that a backup of the running leader has what the servers have."""
    before = await read_rows(running)
    saved = running.directory / f"saved-{user}"
    await running.run_command(running.find_leader(), "backup", str(saved), "--no-proof")
    with closing(sqlite3.connect(saved / "data" / "journal.db")) as db:
        assert read_stored_rows(db, 0, len(before), 1 << 30) == before
    assert user in (saved / "data" / "operators.json").read_text()
    trail = (saved / "data" / audit_log.FILE_NAME).read_bytes().splitlines()
    assert trail == await read_audit(running)


async def import_code(running: Cluster, caller: Caller) -> None:
    """Take in what an agent's owner reads out by telephone, where the leader runs."""
    report = StatusReport(int(time.time()) // 60, {"telegram": ServiceState.ANSWERS})
    key = running.keyring.sealing.derive_shared_key(caller.signer.public, keys.CODE)
    code = format_digits(make_code(report, key, caller.id))
    said = await running.run_command(running.find_leader(), "import", "code", code)
    assert "Kept" not in said, "the journal has it"


async def check_trail(running: Cluster, user: str) -> None:
    """Check that each action is in the trail once, in order, and in the leader's file."""
    lines = await read_audit(running)
    file = running.leaders[running.find_leader()].data / audit_log.FILE_NAME
    assert file.read_bytes().splitlines() == lines
    entries = [entry for line in lines if (entry := audit_log.parse_line(line))]
    actions = [(e.did, e.outcome) for e in entries if user in (e.who, e.about.partition(" ")[0])]
    assert actions == [
        ("operator.add", "done"), ("operator.totp", "done"), ("login", "done"),
        ("login", "refused"), ("login", "done"),
    ]  # fmt: skip
    terms = [int(entry.about.removeprefix("term ")) for entry in entries if entry.did == LEAD]
    assert terms == sorted(set(terms))
    assert len(terms) >= 2
