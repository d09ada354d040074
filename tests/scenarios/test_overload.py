"""Twice as many agents as a collector can judge for, in virtual time.

Real are the agents' schedule, the batches' times, and the rules for the pace; the judge is a queue
that takes so many steps a second. A block is found once three agents' failures are judged.
"""

import asyncio
import heapq
import random
from collections import deque
from dataclasses import dataclass, field, replace
from itertools import count

import pytest

from heliograph.plan import LIGHT_ROUND, Limits, Plan, PlannedTask
from heliograph.units import MINUTE_US, SECOND_US
from heliograph.v1 import intake_pb2 as pb
from heliograph_agent.runtime.batcher import PERIOD_S
from heliograph_agent.schedule import History, Task, find_due_tasks, make_rounds
from heliograph_collector.fleet.registry import EnrolledAgent
from heliograph_collector.ingest.geo.lookup import UNKNOWN_LOCATION
from heliograph_collector.ingest.pacing import (
    CrowdPlace,
    JudgeLoad,
    LoadShare,
    allot_intervals,
    build_advice,
)
from heliograph_collector.ingest.presence import AgentConnection

S = SECOND_US
HEARTBEAT_US = 15 * S
LOOK_US = 10 * S
RUN_US = 2 * S  # of a task
NETWORKS = 4
WITNESSES = 3
LIGHT = [
    PlannedTask(experiment="web", target=f"https://m{i}.test/", interval_s=150,
                options={"light": "true"})
    for i in range(8)
]  # fmt: skip
RARE = [
    PlannedTask(experiment="web", target=f"https://h{i}.test/", interval_s=3_600) for i in range(12)
]
PLAN = Plan(
    version=1, issued_s=0, expires_s=0, services_version="1", services=(),
    tasks=(PlannedTask(experiment="connectivity", target="a", interval_s=300), *LIGHT, *RARE),
    limits=Limits(bytes_per_month=10**12, concurrency=8, target_pause_s=0),
)  # fmt: skip
STEPS = {"connectivity": 1, LIGHT_ROUND: len(LIGHT), "web": 3}  # what a result costs the judge
DEMAND = 12 * 1 + 24 * len(LIGHT) + 12 * 3  # of one agent in an hour


@dataclass
class _Agent:
    rng: random.Random
    place: CrowdPlace
    history: History
    next_batch_us: int
    session: AgentConnection
    reported: bool = False


@dataclass
class _World:
    """Agents, their collector, and a block in one network from `blocked_us` on."""

    agents: int
    load: float  # of what the judge can do
    paced: bool
    blocked_us: int
    now_us: int = 0
    found_us: int = 0
    lags_us: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._tie = count()
        self._events: list[tuple[int, int, str, int, Task | None]] = []
        self._sent: list[tuple[int, int, int, bool]] = []
        self._waiting: deque[tuple[int, int, bool]] = deque()  # arrived, steps, is a failure
        self._share = LoadShare()
        self._step_us = 3_600 * S / (self.agents * DEMAND) * self.load
        self._busy_until_us = 0.0
        self._witnesses = 0
        self._judged = 0
        self._people = []
        for number in range(self.agents):
            rng = random.Random(number)
            place = CrowdPlace("XA", number % NETWORKS, "")
            history = _run_before(History.create(0, rng), rng)
            first_us = rng.randrange(int(PERIOD_S) * S)
            self._people.append(_Agent(rng, place, history, first_us, _open_session()))
            self._put(0, "look", number)
            self._put(rng.randrange(HEARTBEAT_US), "beat", number)
        self._percents = dict.fromkeys((agent.place for agent in self._people), 100)
        self._put(LOOK_US, "pace", 0)

    def _send(self, at_us: int, task: Task, *, is_failure: bool) -> None:
        sent = (at_us, next(self._tie), STEPS[task.experiment], is_failure)
        heapq.heappush(self._sent, sent)

    def _put(self, at_us: int, kind: str, number: int, task: Task | None = None) -> None:
        heapq.heappush(self._events, (at_us, next(self._tie), kind, number, task))

    def run(self, until_us: int) -> None:
        while self._events and self._events[0][0] < until_us and not self.found_us:
            self.now_us, _, kind, number, task = heapq.heappop(self._events)
            self._judge()
            if kind == "pace":
                self._pace()
            elif kind == "beat":
                self._beat(number)
            elif task is not None:
                self._finish(number, task)
            else:
                self._look(number)

    def _look(self, number: int) -> None:
        agent = self._people[number]
        agent.history = agent.history.end_stretch(PLAN, self.now_us)
        tasks, wake_us = find_due_tasks(PLAN, agent.history, self.now_us, agent.rng)
        for task in tasks:
            agent.history = agent.history.record_start(task, self.now_us)
            self._put(self.now_us + RUN_US, "done", number, task)
        self._put(wake_us, "look", number)

    def _finish(self, number: int, task: Task) -> None:
        agent = self._people[number]
        agent.history = agent.history.record_finish(task, self.now_us, 0, PLAN.limits)
        is_blocked = self.now_us >= self.blocked_us and agent.place.asn == 0
        is_failure = is_blocked and bool(task.parts) and not agent.reported
        agent.reported |= is_failure
        period_us = int(PERIOD_S) * S
        left_us = (agent.next_batch_us - self.now_us) % period_us
        wait_us = 0 if is_failure else left_us  # what is new goes at once
        self._send(self.now_us + wait_us, task, is_failure=is_failure)

    def _judge(self) -> None:
        while self._sent and self._sent[0][0] <= self.now_us:
            at_us, _, steps, is_failure = heapq.heappop(self._sent)
            self._waiting.append((at_us, steps, is_failure))
        while self._waiting:
            at_us, steps, is_failure = self._waiting[0]
            ends_us = max(self._busy_until_us, at_us) + steps * self._step_us
            if ends_us > self.now_us:
                return
            self._busy_until_us = ends_us
            self._waiting.popleft()
            self._judged += 1
            self._witnesses += is_failure
            if self._witnesses == WITNESSES and not self.found_us:
                self.found_us = int(ends_us)

    def _pace(self) -> None:
        lag_us = self.now_us - self._waiting[0][0] if self._waiting else 0
        self.lags_us.append(lag_us)
        if self.paced:
            votes = dict.fromkeys(self._percents, self.agents // NETWORKS)
            load = JudgeLoad(self._judged + len(self._waiting), self._judged, lag_us)
            share = self._share.update(load, self.now_us)
            self._percents = allot_intervals(votes, share, ())
        self._put(self.now_us + LOOK_US, "pace", 0)

    def _beat(self, number: int) -> None:
        agent = self._people[number]
        agent.session.interval_percent = self._percents[agent.place]
        advice = build_advice(agent.session, self.now_us)
        if advice is not None:
            agent.history = agent.history.stretch(PLAN, advice.interval_percent, self.now_us)
            self._put(self.now_us, "look", number)
        self._put(self.now_us + HEARTBEAT_US, "beat", number)


def _open_session() -> AgentConnection:
    agent = EnrolledAgent(id=b"", public_key=b"", role="volunteer", version="", created_s=0)
    return AgentConnection(
        agent=agent, location=UNKNOWN_LOCATION, hello=pb.Hello(), last_heard_us=0,
        outbox=asyncio.Queue(1),
    )  # fmt: skip


def _run_before(history: History, rng: random.Random) -> History:
    """Return a history in which each task began somewhere in its last interval."""
    tasks = make_rounds(PLAN)
    starts: dict[str, int] = {}
    for task in tasks:
        keys = (task.key, *(part.key for part in task.parts))
        starts |= dict.fromkeys(keys, -rng.randrange(task.interval_s * S))
    return replace(history, starts=starts)


@pytest.mark.long
@pytest.mark.parametrize("blocked_min", [4, 15])
def test_a_block_is_found_within_five_minutes_at_twice_the_capacity(blocked_min: int) -> None:
    """A block is found within five minutes at twice the capacity.

    It begins while the pace is still changing, or later.
    """
    blocked_us = blocked_min * MINUTE_US
    world = _World(agents=80, load=2.0, paced=True, blocked_us=blocked_us)
    world.run(blocked_us + 6 * MINUTE_US)
    assert 0 < world.found_us - blocked_us <= 5 * MINUTE_US
    assert max(world.lags_us) <= 3 * MINUTE_US
    assert max(world.lags_us[60:], default=0) <= 30 * S, "after ten minutes it keeps up"


def test_without_a_pace_it_is_not_found() -> None:
    blocked_us = 15 * MINUTE_US
    world = _World(agents=40, load=2.0, paced=False, blocked_us=blocked_us)
    world.run(blocked_us + 6 * MINUTE_US)
    assert not world.found_us
    assert max(world.lags_us) > 5 * MINUTE_US
