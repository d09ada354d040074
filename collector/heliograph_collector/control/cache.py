"""The controls' recent measurements: which of them counts for a moment."""

from bisect import bisect_right, insort
from collections import deque
from collections.abc import Iterable, Sequence
from operator import itemgetter

from heliograph.failure import Operation
from heliograph.observation import Link, Measurement
from heliograph.plan import Service
from heliograph_collector.control.target_key import (
    OBSERVATIONS_KEPT,
    STALE_US,
    WINDOW_US,
    Key,
    key_of,
    weight,
)
from heliograph_collector.model.records import ControlView, Role, Taken

_DEPTH = {operation: depth for depth, operation in enumerate(Operation, start=1)}
_by_time = itemgetter(0)


class ControlCache:
    """The latest results of every control, a bounded number in all."""

    def __init__(
        self, services: Iterable[Service] = (), *, observations: int = OBSERVATIONS_KEPT
    ) -> None:
        self._groups = {s.name: {e.id: e.group for e in s.endpoints if e.group} for s in services}
        self._kept: dict[Key, dict[str, list[tuple[int, int, Taken]]]] = {}
        self._order: deque[tuple[Key, str, tuple[int, int, Taken]]] = deque()
        self._room = observations
        self._count = 0

    def update(self, taken: Taken) -> bool:
        """Take in a control's result; False when it proves nothing."""
        if not _fit(taken):
            return False
        key, nym = key_of(taken.measurement), taken.nym
        self._count += 1
        entry = (taken.started_us, self._count, taken)
        insort(self._kept.setdefault(key, {}).setdefault(nym, []), entry, key=_by_time)
        self._order.append((key, nym, entry))
        self._room -= weight(taken.measurement)
        while self._room < 0 and len(self._order) > 1:
            self._forget(*self._order.popleft())
        return True

    def view(self, of: Measurement, at_us: int) -> ControlView:
        """The best evidence there is about the target of this measurement, at this moment."""
        controls = self._kept.get(key_of(of), {})
        groups = self._groups.get(of.service, {})
        nearest = [_nearest(entries, at_us) for entries in controls.values() if entries]
        nearest = [one for one in nearest if abs(one.started_us - at_us) <= STALE_US]
        if not nearest:
            return ControlView(groups=groups)
        best = max(nearest, key=lambda taken: _rank(taken, at_us))
        return ControlView(
            measurement=best.measurement,
            age_us=abs(best.started_us - at_us),
            link=best.link,
            groups=groups,
        )

    def view_of(self, taken: Taken) -> ControlView:
        """A control is held against itself: it can be reachable, down or unknown."""
        measurement = taken.measurement
        if taken.role is Role.CONTROL:
            groups = self._groups.get(measurement.service, {})
            return ControlView(measurement=measurement, age_us=0, link=taken.link, groups=groups)
        return self.view(measurement, taken.started_us)

    def _forget(self, key: Key, nym: str, entry: tuple[int, int, Taken]) -> None:
        self._room += weight(entry[2].measurement)
        entries = self._kept[key][nym]
        entries.remove(entry)
        if not entries:
            del self._kept[key][nym]
        if not self._kept[key]:
            del self._kept[key]


def _fit(taken: Taken) -> bool:
    """A control whose own anchors failed is no measure of anything, nor one that did not run."""
    ran = bool(taken.measurement.observations) and not taken.measurement.not_measured
    return taken.role is Role.CONTROL and taken.link is Link.ONLINE and ran


def _nearest(entries: Sequence[tuple[int, int, Taken]], at_us: int) -> Taken:
    """In time; of two equally near the later."""
    at = bisect_right(entries, at_us, key=_by_time)
    near = entries[max(0, at - 1) : at + 1]
    return min(near, key=lambda entry: (abs(entry[0] - at_us), -entry[0]))[2]


def _rank(taken: Taken, at_us: int) -> tuple[bool, int, int, str]:
    """Fresh before stale, then who got furthest: one control that works shows that it can work."""
    age_us = abs(taken.started_us - at_us)
    fresh = age_us <= WINDOW_US
    return fresh, _reach(taken.measurement) if fresh else 0, -age_us, taken.nym


def _reach(measurement: Measurement) -> int:
    """The sum, over endpoints, of the deepest step that succeeded."""
    deepest: dict[str, int] = {}
    for seen in measurement.observations:
        if seen.failure is None:
            depth = max(deepest.get(seen.endpoint, 0), _DEPTH[seen.operation])
            deepest[seen.endpoint] = depth
    return sum(deepest.values())
