"""Measurements from a time that cannot be: stored, marked, never shown to the judge."""

from collections.abc import Callable, Sequence

from heliograph_collector.model.records import TIME_BAD, Judged, State, Taken, Verdict

Assess = Callable[[Sequence[Taken]], Sequence[Judged]]

NO_VERDICT = Verdict(state=State.UNKNOWN, rule=TIME_BAD)


class TimeCheck:
    """An Assess around another."""

    def __init__(self, assess: Assess) -> None:
        self._assess = assess

    def __call__(self, block: Sequence[Taken]) -> Sequence[Judged]:
        sane = [taken for taken in block if not taken.time_bad]
        marked: list[Judged] = [(taken, (NO_VERDICT,)) for taken in block if taken.time_bad]
        return [*self._assess(sane), *marked]
