"""A data directory moves to three real nats-servers while agents send, and back.

Real processes: `serve`, `migrate`, three servers. HELIOGRAPH_MIGRATION_RESULTS results are judged
before. `migrate` is killed at random moments, and so is the leading server. First the move is given
up before its last step, and `serve` continues with the old journal; then it is finished.

By counts and hashes: each result that was acknowledged before, between and after must be stored
once and have a verdict; no earlier verdict may change; repeats of trimmed results must be refused;
no agent may be silent.
"""

import asyncio
import hashlib
import os
import random
import signal
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import pytest
from nats.js.errors import NotFoundError

from heliograph.v1 import intake_pb2 as pb
from heliograph.v1.envelope_pb2 import Envelope
from heliograph_collector.fleet import Keyring, open_keyring
from heliograph_collector.model.records import JournalRow, RowKind
from heliograph_collector.store.journal.journal import Journal
from heliograph_collector.store.journal.moved_journal import FILE, MOVED_FILE
from heliograph_collector.store.journal.tables import read_rows as read_file
from heliograph_collector.store.pseudonyms import Pseudonyms
from support.cluster import (
    Cluster,
    cluster,
    count_rows,
    find_leading_broker,
    open_connection,
    read_rows,
)
from support.earlier_results import Key, build_earlier_rows, enroll, write_earlier
from support.intake import HOST, Caller, channel, greeted, receipts
from support.load_bench import table
from support.ports import free_port
from support.programs import CLEAN, collector
from support.serve_process import NO_CONTROL, NO_QUOTA, Served, start
from support.spooling_agent import SpoolingAgent
from support.stores import open_store
from support.waiting import until, until_true

RESULTS = int(os.environ.get("HELIOGRAPH_MIGRATION_RESULTS", "0"))
KILLS = int(os.environ.get("HELIOGRAPH_MIGRATION_KILLS", "4"))  # in each of the two moves
SEED = int(os.environ.get("HELIOGRAPH_SEED", "1"))
EARLIER_AGENTS = 48
AGENTS = 8  # that send while all this happens
WAIT_S = 3_600.0
SLICE_S = 0.05  # of a move, between two looks at how far it is
LAGS = ("heliograph_judge_lag_seconds ", "heliograph_detector_behind_seconds ")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.real,
    pytest.mark.xdist_group("nats"),
    pytest.mark.timeout(4 * 3_600),
    pytest.mark.skipif(not RESULTS, reason="minutes: make soak moves 100,000 results"),
]


@dataclass
class Collector:
    """One data directory, whose `serve` keeps its port wherever its journal is."""

    data: Path
    keyring: Keyring
    servers: str  # configuration with the journal on servers
    port: int = field(default_factory=free_port)
    served: Served | None = None

    @property
    def endpoint(self) -> str:
        return f"{HOST}:{self.port}"

    @property
    def running(self) -> Served:
        assert self.served is not None
        return self.served

    async def start(self, config: str) -> None:
        self.served = start(self.data, "--grpc", self.endpoint, config=config)
        await asyncio.to_thread(self.served.wait_for, "http")

    async def stop(self) -> None:
        assert await asyncio.to_thread(self.running.stop) == 0

    async def wait_judged(self, lag_s: float = 5.0) -> None:
        """Wait until no result waits longer for its verdict; with 0, until none waits.

        No verdict comes before the detectors have caught up, and nothing is late then either.
        """

        def read_lag_s() -> float:
            _, text = self.running.get("/metrics", operator=True)
            lines = [line for line in text.splitlines() if line.startswith(LAGS)]
            assert len(lines) == len(LAGS)
            return max(float(line.split()[-1]) for line in lines)

        async def is_judged() -> bool:
            return await asyncio.to_thread(read_lag_s) <= lag_s

        await asyncio.sleep(3)  # both gauges are 0 until a start's first looks, a second apart
        await until(is_judged, WAIT_S)

    def migrate(self) -> "subprocess.Popen[str]":
        file = self.data.with_suffix(".servers.yml")
        file.write_text(self.servers)
        return subprocess.Popen(
            collector("migrate", "--data", self.data, "--config", file),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=CLEAN,
        )  # fmt: skip


def read_journal(data: Path) -> list[JournalRow]:
    """Read all rows of a journal that no process has open."""
    rows: list[JournalRow] = []
    with closing(sqlite3.connect(data / FILE)) as db:
        while found := read_file(db, rows[-1].position if rows else 0, 10_000, 1 << 28):
            rows += found
    return rows


def count_keys(rows: Sequence[JournalRow]) -> Counter[Key]:
    return Counter(Key(r.agent, r.sequence) for r in rows if r.kind is RowKind.ENVELOPE)


def digest(rows: Sequence[JournalRow]) -> str:
    """Return the SHA-256 of rows in order, without positions, which a move changes."""
    found = hashlib.sha256()
    for row in rows:
        found.update(repr(replace(row, position=0)).encode())
    return found.hexdigest()


class Stored(NamedTuple):
    """The store's rows as they are, without a merge of repeats."""

    ids: Counter[str]
    verdicts: dict[str, tuple[str, ...]]


async def read_store(data: Path) -> Stored:
    async with open_store(data, is_copied=False) as store:
        ask = store._clickhouse.query_written
        ids = Counter(row[0] for row in ask("SELECT id FROM measurements", {}))
        verdicts = ask("SELECT id, state, rule FROM verdicts FINAL WHERE endpoint = ''", {})
    return Stored(ids, {row[0]: tuple(row[1:]) for row in verdicts})


@dataclass
class Proof:
    """The acknowledged results, and checks of the collector about them."""

    pseudonyms: Pseudonyms
    earlier: list[Key]
    agents: list[SpoolingAgent]
    trimmed: set[Key] = field(default_factory=set)
    waiting: int = 0  # for a verdict
    lines: list[tuple[str, ...]] = field(default_factory=list)

    def list_acknowledged(self) -> set[Key]:
        sent = {Key(a.caller.id, n) for a in self.agents for n in a.acknowledged}
        return sent | set(self.earlier)

    async def wait_progress(self, more: int = 20) -> None:
        """Wait until each agent has so many more acknowledged."""
        counts = [len(agent.acknowledged) for agent in self.agents]
        await until_true(
            lambda: all(
                len(a.acknowledged) >= n + more for a, n in zip(self.agents, counts, strict=True)
            ),
            WAIT_S,
        )

    def check_journal(self, when: str, rows: Sequence[JournalRow]) -> None:
        """Check that each acknowledged result is there once, and that no agent is silent."""
        stored = count_keys(rows)
        expected = self.list_acknowledged() - self.trimmed
        assert expected <= stored.keys(), f"{when}: {len(expected - stored.keys())} are lost"
        assert not stored.keys() & self.trimmed
        assert set(stored.values()) == {1}
        own = {agent.caller.id for agent in self.agents}
        assert not [r for r in rows if r.kind is RowKind.LOST and r.agent in own]
        self.note(f"{when}: acknowledged", len(self.list_acknowledged()))
        self.note(f"{when}: results in the journal, each once", len(stored))

    def check_store(self, when: str, stored: Stored) -> None:
        """Check that each stored result is acknowledged, unique, and has a verdict."""
        keys = self.list_acknowledged()
        expected = {self.pseudonyms.measurement(key.agent, key.sequence, 0) for key in keys}
        assert stored.ids.keys() <= expected
        assert set(stored.ids.values()) == {1}
        assert stored.ids.keys() == stored.verdicts.keys()
        self.note(f"{when}: results in the store, each once, with a verdict", len(stored.ids))
        self.waiting = len(expected) - len(stored.ids)
        self.note(f"{when}: acknowledged, to be judged after the next start", self.waiting)

    def note(self, what: str, value: object) -> None:
        self.lines.append((what, str(value)))


@asynccontextmanager
async def sending(
    collector: Collector, agents: Sequence[SpoolingAgent]
) -> AsyncIterator[Callable[[], None]]:
    """Let agents send inside the block, until the yielded function is called."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for agent in agents:
            group.create_task(agent.run(lambda: [collector], stop))
        try:
            yield stop.set
        finally:
            stop.set()


async def kill_often(
    collector: Collector, running: Cluster, rng: random.Random, rows: int, most: float
) -> list[int]:
    """Run `migrate` and kill it again and again; return the rows copied at each kill.

    A moment is drawn as a share of the rows, up to `most`, each later than the one before. It runs
    by slices with a look after each, so that no speed decides. It stops early if `migrate` ends.
    """
    counts: list[int] = []
    async with open_connection(running) as connection:
        for number in range(KILLS):
            wanted = (number + rng.random()) / KILLS * most * rows
            process = collector.migrate()
            count = -1
            while count < wanted and process.poll() is None:
                process.send_signal(signal.SIGCONT)
                await asyncio.sleep(SLICE_S)  # how long it runs is the input, and no wait
                process.send_signal(signal.SIGSTOP)
                count = await count_rows(connection)
            process.kill()
            await asyncio.to_thread(process.communicate)
            counts.append(count)
            if not (collector.data / FILE).exists():
                break
    return counts


async def wait_leading_broker(running: Cluster, process: "subprocess.Popen[str]") -> int:
    """Return the leading server once a move has created its stream; 0 if it ended.

    A move that begins again deletes the stream before.
    """
    async with asyncio.timeout(WAIT_S):
        while process.poll() is None:
            with suppress(NotFoundError, AssertionError):
                return await find_leading_broker(running)
            await asyncio.sleep(0.02)  # between questions: no event tells that a stream begins
    return 0


async def finish(collector: Collector, running: Cluster) -> float:
    """Run `migrate` to its end, with a kill of the leading server; return seconds."""
    begun_s = time.monotonic()
    process = collector.migrate()
    number = await wait_leading_broker(running, process)
    running.servers.kill(number)
    running.servers.start(number)
    await asyncio.to_thread(running.servers.wait, number)
    output, _ = await asyncio.to_thread(process.communicate)
    assert process.returncode == 0 or "was moved already" in output, output
    print(output)
    return time.monotonic() - begun_s


async def trim(data: Path, before: int) -> set[Key]:
    """Trim results up to a position as `serve` does hourly; departures stay."""
    journal = Journal(data / FILE)
    rows = await journal.read(0, before, limit_bytes=1 << 30)
    await journal.trim(before, time.time_ns() // 1_000)
    await journal.close()
    return set(count_keys([row for row in rows if row.position <= before]))


async def check_repeats(
    collector: Collector, caller: Caller, envelopes: Sequence[Envelope]
) -> None:
    """Check the answers to repeats of stored and trimmed results, as of lost receipts."""
    async with channel(collector) as stub:
        call = await greeted(stub, caller)
        for envelope in envelopes:
            await call.write(pb.AgentMessage(envelope=envelope))
        found = await receipts(call, len(envelopes))
        call.cancel()
    assert [receipt.status for receipt in found] == [pb.STATUS_DUPLICATE] * len(envelopes)


@pytest.fixture
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("migration")) as running:
        yield running


async def test_moved_journal_loses_and_repeats_nothing(running: Cluster, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    keyring = open_keyring(data, [HOST])
    fleet = enroll(data, keyring, EARLIER_AGENTS + AGENTS)
    callers = fleet[:EARLIER_AGENTS]
    rng = random.Random(SEED)
    earlier = await write_earlier(data, build_earlier_rows(callers, RESULTS, rng))
    agents = [
        SpoolingAgent(caller, rng, pause_s=0.5, retry_s=2) for caller in fleet[EARLIER_AGENTS:]
    ]
    proof = Proof(Pseudonyms(keyring.secret), earlier, agents)
    moved = Collector(data, keyring, running.build_config())
    try:
        async with sending(moved, agents) as stop_sending:
            before = await take_back(moved, proof, running, rng)
            await move(moved, proof, running, rng)
            stop_sending()
        trimmed = [callers[1].envelope(sequence) for sequence in (1, 2)]
        await check_repeats(moved, callers[1], trimmed)
        await check_repeats(moved, agents[0].caller, list(agents[0].spool.values()))
        await moved.wait_judged(0)
        await moved.stop()
    finally:
        if moved.served is not None and moved.served.process.poll() is None:
            moved.served.process.kill()
            moved.served.process.wait()
        print(moved.running.log.read_text()[-3_000:])
    proof.check_journal("at the end, on servers", await read_rows(running))
    after = await read_store(data)
    proof.check_store("at the end", after)
    assert not proof.waiting
    changed = [id_ for id_, verdict in before.items() if after.verdicts[id_] != verdict]
    assert not changed, f"{len(changed)} verdicts changed"
    proof.note("verdicts of before the first move, the same at the end", len(before))
    print(f"\n{RESULTS} results, load {os.getloadavg()[0]:.1f}.\n{table(proof.lines)}")


async def take_back(
    moved: Collector, proof: Proof, running: Cluster, rng: random.Random
) -> dict[str, tuple[str, ...]]:
    """Judge all, begin to move, and go on with the old journal; return its verdicts."""
    data = moved.data
    begun_s = time.monotonic()
    await moved.start(NO_CONTROL + NO_QUOTA)
    await proof.wait_progress()
    await moved.wait_judged()
    proof.note("judged at first, s", f"{time.monotonic() - begun_s:.0f}")
    await moved.stop()
    stored = await read_store(data)
    proof.check_store("before", stored)
    proof.trimmed = await trim(data, RESULTS // 10)
    rows = await asyncio.to_thread(read_journal, data)
    proof.check_journal("before", rows)
    counts = await kill_often(moved, running, rng, len(rows), most=0.6)
    assert (data / FILE).exists(), f"the move came to its end, not to be given up: {counts}"
    proof.note("first move killed after, rows", " ".join(map(str, counts)))
    again = await asyncio.to_thread(read_journal, data)
    assert again == rows, "the old journal is as it was"
    await moved.start(NO_CONTROL + NO_QUOTA)
    await proof.wait_progress()
    await moved.wait_judged()
    await moved.stop()
    again = await asyncio.to_thread(read_journal, data)
    assert again[: len(rows)] == rows
    proof.check_journal("taken back", again)
    proof.check_store("taken back", await read_store(data))
    earlier = {proof.pseudonyms.measurement(k.agent, k.sequence, 0) for k in proof.earlier}
    return {id_: v for id_, v in stored.verdicts.items() if id_ in earlier}


async def move(moved: Collector, proof: Proof, running: Cluster, rng: random.Random) -> None:
    """Move to the end, through kills, and go on with the servers."""
    more = await trim(moved.data, RESULTS // 5)  # as serve may have done since the first try
    proof.trimmed |= more
    old = await asyncio.to_thread(read_journal, moved.data)
    counts = await kill_often(moved, running, rng, len(old), most=1.0)
    proof.note("second move killed after, rows", " ".join(map(str, counts)))
    proof.note("its last run, s", f"{await finish(moved, running):.0f}")
    assert (moved.data / MOVED_FILE).exists()
    assert not (moved.data / FILE).exists()
    new = await read_rows(running)
    assert digest(new) == digest(old)
    proof.note("rows moved, SHA-256 equal", f"{len(new)} {digest(new)[:16]}")
    await moved.start(moved.servers)
    await proof.wait_progress()
