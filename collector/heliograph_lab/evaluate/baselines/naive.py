"""Naive rule: a cell is cut when most of its vantages have been silent for a minute.

It is the yardstick of what statistics add: at least 3 vantages, and 60 % of those heard within the
last ten minutes, are silent for 60 s without a goodbye. It ends when fewer than 60 % are. There is
one cell per country, region and ASN. All numbers are assumed.
"""

import heapq
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import attrgetter

from heliograph.units import SECOND_US
from heliograph_collector.model.scope import Scope
from heliograph_collector.model.signals import (
    Goodbye,
    VantageArrival,
    VantageLocation,
    VantageLoss,
)
from heliograph_collector.sources.replay import Alarm, Replay
from heliograph_lab.evaluate.baselines.live import FEED_US, scopes_at

SILENT_US = 60 * SECOND_US
RECENT_US = 600 * SECOND_US
LEAST = 3
SHARE = 0.6


@dataclass(slots=True)
class _Cell:
    live: set[str] = field(default_factory=set)
    silent_since: dict[str, int] = field(default_factory=dict)
    alarm: Alarm | None = None

    def count_silent(self, now_us: int) -> int:
        """Count those silent for a minute; while an alarm stands, none of them is forgotten."""
        return sum(
            now_us - RECENT_US <= at_us <= now_us - SILENT_US or self.alarm is not None
            for at_us in self.silent_since.values()
        )

    def is_dark(self, now_us: int) -> bool:
        silent = self.count_silent(now_us)
        return silent >= LEAST and silent >= SHARE * (silent + len(self.live))


class _NaiveRule:
    def __init__(self) -> None:
        self.alarms: list[Alarm] = []
        self._cells: defaultdict[Scope, _Cell] = defaultdict(_Cell)
        self._locations: dict[str, VantageLocation] = {}
        self._checks: list[tuple[int, str]] = []

    def advance_to(self, now_us: int) -> None:
        while self._checks and self._checks[0][0] <= now_us:
            at_us, pseudonym = heapq.heappop(self._checks)
            self._check(pseudonym, at_us)

    def add_arrival(self, signal: VantageArrival) -> None:
        pseudonym = signal.witness.nym
        self._locations[pseudonym] = signal.witness.place
        for scope in scopes_at(signal.witness.place):
            self._cells[scope].live.add(pseudonym)
            self._cells[scope].silent_since.pop(pseudonym, None)
        self._check(pseudonym, signal.at_us)

    def add_departure(self, signal: VantageLoss | Goodbye) -> None:
        location = self._locations.get(signal.nym)
        if location is None:
            return
        for scope in scopes_at(location):
            cell = self._cells[scope]
            cell.live.discard(signal.nym)
            if isinstance(signal, VantageLoss):
                cell.silent_since[signal.nym] = signal.heard_us
        if isinstance(signal, VantageLoss):
            heapq.heappush(self._checks, (signal.heard_us + SILENT_US, signal.nym))

    def _check(self, pseudonym: str, now_us: int) -> None:
        for scope in scopes_at(self._locations[pseudonym]):
            cell = self._cells[scope]
            is_dark = cell.is_dark(now_us)
            if is_dark and cell.alarm is None:
                first_us = min(cell.silent_since.values())
                cell.alarm = Alarm(now_us + FEED_US, scope, "", "cut", (first_us, now_us))
            elif not is_dark and cell.alarm is not None:
                self._close(cell, now_us)

    def _close(self, cell: _Cell, now_us: int | None) -> None:
        if cell.alarm is not None:
            self.alarms.append(_end_alarm(cell.alarm, now_us))
            cell.alarm = None

    def finish(self) -> list[Alarm]:
        for cell in self._cells.values():
            self._close(cell, None)
        return self.alarms


def _end_alarm(alarm: Alarm, now_us: int | None) -> Alarm:
    ended_us = None if now_us is None else now_us + FEED_US
    return Alarm(
        alarm.at_us, alarm.scope, "", "cut", alarm.started, ended_us, label=_label(alarm.scope)
    )


def _label(scope: Scope) -> str:
    if scope.is_national:
        return "national"
    return "one-city" if scope.region else "one-operator"


def naive(replay: Replay) -> Sequence[Alarm]:
    """Detect by counting alone."""
    rule = _NaiveRule()
    for signal in replay.signals:
        rule.advance_to(signal.at_us)
        if isinstance(signal, VantageArrival):
            rule.add_arrival(signal)
        elif isinstance(signal, VantageLoss | Goodbye):
            rule.add_departure(signal)
    rule.advance_to(replay.until_us)
    return sorted(rule.finish(), key=attrgetter("at_us"))
