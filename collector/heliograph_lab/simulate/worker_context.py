"""State that all virtual agents of one process share."""

import asyncio
from dataclasses import dataclass, field

from heliograph.clock import Clock
from heliograph.observation import Measurement
from heliograph_lab.simulate.counters import AgentCounters
from heliograph_lab.simulate.post_entrance import PostEntrance
from heliograph_lab.simulate.script import Actor
from heliograph_lab.simulate.workload import Run, Workload

MAX_HANDSHAKES = 500  # at once in one process, whose agents share a processor; assumed


@dataclass(frozen=True, slots=True)
class AgentEnrollment:
    """What an agent holds from its enrollment on."""

    sealing_key: bytes
    plan_version: int
    heartbeat_s: int


def _limit_handshakes() -> asyncio.Semaphore:
    return asyncio.Semaphore(MAX_HANDSHAKES)


@dataclass(slots=True)
class WorkerContext:
    """State that all agents of one process share."""

    tokens: tuple[bytes, bytes]  # of volunteers, of controls
    clock: Clock
    counters: AgentCounters
    workload: Workload
    start_time: "asyncio.Future[float]"  # loop time of the script's start
    handshakes: asyncio.Semaphore = field(default_factory=_limit_handshakes)
    heartbeat_s: float = 15.0
    speed: float = 1.0  # divides the duration of a run
    post: PostEntrance | None = None  # the way past a blocked address; None: there is none
    earlier: AgentEnrollment | None = None  # None: its agents enroll by an invite

    def measure(self, actor: Actor, run: Run) -> Measurement:
        """Generate the measurement of a run."""
        second = run.at_s - self.start_time.result() if self.start_time.done() else 0.0
        clock = self.clock
        return self.workload.measure(actor, run, second, clock.wall_us(), clock.monotonic_us())

    def measure_anchors(self, actor: Actor, number: int) -> Measurement:
        """Generate an agent's look at its own link."""
        clock = self.clock
        return self.workload.measure_anchors(actor, number, clock.wall_us(), clock.monotonic_us())
