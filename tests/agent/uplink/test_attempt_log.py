"""Attempts become few measurements, and none is lost."""

from dataclasses import dataclass, field, replace

from heliograph.failure import Failure
from heliograph_agent.net.trace import StepTrace
from heliograph_agent.uplink.attempt_log import (
    GATHER_US,
    MAX_OBSERVATIONS,
    AttemptLog,
    UplinkAttempt,
)
from support.hand_clock import HandClock
from support.steps import make_step

WAY, OTHER = "stream://a.example:1", "post://a.example:2"
MINUTE_US = 60_000_000
REFUSED, RESET = Failure.CONNECTION_REFUSED, Failure.CONNECTION_RESET


@dataclass
class LogRun:
    clock: HandClock = field(default_factory=HandClock)
    stored: list[UplinkAttempt] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.attempts = AttemptLog(self.clock, self)

    async def store_attempt(self, attempt: UplinkAttempt) -> None:
        self.stored.append(attempt)

    async def note(self, *failures: Failure | None, target: str = WAY) -> None:
        """Note an attempt a minute later, whose steps ended so."""
        self.clock.advance_us(MINUTE_US)
        trace = StepTrace(self.clock)
        for index, failure in enumerate(failures):
            trace.add(make_step(failure=failure, parent=index - 1 if index else None))
        await self.attempts.record(target, trace)

    @property
    def summary(self) -> list[tuple[str, int, bool]]:
        return [(a.target, len(a.observations), a.is_changed) for a in self.stored]


async def test_success_alone_stores_nothing() -> None:
    run = LogRun()
    for _ in range(3):
        await run.note(None)
    await run.attempts.flush()
    assert run.summary == []


async def test_failure_and_next_success_are_stored_at_once() -> None:
    run = LogRun()
    await run.note(REFUSED)
    await run.note(None, target=OTHER)
    await run.note(None, target=OTHER)
    assert run.summary == [(WAY, 1, True), (OTHER, 1, True)]


async def test_repeats_are_gathered_completely() -> None:
    run = LogRun()
    for _ in range(30):
        await run.note(None, REFUSED)
    assert run.summary == [(WAY, 2, True)]
    await run.note(RESET)
    assert run.summary == [(WAY, 2, True), (WAY, 58, False), (WAY, 1, True)]
    gathered = run.stored[1].observations
    assert [x.started_us for x in gathered[::2]] == [n * MINUTE_US for n in range(29)]
    assert [x.parent for x in gathered[1::2]] == list(range(0, 58, 2))


async def test_gathered_attempts_are_bounded() -> None:
    run = LogRun()
    for _ in range(200):
        await run.note(None, REFUSED)
    spans = [a.observations[-1].started_us for a in run.stored[1:]]
    assert max(spans) <= GATHER_US
    for _ in range(100):
        await run.note(*[RESET] * 200)
    assert max(len(a.observations) for a in run.stored) <= MAX_OBSERVATIONS


async def test_alternating_outcomes_are_gathered() -> None:
    run = LogRun()
    for _ in range(60):
        await run.note(RESET)
        await run.note(None)
    assert sum(a.is_changed for a in run.stored) <= 6
    await run.attempts.flush()
    assert sum(len(a.observations) for a in run.stored) == 120, "none is lost"


async def test_reset_makes_outcome_news_again() -> None:
    run = LogRun()
    await run.note(REFUSED)
    run.attempts.reset()
    await run.note(REFUSED)
    assert run.summary == [(WAY, 1, True)] * 2


async def test_parallel_attempts_are_gathered_in_any_order() -> None:
    run = LogRun()
    await run.note(REFUSED)
    early = StepTrace(run.clock)
    await run.note(REFUSED)
    early.add(replace(make_step(failure=REFUSED), started_us=5))
    await run.attempts.record(WAY, early)
    await run.attempts.flush()
    started = [x.started_us for x in run.stored[-1].observations]
    assert started == [MINUTE_US, 5]
    assert run.stored[-1].monotonic_us == early.started_us
