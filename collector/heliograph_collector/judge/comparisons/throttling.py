"""Comparison of goodput to the target and to a neutral reference over one path.

Endpoints: `target`, `neutral`, several transfers each. The control's transfers from the target
must be fast, or the server itself may be slow.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from heliograph.failure import Failure
from heliograph.observation import Measurement
from heliograph_collector.judge.comparisons.table import Comparison, ComparisonRule, Facts
from heliograph_collector.judge.endpoint_view import ObservedStep
from heliograph_collector.judge.measurement_steps import build_view
from heliograph_collector.judge.rules.rule import BLOCKED, REACHABLE, UNKNOWN

# Complete or too slow; a transfer that broke off has no rate.
MEASURED_ENDINGS = (None, Failure.GENERIC_TIMEOUT_ERROR)


@dataclass(frozen=True, slots=True, kw_only=True)
class GoodputThresholds:
    """Thresholds for a valid rate, for slowness and for a freeze; all assumed."""

    transfers: int = 3  # on each side: one slow transfer proves nothing
    bytes: int = 16_384  # bytes; a smaller transfer ends before its rate settles
    span_us: int = 1_000_000  # a transfer that took this long counts with fewer bytes
    fast: float = 65_536.0  # bytes per second that the neutral side must reach
    plenty: float = 1_048_576.0  # bytes/s; cap: 128 KB end before a higher rate settles
    ratio: float = 0.25  # highest ratio of the target's median to the neutral median
    apart: float = 0.5  # highest ratio of the target's best to the neutral side's worst
    freeze_from: int = 14_000  # around the 16 to 25 KB of net4people/bbs#490
    freeze_to: int = 30_000
    silence_us: int = 5_000_000
    frozen: int = 2  # transfers; every one that was made must be frozen


GOODPUT_THRESHOLDS = GoodputThresholds()


@dataclass(frozen=True, slots=True)
class Transfer:
    """One body transfer: bytes received, time of the last byte, and time waited."""

    bytes: int
    last_us: int
    waited_us: int
    timed_out: bool  # ended by a timeout
    index: int

    @property
    def rate(self) -> float:
        """Return bytes per second; a timed-out transfer counts its whole waiting time."""
        elapsed_us = max(self.last_us, self.waited_us if self.timed_out else 0)
        return self.bytes * 1_000_000 / max(elapsed_us, 1)


def extract_transfers(measurement: Measurement, label: str) -> list[Transfer]:
    """Return the last measured body of each connection of the endpoint."""
    measured: list[Transfer] = []
    for attempt in build_view(measurement.observations, label).attempts:
        watched = [t for s in attempt.steps if (t := _parse_transfer(s)) is not None]
        measured += watched[-1:]
    return measured


def _parse_transfer(step: ObservedStep) -> Transfer | None:
    http = step.observation.http
    if http is None or not http.arrivals or step.observation.failure not in MEASURED_ENDINGS:
        return None
    bytes_ = http.arrivals[-1].bytes
    waited_us = step.observation.duration_us
    last_us = next(a.at_us for a in http.arrivals if a.bytes >= bytes_)  # when all had arrived
    return Transfer(bytes_, last_us, max(last_us, waited_us), not step.has_succeeded, step.index)


def select_settled(samples: Sequence[Transfer]) -> list[Transfer]:
    """Select transfers with enough bytes or time for a valid rate."""
    return [
        t
        for t in samples
        if t.bytes >= GOODPUT_THRESHOLDS.bytes or t.waited_us >= GOODPUT_THRESHOLDS.span_us
    ]


def is_slower(target: Sequence[Transfer], neutral: Sequence[Transfer]) -> bool | None:
    """Return whether the target is slow and the neutral side fast.

    Returns:
        None when the transfers are too few, too slow or too close to decide.
    """
    target_rates, neutral_rates = (
        sorted(min(t.rate, GOODPUT_THRESHOLDS.plenty) for t in select_settled(s))
        for s in (target, neutral)
    )
    if (
        min(len(target_rates), len(neutral_rates)) < GOODPUT_THRESHOLDS.transfers
        or median(neutral_rates) < GOODPUT_THRESHOLDS.fast
    ):
        return None
    is_far_below = median(target_rates) <= GOODPUT_THRESHOLDS.ratio * median(neutral_rates)
    if is_far_below and target_rates[-1] <= GOODPUT_THRESHOLDS.apart * neutral_rates[0]:
        return True
    return (
        False if median(target_rates) > GOODPUT_THRESHOLDS.apart * median(neutral_rates) else None
    )


def is_frozen(target: Sequence[Transfer]) -> bool:
    """Return whether all transfers stopped within the window and stayed silent."""
    return len(target) >= GOODPUT_THRESHOLDS.frozen and all(
        t.timed_out
        and GOODPUT_THRESHOLDS.freeze_from <= t.bytes <= GOODPUT_THRESHOLDS.freeze_to
        and t.waited_us - t.last_us >= GOODPUT_THRESHOLDS.silence_us
        for t in target
    )


def has_run_on(samples: Sequence[Transfer]) -> bool:
    """Return whether most transfers got past the window in which bodies freeze."""
    past_window = [t for t in samples if t.bytes > GOODPUT_THRESHOLDS.freeze_to and not t.timed_out]
    return len(samples) >= GOODPUT_THRESHOLDS.frozen and 2 * len(past_window) > len(samples)


RULES = (
    ComparisonRule(
        "throttling.frozen",
        BLOCKED,
        "Every transfer stopped within its first 14 to 30 KB; neutral and control ones continued.",
        0.85,
        needs="target_frozen neutral_runs control_runs",
        layer="http",
        method="frozen",
    ),
    ComparisonRule(
        "throttling.slow",
        BLOCKED,
        "Several transfers were all slow; the neutral ones and the control's were all fast.",
        0.75,
        needs="target_slower control_fast",
        layer="http",
        method="throttled",
    ),
    ComparisonRule(
        "throttling.server_slow",
        UNKNOWN,
        "The control's transfers from the target are slow too.",
        needs="target_slower",
    ),
    ComparisonRule(
        "throttling.even",
        REACHABLE,
        "The target is as fast as the neutral reference.",
        0.75,
        needs="target_even",
    ),
    ComparisonRule(
        "throttling.doubt",
        UNKNOWN,
        "Too few transfers, too few bytes, or a path too slow for a comparison.",
    ),
)


class ThrottlingComparison(Comparison):
    def extract_facts(self, measurement: Measurement, control: Measurement | None) -> Facts:
        target = extract_transfers(measurement, "target")
        neutral = extract_transfers(measurement, "neutral")
        facts: Facts = {}
        if is_frozen(target):
            facts["target_frozen"] = _collect_indices(target)
        if has_run_on(neutral):
            facts["neutral_runs"] = _collect_indices(neutral)
        is_slow = is_slower(target, neutral)
        if is_slow is not None:
            fact = "target_slower" if is_slow else "target_even"
            facts[fact] = _collect_indices([*target, *neutral])
        control_transfers = extract_transfers(control, "target") if control else []
        if has_run_on(control_transfers):
            facts["control_runs"] = ()
        settled = select_settled(control_transfers)
        if settled and all(t.rate >= GOODPUT_THRESHOLDS.fast for t in settled):
            facts["control_fast"] = ()
        return facts


def _collect_indices(samples: Sequence[Transfer]) -> tuple[int, ...]:
    return tuple(t.index for t in samples)


COMPARISON = ThrottlingComparison("throttling", RULES)
