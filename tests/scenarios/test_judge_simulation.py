"""Leaders and remote judge processes over a model of the broker, random faults.

The code of both sides is real; broker, journal, stores and clocks are played, in virtual time, and
a verdict is the data that the judge would have compared. Whatever is killed, cut off, slow, lost or
overtaken by the next leader, every row must be stored once, in order, with the verdicts that one
process gives for the same blocks.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from os import environ
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from heliograph.plan import Service
from heliograph.services import load_shipped_services
from heliograph_collector.app import judge_process, judge_workers
from heliograph_collector.app.frames import HEADER_BYTES, decode_length, encode_frame
from heliograph_collector.app.judge_host import JudgeSlot
from heliograph_collector.app.judge_messages import (
    VERSION,
    JudgeRequest,
    JudgeSetup,
    ViewedRequest,
    WorkerStatus,
    decode_message,
)
from heliograph_collector.app.judge_process import RequestHandler
from heliograph_collector.app.judge_role import RemoteWorkers
from heliograph_collector.app.judge_workers import JudgeWorkers
from heliograph_collector.app.worker_process import WorkerLostError
from heliograph_collector.control.assessor import Assessor
from heliograph_collector.fleet.signed_lists import SignedLists
from heliograph_collector.judge import writer as writer_module
from heliograph_collector.judge.row_judge import LocalJudge
from heliograph_collector.judge.writer import StoreWriter
from heliograph_collector.model.expiry_clock import ExpiryClock
from heliograph_collector.model.records import (
    ControlView,
    ReceivedMeasurement,
    Verdict,
    VerdictState,
)
from heliograph_collector.store.pseudonyms import Pseudonyms
from support.judge_model import ModelBroker, ModelJournal, ModelLink, ModelStore
from support.judged_rows import SECRET, build_rows
from support.virtual_time import VirtualClock, run_virtually

SCHEDULES = int(environ.get("HELIOGRAPH_JUDGE_SIMULATIONS", "12"))
SEED = int(environ.get("HELIOGRAPH_SEED", "1"))
SERVICES = load_shipped_services().services
ROWS = 80
BLOCK = 8
HOSTS = 3
FAULTS = ("kill", "cut", "pause", "loss", "process", "slow", "leader", "two", "clock", "store")


def judge(record: ReceivedMeasurement, control: ControlView) -> tuple[Verdict, ...]:
    """Return all that a verdict could depend on, which is cheaper than the rules.

    A third of the verdicts depend on no peers and no looks, as most of those of the rules.
    """
    nearest = "" if control.measurement is None else str(control.measurement.started_us)
    if record.started_us % 3 == 0:
        view = f"{control.age_us} {control.is_later} {control.network} {control.profile}"
        return (Verdict(state=VerdictState.BLOCKED, rule=f"{nearest} {view}"),)
    looks = [look.age_us for look in control.looks]
    peers = sorted(control.peer_comparisons.items())
    compared = [control.age_us, control.network, control.profile, looks, peers]
    return (Verdict(state=VerdictState.BLOCKED, rule=f"{nearest} {compared}"),)


class ModelProcess:
    """A judge process: the real handler of requests, which takes its time."""

    def __init__(self, data: Path, services: Sequence[Service], host: "ModelHost") -> None:
        setup = JudgeSetup(version=VERSION, data=str(data), secret=SECRET, services=list(services))
        self.handler = RequestHandler(setup)
        self.host = host
        self.unread = b""
        self.replies = b""
        self.has_replied = asyncio.Event()
        self.is_dead = False

    async def write(self, content: bytes) -> None:
        if self.is_dead:
            raise ConnectionResetError
        self.unread += content
        while len(self.unread) >= HEADER_BYTES:
            end = HEADER_BYTES + decode_length(self.unread[:HEADER_BYTES])
            if len(self.unread) < end:
                break
            request = decode_message(self.unread[HEADER_BYTES:end])
            self.unread = self.unread[end:]
            if isinstance(request, JudgeRequest):
                self.host.judged += len(request.judged)
            if isinstance(request, ViewedRequest):
                self.host.viewed += len(request.own)
            reply = encode_frame(self.handler.answer(request))
            reply += encode_frame(WorkerStatus(cpu_us=1, messages=[]))
            loop = asyncio.get_running_loop()
            loop.call_later(self.host.answer_s, self._reply, reply)

    def _reply(self, content: bytes) -> None:
        self.replies += content
        self.has_replied.set()

    async def read(self, limit: int) -> bytes:
        await self.has_replied.wait()
        if self.is_dead:
            return b""
        count = min(limit, self.host.rng.choice((1, 7, limit, limit)))
        content = self.replies[:count]
        self.replies = self.replies[count:]
        if not self.replies:
            self.has_replied.clear()
        return content

    async def stop(self) -> None:
        self.die()

    def die(self) -> None:
        self.is_dead = True
        self.has_replied.set()


class ModelHost:
    """A host that offers one process."""

    def __init__(self, name: str, broker: ModelBroker, data: Path) -> None:
        self.rng = broker.rng
        self.link = ModelLink(broker)
        self.answer_s = 0.05
        self.judged = 0
        self.viewed = 0
        self.processes: list[ModelProcess] = []
        self._data = data
        self.task = asyncio.ensure_future(JudgeSlot(name, self.link, self.start).run())

    async def start(self, services: Sequence[Service]) -> ModelProcess:
        await asyncio.sleep(self.rng.choice((0.5, 3.0, 12.0)))
        if self.rng.random() < 0.1:
            raise WorkerLostError("no memory")
        self.processes.append(ModelProcess(self._data, services, self))
        return self.processes[-1]


class ModelLeader:
    """A leader with a separate store."""

    def __init__(self, simulation: "Simulation", term: int, start: int) -> None:
        self.link = ModelLink(simulation.broker)
        self.store = ModelStore(start, simulation.rng)
        remote = RemoteWorkers(self.link, term, SERVICES)
        self.workers = JudgeWorkers(
            Assessor(judge, SERVICES),
            [remote],
            simulation.journal,
            SignedLists(simulation.data),
            pseudonyms=Pseudonyms(SECRET),
            clock=simulation.clock,
            rng=simulation.rng,
            registry=CollectorRegistry(),
        )
        journal: Any = simulation.journal
        self.writer = StoreWriter(
            journal,
            self.store,
            self.workers,
            clock=simulation.clock,
            expiry=ExpiryClock(simulation.clock, 0, 0),
            rng=simulation.rng,
        )
        self.task = asyncio.ensure_future(self._run(remote))

    async def _run(self, remote: RemoteWorkers) -> None:
        async with asyncio.TaskGroup() as group:
            for run in (remote.run, self.workers.run, self.writer.run):
                group.create_task(run())

    is_ended = False

    def end(self) -> None:
        self.is_ended = True
        self.task.cancel()


class Simulation:
    """One schedule of faults; `wrong` collects the faults found."""

    def __init__(self, seed: int, clock: VirtualClock, data: Path) -> None:
        self.rng = random.Random(seed)
        self.clock = clock
        self.data = data
        self.broker = ModelBroker(self.rng)
        self.journal = ModelJournal()
        self.rows = build_rows(ROWS, seed)
        self.runs = 0
        self.hosts = [self.create_host() for _ in range(HOSTS)]
        self.leaders = [ModelLeader(self, 1, 0)]
        self.counts: Counter[str] = Counter()

    def create_host(self) -> ModelHost:
        self.runs += 1
        return ModelHost(f"h{self.runs}", self.broker, self.data)

    async def run(self) -> None:
        with ExitStack() as stack:
            stack.callback(self.end)
            while self.journal.position < ROWS:
                at = self.journal.position
                await self.journal.add(self.rows[at : at + self.rng.randrange(1, 3 * BLOCK)])
                for _ in range(self.rng.randrange(1, 12)):
                    await asyncio.sleep(self.rng.random() * 3)
                    await self.draw_fault()
            self.broker.loss = 0.0
            async with asyncio.timeout(3_600):
                while any(each.writer.behind != 0 for each in self.leaders if not each.is_ended):
                    self.check_tasks()
                    await asyncio.sleep(1)

    def check_tasks(self) -> None:
        """Raise the error of a failed part, which ends the schedule."""
        leading = (leader.task for leader in self.leaders if not leader.is_ended)
        for task in (*leading, *(host.task for host in self.hosts)):
            if task.done():
                task.result()

    async def draw_fault(self) -> None:  # noqa: C901 one fault a case
        self.check_tasks()
        if self.rng.random() > 0.15:
            return
        fault = self.rng.choice(FAULTS)
        self.counts[fault] += 1
        host = self.rng.choice(self.hosts)
        leader = self.leaders[-1]
        until_s = asyncio.get_running_loop().time() + self.rng.choice((0.5, 2, 8, 60))
        match fault:
            case "kill":
                host.task.cancel()
                self.counts["judged elsewhere"] += host.judged
                self.hosts[self.hosts.index(host)] = self.create_host()
            case "cut":
                self.rng.choice((host.link, leader.link)).cut_until_s = until_s
            case "pause":
                host.link.paused_until_s = until_s
            case "loss":
                self.broker.loss = self.rng.choice((0.0, 0.02, 0.2))
            case "process" if host.processes:
                host.processes[-1].die()
            case "slow":
                host.answer_s = self.rng.choice((0.01, 0.5, 5.0, 40.0))
            case "leader":
                leader.end()
                await self.lead()
            case "two":  # the earlier one does not know yet
                await self.lead()
            case "clock":
                self.clock.wall += self.rng.choice((-1, 1)) * 90_000_000
            case "store":
                leader.store.refused += self.rng.randrange(1, 4)

    async def lead(self) -> None:
        """Let another lead, from what the one before it has stored."""
        stored = await self.leaders[-1].store.cursor("")
        self.leaders.append(ModelLeader(self, len(self.leaders) + 1, stored))

    def end(self) -> None:
        for task in (*(leader.task for leader in self.leaders), *(h.task for h in self.hosts)):
            task.cancel()

    async def check_stores(self) -> None:
        self.counts["judged elsewhere"] += sum(host.judged for host in self.hosts)
        self.counts["judged by views"] += sum(host.viewed for host in self.hosts)
        for leader in self.leaders:
            alone = LocalJudge(Assessor(judge, SERVICES), Pseudonyms(SECRET))
            await alone.restore(self.rows[: leader.store.start])
            last = leader.store.start
            for block in leader.store.blocks:
                assert block.first == last + 1
                last = block.last
                decoded = await alone.decode(self.rows[block.first - 1 : last], is_behind=False)
                expected = await alone.judge(decoded)
                assert block.judged == expected.judged
                assert block.refused == expected.refused
                assert block.presence == expected.presence
            assert last == ROWS or leader.is_ended


@pytest.fixture(autouse=True)
def small_blocks_in_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    async def call(function: Callable[..., Any], *args: Any) -> Any:
        return function(*args)

    monkeypatch.setattr(asyncio, "to_thread", call)
    monkeypatch.setattr(judge_process, "judge", judge)
    monkeypatch.setattr(writer_module, "BLOCK_ROWS", BLOCK)
    monkeypatch.setattr(judge_workers, "BLOCK_ROWS", BLOCK)
    monkeypatch.setattr(judge_workers, "BEHIND_BLOCKS", 1)
    monkeypatch.setattr(judge_workers, "JOIN_ROWS", BLOCK)


@pytest.mark.long
def test_every_row_is_stored_once_with_the_verdicts_of_one_process(tmp_path: Path) -> None:
    total: Counter[str] = Counter()
    for seed in range(SEED, SEED + SCHEDULES):

        async def play(clock: VirtualClock, seed: int = seed) -> Counter[str]:
            simulation = Simulation(seed, clock, tmp_path)
            await simulation.run()
            await simulation.check_stores()
            return simulation.counts

        try:
            total += run_virtually(play)
        except BaseException:
            print(f"seed {seed}")
            raise
    print(f"{SCHEDULES} schedules: {dict(total)}")
    assert total["judged elsewhere"] > 10 * SCHEDULES
    assert total["judged by views"] > SCHEDULES
