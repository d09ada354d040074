"""Measurements from a time that cannot be: stored, marked, never shown to the judge."""

from collections.abc import Callable, Sequence

from heliograph_collector.intake.opening import time_is_sane
from heliograph_collector.store.rows import Judged, State, Taken, Verdict

Assess = Callable[[Sequence[Taken]], Sequence[Judged]]

TIME_BAD = Verdict(state=State.UNKNOWN, rule="time.bad")


class TimeCheck:
    """An Assess around another."""

    def __init__(self, assess: Assess) -> None:
        self._assess = assess

    def __call__(self, block: Sequence[Taken]) -> Sequence[Judged]:
        sane = [taken for taken in block if time_is_sane(taken.started_us, taken.received_us)]
        marked: list[Judged] = [
            (taken, (TIME_BAD,))
            for taken in block
            if not time_is_sane(taken.started_us, taken.received_us)
        ]
        return [*self._assess(sane), *marked]
