"""Ninety days offline in virtual time, and then delivery to the real collector.

`HELIOGRAPH_DARK=whole` plays it at the shipped plan's own pace with the shipped bound, in a quarter
of an hour; without it each test is due every sixth hour and the bound is 1 MiB.
"""

import asyncio
import os
import random
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from heliograph import keys
from heliograph.failure import Failure, Operation
from heliograph.observation import Dns, DnsAnswer, Epoch, Link, Measurement, Observation, Tcp, Tls
from heliograph.v1 import intake_pb2 as pb
from heliograph.voice_code import ServiceState
from heliograph_agent.runtime.batcher import Batcher
from heliograph_agent.runtime.collector_sealer import CollectorSealer
from heliograph_agent.runtime.offline_digest import OfflineDigest
from heliograph_agent.spool import Priority, PriorityClassifier, Spool, SpoolCounts
from heliograph_agent.state import SPOOL, Collector, State
from heliograph_collector.model.records import JournalRow, ReceivedMeasurement, RowKind
from heliograph_collector.store.journal.decode import read_rows
from heliograph_collector.store.pseudonyms import Pseudonyms
from support.agent_host import RecordingHost
from support.hand_clock import HandClock
from support.intake import IngestServer, ingest_server
from support.programs import ask, module_command
from support.quick_disk import quick_folder

DAY_S, HOUR_S = 86_400, 3_600
ONSET_S = 2 * HOUR_S
EPOCH = Epoch(id="e1", started_us=1, country="KZ", region="KZ-75")
SECRET = "very-secret-target"  # stands in every target, and must be readable nowhere on the disk


@dataclass(frozen=True, slots=True)
class Errand:
    """A test of a plan, as the shipped one has them."""

    service: str
    every_s: int
    endpoints: int
    abroad: bool = True

    @property
    def experiment(self) -> str:
        return "connectivity" if self.service == "anchors" else "web"


# As often as the shipped plan asks, in the same proportions.
PLAN = (
    Errand("anchors", 180, 6),
    Errand("telegram", 480, 8),
    Errand("whatsapp", 600, 6),
    Errand("signal", 600, 5),
    Errand("wikipedia", 600, 2),
    Errand("home", 600, 2, abroad=False),
    *(Errand(name, 7_200, 3) for name in ("viber", "threema", "matrix", "discord", "line")),
)


@dataclass
class Issued:
    """The results that the spool has accepted."""

    kept: dict[int, str] = field(default_factory=dict)  # P0 and P1: number → target
    runs: Counter[tuple[str, bool]] = field(default_factory=Counter)  # the rest: target, is bad
    onset: set[int] = field(default_factory=set)  # all of the first hours of the dark


class OfflineAgent:
    """`folder` is the agent's state; the clock is the test's to hold."""

    def __init__(
        self, folder: Path, collector: Collector, clock: HandClock, limit_bytes: int, seed: int
    ) -> None:
        self.clock = clock
        sealer = CollectorSealer(State(folder), collector, clock)
        path = State(folder).path(SPOOL)
        self.spool = Spool(path, sealer, limit_bytes=limit_bytes, clock=clock)
        self.darkness = OfflineDigest(clock, "boot")
        self.issued = Issued()
        self._triage = PriorityClassifier()
        self._rng = random.Random(seed)
        host = RecordingHost(is_offline=True, digest=self._telling)
        self._sealing = Batcher(self.spool, clock, host)

    async def live(self, days: int, step_s: int) -> None:
        """Run for so many days; measure and seal what is due once every `step_s`."""
        for at_s in range(0, days * DAY_S, step_s):
            async with asyncio.TaskGroup() as group:
                for errand in PLAN:
                    if at_s % errand.every_s < step_s:
                        group.create_task(self._measure(errand, at_s, step_s))
            await self._sealing.close_batches()
            self.clock.advance_us(step_s * 1_000_000)

    async def _measure(self, errand: Errand, at_s: int, step_s: int) -> None:
        dead = errand.abroad and at_s >= ONSET_S and not self._is_open(at_s)
        one = self._measurement(errand, dead=dead)
        planned = Priority.P0 if errand.service == "anchors" else Priority.P3
        priority = self._triage.classify(one, planned)
        number = await self.spool.append(one, EPOCH, priority)
        if priority <= Priority.P1:
            self.issued.kept[number] = one.target
        else:
            self.issued.runs[one.target, dead] += 1
        if ONSET_S - HOUR_S <= at_s < ONSET_S + max(6 * HOUR_S, 3 * step_s):
            self.issued.onset.add(number)
        life = ServiceState.FAILS if dead else ServiceState.ANSWERS
        name = "foreign" if errand.service == "anchors" else errand.service
        known = {"home": "domestic", "wikipedia": "tor"}.get(name, name)
        self.darkness.add_states({known: (life, self.clock.wall_us())})

    def _is_open(self, at_s: int) -> bool:
        """Return whether the network is open: for an hour of every third day."""
        day, hour = divmod(at_s // HOUR_S, 24)
        return day % 3 == 2 and hour == day // 3 * 6 % 24

    def _measurement(self, errand: Errand, *, dead: bool) -> Measurement:
        steps: list[Observation] = []
        for index in range(errand.endpoints):
            steps += self._endpoint(f"{errand.service}-{index}", len(steps), dead=dead)
        return Measurement(
            experiment=errand.experiment, experiment_version=1, service=errand.service,
            target=f"https://{SECRET}.{errand.service}.example/", started_us=self.clock.wall_us(),
            monotonic_us=self.clock.monotonic_us(), boot="boot",
            runtime_us=self._rng.randrange(200_000, 12_000_000), epoch=EPOCH.id,
            link=Link.DOMESTIC_ONLY if dead else Link.ONLINE, plan_version=3,
            services_version="12", observations=tuple(steps),
        )  # fmt: skip

    def _endpoint(self, endpoint: str, first: int, *, dead: bool) -> list[Observation]:
        """Return a lookup, a connection and, where that succeeds, a handshake."""
        step = Observation(
            operation=Operation.RESOLVE, started_us=self._rng.randrange(9_000_000),
            duration_us=self._rng.randrange(2_000, 90_000), endpoint=endpoint,
        )  # fmt: skip
        address = f"198.51.100.{sum(endpoint.encode()) % 250}"
        answers = (DnsAnswer(type="A", data=address, ttl_s=self._rng.randrange(300)),)
        dns = Dns(
            engine="system", resolver="", name=f"{endpoint}.example", query_type="A", rcode=0,
            answers=answers,
        )  # fmt: skip
        connect = replace(
            step, operation=Operation.CONNECT,
            duration_us=self._rng.randrange(20_000, 10_000_000), parent=first,
            failure=Failure.GENERIC_TIMEOUT_ERROR if dead else None,
            tcp=Tcp(address=address, port=443),
        )  # fmt: skip
        tls = replace(
            connect, operation=Operation.TLS_HANDSHAKE, parent=first + 1,
            tls=Tls(server_name=f"{endpoint}.example", version="TLSv1.3", alpn="h2"),
        )  # fmt: skip
        return [replace(step, dns=dns), connect] + ([] if dead else [tls])

    def _telling(self) -> tuple[Sequence[Measurement], Epoch] | None:
        if not self.darkness.is_worth_sending:
            return None
        return [*self.darkness.build_digests(EPOCH, Link.DOMESTIC_ONLY)], EPOCH


DAYS = 90
WHOLE = os.environ.get("HELIOGRAPH_DARK") == "whole"
STEP_S = 180 if WHOLE else 21_600
LIMIT = 67_108_864 if WHOLE else 1_048_576
WAY = "198.51.100.7"
MIB = 1_048_576


@dataclass
class Delivery:
    """The envelopes delivered, and the statuses of their receipts."""

    statuses: Counter[int] = field(default_factory=Counter)
    sizes: list[int] = field(default_factory=list)
    waited_s: int = 0


@pytest.fixture
def folder() -> Iterator[Path]:
    with quick_folder() as made:
        yield made


@asynccontextmanager
async def behind(
    folder: Path, clock: HandClock
) -> AsyncIterator[tuple[IngestServer, OfflineAgent]]:
    """Open an agent that was enrolled in time, and the collector it will meet again."""
    async with ingest_server(folder / "collector", clock=clock, batches_per_hour=240) as home:
        state = State(folder / "agent")
        state.root.mkdir()
        state.private_key(create=True)
        signer = state.signer()
        token = home.fleet.create_invite(role="volunteer", uses=1, now_s=0, expires_s=2**40)
        agent = home.fleet.enrol_agent(token, signer.public, "test", clock.wall_us() // 1_000_000)
        home.intake.directory.add_agent(agent)
        collector = Collector(
            endpoint=home.endpoint, pin=home.keyring.pin, certificate="", agent=agent.id,
            signing_key=home.keyring.signing.public, sealing_key=home.keyring.sealing.public,
        )  # fmt: skip
        assert agent.id == keys.agent_id(signer.public)
        offline = OfflineAgent(folder / "agent", collector, clock, LIMIT, seed=1)
        try:
            yield home, offline
        finally:
            await offline.spool.close()


async def deliver(home: IngestServer, offline: OfflineAgent) -> Delivery:
    """Deliver one envelope a second, as receipts allow; one receipt in ten is lost."""
    done = Delivery()
    while waiting := await offline.spool.list_waiting(16):
        for number, envelope in waiting:
            await offline.spool.mark_offered([number])
            receipt = await home.intake.receiver.accept(envelope, WAY)
            done.statuses[receipt.status] += 1
            offline.clock.advance_us(1_000_000)
            if receipt.status == pb.STATUS_RETRY:
                done.waited_s += receipt.retry_after_s
                offline.clock.advance_us(receipt.retry_after_s * 1_000_000)
            elif len(done.sizes) % 10 or receipt.status == pb.STATUS_DUPLICATE:
                await offline.spool.record_receipt(number, "stored")
            done.sizes.append(len(envelope))
    return done


async def arrived(home: IngestServer) -> list[tuple[JournalRow, list[ReceivedMeasurement]]]:
    """Return the arrived measurements by envelope, in the order of arrival."""
    names, rows, after = Pseudonyms(home.keyring.secret), [], 0
    while found := await home.journal.read(after, 500, kinds=[RowKind.ENVELOPE]):
        after = found[-1].position
        rows += found
    return [(row, read_rows([row], names).records) for row in rows]


def readable(folder: Path) -> list[str]:
    """Return the agent's files in which a target can be read."""
    return [path.name for path in folder.iterdir() if SECRET.encode() in path.read_bytes()]


def on_disk(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def peak_kib(spool: Path) -> int:
    return int(ask(module_command("support.spool_memory", str(spool)), timeout_s=120))


@pytest.mark.slow
@pytest.mark.timeout(3_600 if WHOLE else 900)
async def test_everything_that_matters_arrives_once_after_ninety_dark_days(folder: Path) -> None:
    clock = HandClock()
    async with behind(folder, clock) as (home, offline):
        await offline.live(DAYS, STEP_S)
        counts = await offline.spool.read_counts()
        assert readable(folder / "agent") == [], "a seized disk shows at most the last half minute"
        size = on_disk(folder / "agent")
        weights = weigh(folder)
        done = await deliver(home, offline)
        story = await arrived(home)
        again = await offline.spool.read_counts()
    assert size <= LIMIT + MIB // 4
    assert done.statuses[pb.STATUS_REJECTED] == 0
    assert (again.waiting, again.quarantined, again.dropped) == (0, 0, {})
    check(offline, counts, story)
    first = story[0][1]
    assert {t.measurement.experiment for t in first} == {"digest"}, "before anything else"
    assert done.sizes[0] <= 6_208
    assert weights[1] - weights[0] <= 10_240, "a backlog is not read into memory"
    tell(offline, counts, done, size, weights)


def weigh(folder: Path) -> tuple[int, int]:
    """Return the peak RSS in KiB of a sender with an empty spool, and with a full one."""
    copy = folder / "copy"
    copy.mkdir()
    for path in (folder / "agent").glob("spool.db*"):
        shutil.copy(path, copy)
    found = peak_kib(folder / "empty.db"), peak_kib(copy / "spool.db")
    shutil.rmtree(copy)
    return found


def check(
    offline: OfflineAgent,
    counts: SpoolCounts,
    story: list[tuple[JournalRow, list[ReceivedMeasurement]]],
) -> None:
    measured = [t.measurement for _, taken in story for t in taken]
    told = [m for m in measured if m.experiment != "digest"]
    single = [m for m in told if m.summary is None]
    numbers = Counter(m.sequence for m in single)
    assert not [n for n, times in numbers.items() if times > 1], "nothing is there twice"
    assert offline.issued.kept.keys() <= numbers.keys(), "liveness and changes, all of them"
    assert offline.issued.onset <= numbers.keys(), "how it began, in full"
    runs: Counter[tuple[str, bool]] = Counter()
    for m in single:
        if m.sequence not in offline.issued.kept:
            runs[m.target, any(x.failure for x in m.observations)] += 1
    for m in told:
        for outcome in m.summary.outcomes if m.summary else ():
            runs[m.target, bool(outcome.failures)] += outcome.runs
    assert runs == offline.issued.runs, "each routine run once, whole or in a sum"
    assert not counts.dropped
    assert sum(counts.summed.values()) > 0, "there was more than room for"


def tell(
    offline: OfflineAgent, counts: SpoolCounts, done: Delivery, size: int, weights: tuple[int, int]
) -> None:
    total = len(offline.issued.kept) + sum(offline.issued.runs.values())
    print(
        f"\n{DAYS} dark days: {total} results, {len(offline.issued.kept)} of them P0 or P1; "
        f"{size / MIB:.1f} MiB on the disk of {LIMIT / MIB:.1f}; in sums {dict(counts.summed)}; "
        f"{counts.waiting} envelopes, {sum(done.sizes) / MIB:.1f} MiB in {len(done.sizes)} "
        f"deliveries, waited {done.waited_s} s; digest {done.sizes[0]} bytes; "
        f"RSS in MB {weights[0] // 1024} empty, {weights[1] // 1024} full"
    )
