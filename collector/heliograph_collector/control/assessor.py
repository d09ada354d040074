"""Judges block after block, and again what a later result throws light on."""

from bisect import bisect_left
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from heliograph.plan import Service
from heliograph_collector.control.context import Light
from heliograph_collector.control.target_key import (
    OBSERVATIONS_KEPT,
    WINDOW_US,
    Key,
    key_of,
    weight,
)
from heliograph_collector.model.records import ControlView, Judged, Role, State, Taken, Verdict

AGAIN = 64  # measurements judged again with one block
FINAL = ("link.", "none.not_measured")  # doubt that no control can lift

Judge = Callable[[Taken, ControlView], tuple[Verdict, ...]]


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
        self._light = Light(services, observations=observations)
        self._memory = _Memory(observations)
        self._due: dict[str, None] = {}  # ids to be judged again, in order

    def __call__(self, block: Sequence[Taken]) -> list[Judged]:
        """All of `block`, then what its results changed in the last 15 minutes."""
        telling = [taken for taken in block if self._light.take(taken)]
        again = list(self._again(telling, {taken.id for taken in block}))
        judged = [self._judged(taken) for taken in block]
        for taken, verdicts in judged:
            if taken.role is Role.VOLUNTEER:
                self._memory.put(taken, verdicts)
        return judged + again

    def _judged(self, taken: Taken) -> Judged:
        return taken, self._judge(taken, self._light.view_of(taken))

    def _again(self, telling: Sequence[Taken], block: set[str]) -> Iterator[Judged]:
        """So many at a time, and the others with the next blocks: a world in which something
        changes all the time must not keep what is new waiting."""
        self._due.update(dict.fromkeys(self._memory.near(telling)))
        for identity in list(islice(self._due, AGAIN)):
            del self._due[identity]
            before = None if identity in block else self._memory.get(identity)
            if before is None:
                continue
            taken, now = self._judged(before[0])
            if now != before[1]:
                self._memory.put(taken, now)
                yield taken, now


class _Memory:
    """Volunteers' measurements whose verdicts a later result may still change, oldest first."""

    def __init__(self, observations: int) -> None:
        self._kept: OrderedDict[str, Judged] = OrderedDict()
        self._of: defaultdict[Key, dict[str, None]] = defaultdict(dict)
        self._room = observations
        self._latest_us = 0

    def put(self, taken: Taken, verdicts: tuple[Verdict, ...]) -> None:
        self._drop(taken.id)
        self._latest_us = max(self._latest_us, taken.received_us)
        if _open(verdicts):
            self._kept[taken.id] = (taken, verdicts)
            self._of[key_of(taken.measurement)][taken.id] = None
            self._room -= weight(taken.measurement)
        while self._kept and (self._room < 0 or self._past(next(iter(self._kept.values()))[0])):
            self._drop(next(iter(self._kept)))

    def get(self, identity: str) -> Judged | None:
        return self._kept.get(identity)

    def near(self, telling: Sequence[Taken]) -> Iterator[str]:
        """Those that one of these results lies within the window of, about the same target."""
        moments: defaultdict[Key, list[int]] = defaultdict(list)
        for one in telling:
            moments[key_of(one.measurement)].append(one.started_us)
        for key, some in moments.items():
            some.sort()
            for identity in self._of.get(key, ()):
                if _near(some, self._kept[identity][0].started_us):
                    yield identity

    def _past(self, taken: Taken) -> bool:
        return self._latest_us - taken.received_us > WINDOW_US

    def _drop(self, identity: str) -> None:
        gone = self._kept.pop(identity, None)
        if gone is not None:
            self._room += weight(gone[0].measurement)
            key = key_of(gone[0].measurement)
            del self._of[key][identity]
            if not self._of[key]:
                del self._of[key]


def _open(verdicts: Sequence[Verdict]) -> bool:
    """Whether anything here leans on the control, or waits for it."""
    return any(v.state is not State.REACHABLE and not v.rule.startswith(FINAL) for v in verdicts)


def _near(moments: Sequence[int], at_us: int) -> bool:
    """Whether one of these, which are in order, lies within the window."""
    at = bisect_left(moments, at_us - WINDOW_US)
    return at < len(moments) and moments[at] <= at_us + WINDOW_US
