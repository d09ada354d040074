"""Turn connection attempts into few measurements that still hold every failure.

A changed outcome is reported at once, but the same outcome at most once an hour. Other failures are
gathered for an hour, because months offline hold hundreds of thousands of attempts. The data that a
transport delivers shows that it still works.
"""

from dataclasses import dataclass, field, replace
from typing import Protocol

from heliograph.clock import Clock
from heliograph.failure import Failure, Operation
from heliograph.observation import Exchange, Observation
from heliograph.units import HOUR_US
from heliograph_agent.net import StepTrace

EXPERIMENT = "uplink"
VERSION = 1
SESSION = "session"  # the protocol in the step of a session
MAX_OUTCOMES = 32  # remembered per transport
GATHER_US = HOUR_US
MAX_OBSERVATIONS = 256  # of one measurement; the wire format allows twice as many


@dataclass(frozen=True, slots=True)
class UplinkAttempt:
    """Hold attempts on one transport in the form of one measurement."""

    target: str
    started_us: int  # wall clock
    monotonic_us: int
    runtime_us: int
    observations: tuple[Observation, ...]
    is_changed: bool  # the outcome differs from the previous one


StepOutcomes = frozenset[tuple[Operation, Failure | None]]


class AttemptStore(Protocol):
    """Declare the store of the attempts."""

    async def store_attempt(self, attempt: UplinkAttempt) -> None:
        """Store one attempt; never raises."""
        ...


@dataclass(slots=True)
class _GatheredAttempts:
    began_us: int  # monotonic
    wall_us: int
    observations: list[Observation] = field(default_factory=list)

    def extend_back(self, began_us: int) -> None:
        """Move the beginning back to `began_us` if that is earlier."""
        shift_us = self.began_us - began_us
        if shift_us > 0:
            self.began_us = began_us
            self.wall_us = self.wall_us - shift_us
            self.observations = [_shift_step(x, shift_us, 0) for x in self.observations]


class AttemptLog:
    """Gather attempts of one uplink."""

    def __init__(self, clock: Clock, store: AttemptStore) -> None:
        self._clock = clock
        self._store = store
        self._last_outcomes: dict[str, StepOutcomes] = {}
        # When each outcome was last reported at once.
        self._sent_us: dict[str, dict[StepOutcomes, int]] = {}
        self._gathered: dict[str, _GatheredAttempts] = {}

    async def record(self, target: str, trace: StepTrace) -> None:
        """Record one attempt from the steps in `trace`."""
        if not trace.observations:
            return
        outcome = frozenset((x.operation, x.failure) for x in trace.observations)
        if self._is_news(target, outcome):
            await self._flush_target(target)
            await self._store_attempt(target, self._start_gathering(trace), is_changed=True)
        elif target in self._gathered or trace.observations[-1].failure is not None:
            await self._gather(target, trace)

    def _is_news(self, target: str, outcome: StepOutcomes) -> bool:
        """Return whether this outcome is new, and was not reported within the hour.

        A first success is no news where nothing has failed, because the delivered data shows it.
        """
        now_us = self._clock.monotonic_us()
        sent_us = self._sent_us.setdefault(target, {})
        previous = self._last_outcomes.get(target)
        is_first_success = (
            previous is None
            and not _has_failed(outcome)
            and not any(map(_has_failed, self._last_outcomes.values()))
        )
        is_new = outcome != previous and not is_first_success
        self._last_outcomes[target] = outcome
        if not is_new or now_us - sent_us.get(outcome, -GATHER_US) < GATHER_US:
            return False
        if len(sent_us) >= MAX_OUTCOMES:
            sent_us.pop(min(sent_us, key=sent_us.__getitem__))
        sent_us[outcome] = now_us
        return True

    async def flush(self) -> None:
        """Store all gathered attempts."""
        for target in list(self._gathered):
            await self._flush_target(target)

    def reset(self) -> None:
        """Forget all outcomes, because on another network each next outcome is news."""
        self._last_outcomes.clear()
        self._sent_us.clear()

    async def _gather(self, target: str, trace: StepTrace) -> None:
        gathered = self._gathered.get(target)
        if gathered is None:
            self._gathered[target] = self._start_gathering(trace)
            return
        gathered.extend_back(trace.started_us)  # a later one of parallel attempts may end first
        shift_us = trace.started_us - gathered.began_us
        base = len(gathered.observations)
        gathered.observations += [_shift_step(x, shift_us, base) for x in trace.observations]
        is_full = len(gathered.observations) + len(trace.observations) > MAX_OBSERVATIONS
        if is_full or shift_us >= GATHER_US:
            await self._flush_target(target)

    def _start_gathering(self, trace: StepTrace) -> _GatheredAttempts:
        wall_us = self._clock.wall_us() - trace.elapsed_us()
        return _GatheredAttempts(
            trace.started_us, wall_us, list(trace.observations[:MAX_OBSERVATIONS])
        )

    async def _flush_target(self, target: str) -> None:
        gathered = self._gathered.pop(target, None)
        if gathered is not None:
            await self._store_attempt(target, gathered, is_changed=False)

    async def _store_attempt(
        self, target: str, gathered: _GatheredAttempts, *, is_changed: bool
    ) -> None:
        attempt = UplinkAttempt(
            target=target,
            started_us=gathered.wall_us,
            monotonic_us=gathered.began_us,
            runtime_us=self._clock.monotonic_us() - gathered.began_us,
            observations=tuple(gathered.observations[:MAX_OBSERVATIONS]),
            is_changed=is_changed,
        )
        await self._store.store_attempt(attempt)


def add_session_step(trace: StepTrace, began_us: int, failure: Failure | None, reply: str) -> None:
    """Add a step with the end of the session, which no network step shows.

    It may have begun before `trace`, whose earlier part was reported already.
    """
    started_us = max(0, began_us - trace.started_us)
    trace.add(
        Observation(
            operation=Operation.EXCHANGE,
            started_us=started_us,
            duration_us=max(0, trace.elapsed_us() - started_us),
            failure=failure,
            exchange=Exchange(protocol=SESSION, reply=reply),
        )
    )


def _has_failed(outcome: StepOutcomes) -> bool:
    return any(failure is not None for _, failure in outcome)


def _shift_step(step: Observation, shift_us: int, base: int) -> Observation:
    parent = None if step.parent is None else step.parent + base
    return replace(step, started_us=step.started_us + shift_us, parent=parent)
