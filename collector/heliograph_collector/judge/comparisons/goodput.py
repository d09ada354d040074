"""How fast bodies came, over several transfers. Pure statistics; every threshold is a field."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from heliograph.failure import Failure
from heliograph.observation import Measurement
from heliograph_collector.judge.endpoint_view import Step, sight

ENDS = (None, Failure.GENERIC_TIMEOUT_ERROR)  # whole, or too slow; what broke off has no rate


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """What it takes to speak of a rate, of slowness and of a freeze."""

    transfers: int = 3  # of each side: one slow transfer says nothing
    bytes: int = 16_384  # a transfer of less is over before a rate settles
    span_us: int = 1_000_000  # … unless it took so long
    fast: float = 65_536.0  # bytes a second that the neutral side must reach
    plenty: float = 1_048_576.0  # beyond it rates are alike: 128 KB are over before they settle
    ratio: float = 0.25  # the target's median over the neutral one's
    apart: float = 0.5  # the target's best over the neutral side's worst
    freeze_from: int = 14_000
    freeze_to: int = 30_000
    silence_us: int = 5_000_000
    frozen: int = 2  # transfers, and all that were made


THRESHOLDS = Thresholds()


@dataclass(frozen=True, slots=True)
class Transfer:
    """One body on its way: bytes that came, when the last did, and how long was waited."""

    bytes: int
    last_us: int
    waited_us: int
    stopped: bool  # ended by a timeout
    index: int

    @property
    def rate(self) -> float:
        """Bytes a second; a body that was cut by the deadline took all of the time."""
        taken = max(self.last_us, self.waited_us if self.stopped else 0)
        return self.bytes * 1_000_000 / max(taken, 1)


def transfers(measurement: Measurement, label: str) -> list[Transfer]:
    """Each connection of the endpoint over which a body was watched."""
    found: list[Transfer] = []
    for attempt in sight(measurement.observations, label).attempts:
        watched = [t for s in attempt.steps if (t := _transfer(s)) is not None]
        found += watched[-1:]
    return found


def _transfer(step: Step) -> Transfer | None:
    http = step.seen.http
    if http is None or not http.arrivals or step.seen.failure not in ENDS:
        return None
    bytes_, waited_us = http.arrivals[-1].bytes, step.seen.duration_us
    last_us = next(a.at_us for a in http.arrivals if a.bytes >= bytes_)  # when it all was there
    return Transfer(bytes_, last_us, max(last_us, waited_us), not step.ok, step.index)


def settled(some: Sequence[Transfer], limits: Thresholds = THRESHOLDS) -> list[Transfer]:
    """Those long enough, in bytes or in time, to have a rate."""
    return [t for t in some if t.bytes >= limits.bytes or t.waited_us >= limits.span_us]


def slower(
    target: Sequence[Transfer], neutral: Sequence[Transfer], limits: Thresholds = THRESHOLDS
) -> bool | None:
    """Whether the target is slow and the neutral one fast; None when nothing can be said."""
    ours, others = (
        sorted(min(t.rate, limits.plenty) for t in settled(s, limits)) for s in (target, neutral)
    )
    if min(len(ours), len(others)) < limits.transfers or median(others) < limits.fast:
        return None
    far = median(ours) <= limits.ratio * median(others)
    if far and ours[-1] <= limits.apart * others[0]:
        return True
    return False if median(ours) > limits.apart * median(others) else None


def froze(target: Sequence[Transfer], limits: Thresholds = THRESHOLDS) -> bool:
    """All of several transfers stopped within the window and stayed silent to the deadline."""
    return len(target) >= limits.frozen and all(
        t.stopped
        and limits.freeze_from <= t.bytes <= limits.freeze_to
        and t.waited_us - t.last_us >= limits.silence_us
        for t in target
    )


def ran_on(some: Sequence[Transfer], limits: Thresholds = THRESHOLDS) -> bool:
    """Most transfers got past the window in which bodies freeze."""
    past = [t for t in some if t.bytes > limits.freeze_to and not t.stopped]
    return len(some) >= limits.frozen and 2 * len(past) > len(some)
