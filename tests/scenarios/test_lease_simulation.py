"""Collectors that may lead, over a model of the servers, with random faults.

The code of the lease is real; servers, machines and clocks are played, in virtual time. Two must
never work at once, not even where processes are stopped, cut off or copied with their directory,
answers are lost or late, and clocks jump; terms only rise; without faults the same one keeps
leading, and there is always one.
"""

import random
from collections import Counter
from dataclasses import dataclass, field
from os import environ

import pytest

from heliograph_collector.store.journal.group_commit import JournalBusyError
from heliograph_collector.store.journal.jetstream.lease import RENEW_S, STANDBY_S, JournalLease
from heliograph_collector.store.journal.jetstream.lease_state import (
    FORGET_S,
    Holder,
    LeaseKey,
    LeaseWatch,
)
from support.hand_clock import HandClock

SCHEDULES = int(environ.get("HELIOGRAPH_LEASE_SIMULATIONS", "60"))
SEED = int(environ.get("HELIOGRAPH_SEED", "1"))
STEP_S = 0.5
STEPS = 1_200
CALM = 320  # the last steps, in which no fault begins; one lasts up to 75 s
QUIET_S = 60.0  # … in the last of which no lease changes hands
FAULTS = ("kill", "stop", "pause", "cut", "servers", "server clock", "clock")
# Directory and place of each process: the third has a copy of the first's directory.
MACHINES = (("d1", "m1"), ("d2", "m2"), ("d1", "m3"))


@dataclass
class ModelServers:
    """The bucket of the lease; its entries expire by a clock of the servers."""

    clock_s: float = 0.0
    counted: int = 0
    stored: tuple[bytes | None, float] | None = None  # content, None for given back, and since when
    late: list[tuple[float, float, bytes, int]] = field(default_factory=list)  # due, sent
    is_down: bool = False

    def advance(self, now_s: float) -> None:
        self.clock_s += STEP_S
        due = [each for each in self.late if each[0] <= now_s]
        self.late = [each for each in self.late if each[0] > now_s]
        for _, sent_s, content, last in due:
            self.store(content, last, sent_s)
        if self.stored and self.clock_s - self.stored[1] > FORGET_S:
            self.stored = None

    def store(self, content: bytes | None, last: int, sent_s: float | None = None) -> int | None:
        if self.is_down or last != self.counted:
            return None
        self.counted += 1
        self.stored = (content, self.clock_s if sent_s is None else sent_s)
        return self.counted


class ModelLink:
    """The link between one process and the servers."""

    def __init__(self, servers: ModelServers, rng: random.Random) -> None:
        self._servers = servers
        self._rng = rng
        self.now_s = 0.0
        self.is_cut = False
        self.is_lossy = False

    async def read(self) -> LeaseKey:
        self._check()
        stored = self._servers.stored
        if stored is None:
            return LeaseKey(self._servers.counted, None, is_free=not self._servers.counted)
        holder = Holder.parse(stored[0]) if stored[0] is not None else None
        return LeaseKey(self._servers.counted, holder, is_free=holder is None)

    async def write(self, content: bytes, last: int) -> int | None:
        self._check()
        fate = self._rng.random() if self.is_lossy else 1.0
        if fate < 0.2:
            due_s = self.now_s + self._rng.choice((1.0, 5.0, 30.0))
            self._servers.late.append((due_s, self._servers.clock_s, content, last))
            raise JournalBusyError("late")
        revision = self._servers.store(content, last)
        if fate < 0.4:
            raise JournalBusyError("its answer is lost")
        return revision

    async def give_back(self, last: int) -> bool:
        if self.is_cut or self._servers.is_down:
            return True
        return self._servers.store(None, last) is not None

    def _check(self) -> None:
        if self.is_cut or self._servers.is_down:
            raise JournalBusyError("nobody answers")


class ModelCollector:
    """One machine's collector, which is restarted when it ends, as by systemd."""

    def __init__(self, number: int, servers: ModelServers, rng: random.Random) -> None:
        self.owner, self.place = (each.encode() for each in MACHINES[number])
        self.rate = rng.choice((0.98, 1.0, 1.02))  # of its clock
        self.clock = HandClock()
        self.link = ModelLink(servers, rng)
        self.cut_until = 0
        self.paused_until = 0
        self.next_step = 0
        self.runs = 0
        self.start()

    def start(self) -> None:
        self.runs += 1
        run = b"%s-%d" % (self.place, self.runs)
        self.own = Holder(self.owner, run, self.place)
        self.watch = LeaseWatch(self.own, trusts_servers=False)
        self.lease: JournalLease | None = None

    @property
    def works(self) -> bool:
        return self.lease is not None and self.lease.is_held

    async def act(self, step: int) -> None:
        """Look at the lease or renew it, if it is time, and end if it is lost."""
        self.link.is_cut = step < self.cut_until
        if step < max(self.paused_until, self.next_step):
            return
        wait_s = RENEW_S if self.lease else STANDBY_S
        self.next_step = step + int(wait_s / STEP_S)
        try:
            if self.lease is None:
                self.lease = await JournalLease.take(self.link, self.clock, self.watch, self.own)
            else:
                await self.lease.renew()
        except JournalBusyError:
            return
        if self.lease is not None and self.lease.lost.is_set():
            self.start()


class Simulation:
    """One schedule of faults; `wrong` collects the faults found."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.servers = ModelServers()
        self.collectors = [ModelCollector(n, self.servers, self.rng) for n in range(len(MACHINES))]
        self.down_until = 0
        self.terms: list[tuple[int, int]] = []  # step, term
        self.idle_steps = 0
        self.longest_idle_s = 0.0
        self.wrong: list[str] = []
        self.counts: Counter[str] = Counter()

    async def run(self) -> None:
        for step in range(STEPS):
            self.servers.is_down = step < self.down_until
            self.servers.advance(step * STEP_S)
            if step < STEPS - CALM:
                await self.draw_fault(step)
            for collector in self.collectors:
                collector.clock.advance_us(int(STEP_S * collector.rate * 1_000_000))
                collector.link.now_s = step * STEP_S
                collector.link.is_lossy = step < STEPS - CALM
            for collector in self.rng.sample(self.collectors, len(self.collectors)):
                await collector.act(step)
                self.check_work(step)
            self.note_idle()

    async def draw_fault(self, step: int) -> None:  # noqa: C901 one fault a case
        if self.rng.random() > 0.03:
            return
        fault = self.rng.choice(FAULTS)
        self.counts[fault] += 1
        collector = self.rng.choice(self.collectors)
        until = step + self.rng.choice((2, 8, 18, 21, 25, 60, 150))
        match fault:
            case "kill":
                collector.start()
            case "stop":
                if collector.lease is not None:
                    await collector.lease.release()
                collector.start()
                collector.paused_until = until
            case "pause":
                collector.paused_until = until
            case "cut":
                collector.cut_until = until
            case "servers":
                self.down_until = until
            case "server clock":
                self.servers.clock_s += self.rng.choice((-1, 1)) * self.rng.randrange(3_600)
            case "clock":
                collector.clock.wall += self.rng.choice((-1, 1)) * self.rng.randrange(10**10)

    def check_work(self, step: int) -> None:
        working = [each for each in self.collectors if each.works]
        if len(working) > 1:
            self.wrong.append(f"step {step}: two work at once")
        for collector in working:
            assert collector.lease is not None
            term = collector.lease.term
            if self.terms and term < self.terms[-1][1]:
                self.wrong.append(f"step {step}: term {term} after {self.terms[-1][1]}")
            if not self.terms or term > self.terms[-1][1]:
                self.terms.append((step, term))

    def note_idle(self) -> None:
        is_idle = not any(each.works for each in self.collectors)
        self.idle_steps = self.idle_steps + 1 if is_idle else 0
        self.longest_idle_s = max(self.longest_idle_s, self.idle_steps * STEP_S)

    def check_end(self) -> None:
        if self.idle_steps:
            self.wrong.append("nobody leads in the end")
        if self.terms[-1][0] > STEPS - QUIET_S / STEP_S:
            self.wrong.append("the lease changed without a fault")


async def test_leader_whose_renewal_waited_for_a_quorum_leads_on() -> None:
    """A leader whose renewal waited for a quorum keeps leading.

    The servers store it with the time at which it was sent, and expire it by that time.
    """
    servers = ModelServers()
    collector = ModelCollector(0, servers, random.Random(SEED))
    for step in range(120):
        now_s = step * STEP_S
        if now_s == 5:
            servers.late.append((36.0, servers.clock_s, collector.own.encode(), servers.counted))
        servers.is_down = 5 <= now_s < 36
        servers.advance(now_s)
        collector.clock.advance_us(int(STEP_S * 1_000_000))
        await collector.act(step)
    assert collector.works
    assert collector.runs == 1


async def test_lease_is_given_back_though_the_answer_to_a_renewal_was_lost() -> None:
    servers = ModelServers()
    collector = ModelCollector(0, servers, random.Random(SEED))
    for step in range(20):
        servers.advance(step * STEP_S)
        collector.clock.advance_us(int(STEP_S * 1_000_000))
        await collector.act(step)
    assert collector.lease is not None
    assert servers.store(collector.own.encode(), servers.counted) is not None
    await collector.lease.release()
    assert (await collector.link.read()).is_free


@pytest.mark.long
async def test_never_do_two_work_and_some_one_does() -> None:
    total: Counter[str] = Counter()
    longest_s = 0.0
    terms = 0
    for seed in range(SEED, SEED + SCHEDULES):
        simulation = Simulation(seed)
        await simulation.run()
        simulation.check_end()
        assert not simulation.wrong, (seed, simulation.wrong[:3])
        total += simulation.counts
        terms += len(simulation.terms)
        longest_s = max(longest_s, simulation.longest_idle_s)
    print(f"{SCHEDULES} schedules, {terms} terms, {longest_s:.0f} s without one: {dict(total)}")
    assert terms > SCHEDULES * 2, "leaders were lost"
