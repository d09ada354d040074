"""A clock that runs faster than the machine's, so that minutes take seconds.

    python -m lab.country.pace FACTOR ORIGIN MODULE ARGUMENTS…

The programs read the time in one place, and wait by their event loop; both are made faster here.
Every program of a country has the same origin, so that they agree on the time as any others do.
"""

import asyncio
import runpy
import selectors
import sys
import time
from dataclasses import dataclass, field

Ready = list[tuple[selectors.SelectorKey, int]]
BEHIND_S = 7_200.0  # at the origin: what was just signed is never of a day to come


@dataclass(frozen=True, slots=True)
class Pace:
    """The speed of a country's clock; at 1.0 it is the machine's."""

    factor: float = 1.0
    origin_s: float = field(default_factory=time.time)

    def now_s(self) -> float:
        return self.wall_s(time.time())

    def wall_s(self, real_s: float) -> float:
        if self.factor == 1.0:
            return real_s
        return self.origin_s - BEHIND_S + (real_s - self.origin_s) * self.factor

    def sleep_until(self, wall_s: float) -> None:
        time.sleep(max(0.0, wall_s - self.now_s()) / self.factor)

    def command(self, command: list[str]) -> list[str]:
        """Return the same program, `python -m MODULE …`, by this clock."""
        if self.factor == 1.0:
            return command
        python, option, *rest = command
        return [python, option, __name__, str(self.factor), str(self.origin_s), *rest]


@dataclass
class DrillClock:
    """The second of the script by the country's clock; None before the first step."""

    pace: Pace
    began_s: float | None = None

    @property
    def second(self) -> float | None:
        return None if self.began_s is None else self.pace.now_s() - self.began_s


def hurry(pace: Pace) -> None:
    """Make this process live at a pace. uvloop keeps its own time, and is left out."""
    from heliograph.clock import SystemClock

    class Selector(selectors.DefaultSelector):
        def select(self, timeout: float | None = None) -> Ready:
            return super().select(timeout and timeout / pace.factor)

    def wall_us(self: SystemClock) -> int:
        return int(pace.now_s() * 1_000_000)

    def monotonic_us(self: SystemClock) -> int:
        return int(time.monotonic() * pace.factor * 1_000_000)

    def loop_time(self: asyncio.BaseEventLoop) -> float:
        return time.monotonic() * pace.factor

    sys.modules["uvloop"] = None  # type: ignore[assignment]
    selectors.DefaultSelector = Selector  # type: ignore[misc]
    asyncio.BaseEventLoop.time = loop_time  # type: ignore[method-assign]
    SystemClock.wall_us = wall_us  # type: ignore[method-assign]
    SystemClock.monotonic_us = monotonic_us  # type: ignore[method-assign]


def main() -> None:
    _, factor, origin, module, *arguments = sys.argv
    hurry(Pace(float(factor), float(origin)))
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
