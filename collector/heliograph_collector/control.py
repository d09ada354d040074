"""What known-clean places saw, and the judging of whatever they throw light on.

`ControlCache` keeps the controls' recent measurements; `Assessor` judges blocks of measurements
with them, and again what a later control result may change. Both are deterministic: time is the
data's own.
"""

from bisect import bisect_right, insort
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import itemgetter

from heliograph.failure import Operation
from heliograph.observation import Link, Measurement
from heliograph.plan import Service
from heliograph_collector.store.rows import ControlView, Judged, Role, State, Taken, Verdict

WINDOW_US = 15 * 60 * 1_000_000  # how near in time a control must be; judge/case.py draws the line
OBSERVATIONS_KEPT = 50_000  # by the cache and by the memory each: some 50 MB
FINAL = ("link.", "none.not_measured")  # doubt that no control can lift

Judge = Callable[[Taken, ControlView], tuple[Verdict, ...]]

_DEPTH = {operation: depth for depth, operation in enumerate(Operation, start=1)}
_by_time = itemgetter(0)


def key_of(measurement: Measurement) -> str:
    """What is measured: the service, or the lone target."""
    return measurement.service or measurement.target


class ControlCache:
    """The latest results of every control, a bounded number in all."""

    def __init__(
        self, services: Iterable[Service] = (), *, observations: int = OBSERVATIONS_KEPT
    ) -> None:
        self._groups = {s.name: {e.id: e.group for e in s.endpoints if e.group} for s in services}
        self._kept: dict[str, dict[str, list[tuple[int, int, Taken]]]] = {}
        self._order: deque[tuple[str, str, tuple[int, int, Taken]]] = deque()
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
        self._room -= _weight(taken)
        while self._room < 0 and len(self._order) > 1:
            self._forget(*self._order.popleft())
        return True

    def view(self, service: str, target: str, at_us: int) -> ControlView:
        """The best evidence there is about this service, or lone target, at this moment."""
        controls = self._kept.get(service or target, {})
        groups = self._groups.get(service, {})
        nearest = [_nearest(entries, at_us) for entries in controls.values() if entries]
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
        return self.view(measurement.service, measurement.target, taken.started_us)

    def _forget(self, key: str, nym: str, entry: tuple[int, int, Taken]) -> None:
        self._room += _weight(entry[2])
        entries = self._kept[key][nym]
        entries.remove(entry)
        if not entries:
            del self._kept[key][nym]
        if not self._kept[key]:
            del self._kept[key]


class Assessor:
    """Judges block after block. Older measurements come out again when their verdicts changed."""

    def __init__(
        self,
        judge: Judge,
        services: Iterable[Service] = (),
        *,
        observations: int = OBSERVATIONS_KEPT,
    ) -> None:
        self._judge = judge
        self._cache = ControlCache(services, observations=observations)
        self._memory = _Memory(observations)

    def __call__(self, block: Sequence[Taken]) -> list[Judged]:
        """All of `block`, then what the block's control results changed in the last 15 minutes."""
        controls = [t for t in block if t.role is Role.CONTROL and self._cache.update(t)]
        again = list(self._again(controls))
        judged = [self._judged(taken) for taken in block]
        for taken, verdicts in judged:
            if taken.role is Role.VOLUNTEER:
                self._memory.put(taken, verdicts)
        return judged + again

    def _judged(self, taken: Taken) -> Judged:
        return taken, self._judge(taken, self._cache.view_of(taken))

    def _again(self, controls: Sequence[Taken]) -> Iterator[Judged]:
        for before, verdicts in self._memory.near(controls):
            taken, now = self._judged(before)
            if now != verdicts:
                self._memory.put(taken, now)
                yield taken, now


class _Memory:
    """Volunteers' measurements whose verdicts a control may still change, oldest first."""

    def __init__(self, observations: int) -> None:
        self._kept: OrderedDict[str, Judged] = OrderedDict()
        self._room = observations
        self._latest_us = 0

    def put(self, taken: Taken, verdicts: tuple[Verdict, ...]) -> None:
        self._drop(taken.id)
        self._latest_us = max(self._latest_us, taken.received_us)
        if _open(verdicts):
            self._kept[taken.id] = (taken, verdicts)
            self._room -= _weight(taken)
        while self._kept and (self._room < 0 or self._past(next(iter(self._kept.values()))[0])):
            self._drop(next(iter(self._kept)))

    def near(self, controls: Sequence[Taken]) -> list[Judged]:
        """Those that one of these results lies within the window of, about the same target."""
        moments: dict[str, list[int]] = {}
        for control in controls:
            moments.setdefault(key_of(control.measurement), []).append(control.started_us)
        return [
            (taken, verdicts)
            for taken, verdicts in self._kept.values()
            if any(
                abs(moment - taken.started_us) <= WINDOW_US
                for moment in moments.get(key_of(taken.measurement), ())
            )
        ]

    def _past(self, taken: Taken) -> bool:
        return self._latest_us - taken.received_us > WINDOW_US

    def _drop(self, identity: str) -> None:
        gone = self._kept.pop(identity, None)
        if gone is not None:
            self._room += _weight(gone[0])


def _open(verdicts: Sequence[Verdict]) -> bool:
    """Whether anything here leans on the control, or waits for it."""
    return any(v.state is not State.REACHABLE and not v.rule.startswith(FINAL) for v in verdicts)


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


def _weight(taken: Taken) -> int:
    return 1 + len(taken.measurement.observations)
