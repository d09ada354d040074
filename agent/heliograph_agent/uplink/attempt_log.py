"""What was tried on each way and how it went, as measurements: few, and none of them lost.

A change is told at once. The same again is gathered, for months in the dark hold hundreds of
thousands of tries; that a way goes on working is told by what arrives on it.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

from heliograph.clock import Clock
from heliograph.failure import Failure, Operation
from heliograph.observation import Exchange, Observation
from heliograph_agent.net import Trace

EXPERIMENT, VERSION = "uplink", 1
SESSION = "session"  # the protocol of what is said once a connection stands
MOST_OUTCOMES = 32  # of one way, that are remembered
GATHER_US = 3_600_000_000
MOST = 256  # observations of one measurement; the wire has room for twice as many


@dataclass(frozen=True, slots=True)
class Attempt:
    """Tries on one way, in the form of one measurement."""

    target: str
    started_us: int  # wall clock
    monotonic_us: int
    runtime_us: int
    observations: tuple[Observation, ...]
    changed: bool  # another outcome than before


Outcome = frozenset[tuple[Operation, Failure | None]]
Keep = Callable[[Attempt], Awaitable[None]]


async def nobody_asks(attempt: Attempt) -> None:
    """For an uplink whose owner keeps none."""


@dataclass(slots=True)
class _Gathered:
    began_us: int  # monotonic
    wall_us: int
    observations: list[Observation] = field(default_factory=list)

    def reach_back(self, began_us: int) -> None:
        """Begin no later than then."""
        shift_us = self.began_us - began_us
        if shift_us > 0:
            self.began_us, self.wall_us = began_us, self.wall_us - shift_us
            self.observations = [_shifted(x, shift_us, 0) for x in self.observations]


class Attempts:
    """One per uplink. `keep` stores a measurement, and copes when it cannot."""

    def __init__(self, clock: Clock, keep: Keep) -> None:
        self._clock = clock
        self._keep = keep
        self._last: dict[str, Outcome] = {}
        self._told: dict[str, dict[Outcome, int]] = {}  # when each was told at once
        self._gathered: dict[str, _Gathered] = {}

    async def note(self, target: str, trace: Trace) -> None:
        """One try, whose steps are in `trace`."""
        if not trace.observations:
            return
        outcome = frozenset((x.operation, x.failure) for x in trace.observations)
        if self._is_news(target, outcome):
            await self._flush(target)
            await self._keep(_attempt(target, self._begin(trace), self._clock, changed=True))
        elif target in self._gathered or trace.observations[-1].failure is not None:
            await self._gather(target, trace)

    def _is_news(self, target: str, outcome: Outcome) -> bool:
        """Another outcome than the last, and not one of two that have been taking turns.

        Where nothing has failed, that the first way works is told by what arrives on it.
        """
        now_us = self._clock.monotonic_us()
        told = self._told.setdefault(target, {})
        before = self._last.get(target)
        quiet = (
            before is None and not _failed(outcome) and not any(map(_failed, self._last.values()))
        )
        news = outcome != before and not quiet
        self._last[target] = outcome
        if not news or now_us - told.get(outcome, -GATHER_US) < GATHER_US:
            return False
        if len(told) >= MOST_OUTCOMES:
            told.pop(min(told, key=lambda known: told[known]))
        told[outcome] = now_us
        return True

    async def flush(self) -> None:
        """What was gathered so far, before an end."""
        for target in list(self._gathered):
            await self._flush(target)

    def forget(self) -> None:
        """Another network: each way's next outcome is news there."""
        self._last.clear()
        self._told.clear()

    async def _gather(self, target: str, trace: Trace) -> None:
        held = self._gathered.get(target)
        if held is None:
            self._gathered[target] = self._begin(trace)
            return
        held.reach_back(trace.began_us)  # of tries side by side the later may be told first
        shift_us, base = trace.began_us - held.began_us, len(held.observations)
        held.observations += [_shifted(x, shift_us, base) for x in trace.observations]
        full = len(held.observations) + len(trace.observations) > MOST
        if full or shift_us >= GATHER_US:
            await self._flush(target)

    def _begin(self, trace: Trace) -> _Gathered:
        wall_us = self._clock.wall_us() - trace.elapsed_us()
        return _Gathered(trace.began_us, wall_us, list(trace.observations[:MOST]))

    async def _flush(self, target: str) -> None:
        held = self._gathered.pop(target, None)
        if held is not None:
            await self._keep(_attempt(target, held, self._clock, changed=False))


def said(trace: Trace, began_us: int, failure: Failure | None, word: str) -> None:
    """Add how the session itself went, which no step of the network shows. It may have begun
    before `trace` did, whose earlier part was told already."""
    started_us = max(0, began_us - trace.began_us)
    trace.add(
        Observation(
            operation=Operation.EXCHANGE,
            started_us=started_us,
            duration_us=max(0, trace.elapsed_us() - started_us),
            failure=failure,
            exchange=Exchange(protocol=SESSION, reply=word),
        )
    )


def _failed(outcome: Outcome) -> bool:
    return any(failure is not None for _, failure in outcome)


def _attempt(target: str, held: _Gathered, clock: Clock, *, changed: bool) -> Attempt:
    return Attempt(
        target=target,
        started_us=held.wall_us,
        monotonic_us=held.began_us,
        runtime_us=clock.monotonic_us() - held.began_us,
        observations=_in_bounds(held.observations),
        changed=changed,
    )


def _in_bounds(observations: Sequence[Observation]) -> tuple[Observation, ...]:
    return tuple(observations[:MOST])


def _shifted(x: Observation, shift_us: int, base: int) -> Observation:
    parent = None if x.parent is None else x.parent + base
    return replace(x, started_us=x.started_us + shift_us, parent=parent)
