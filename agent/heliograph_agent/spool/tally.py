"""What many runs came to: counts by test and outcome, as measurements with a summary. Pure.

A summary says how many runs there were, of which outcomes, over which span, and nothing of what
they saw besides. Where even that is too long, it says less and never something else.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from heliograph.v1 import observation_pb2 as pb

MAX_OUTCOMES = 8  # of one test; runs with rarer ones are in `runs` alone
MAX_FAILURES = 64  # steps of one outcome; what has more is a rarer one
MAX_SPAN_US = 366 * 86_400_000_000
MAX_TESTS = 512  # of one summary; beyond it services stand for their targets
FULL, PLAIN, COARSE = 0, 1, 2  # how much is told: every outcome; well or not; by service alone
DETAILS = (FULL, PLAIN, COARSE)

Steps = tuple[tuple[str, str, str], ...]
_Key = tuple[str, int, str, str, str, str]


@dataclass(slots=True)
class _Test:
    first: pb.Measurement  # without its observations
    last_sequence: int
    last_us: int  # monotonic start of the last
    runs: int = 0
    runtime_us: int = 0
    outcomes: Counter[tuple[bool, Steps]] = field(default_factory=Counter)

    def add(self, other: "_Test") -> None:
        self.last_sequence = max(self.last_sequence, other.last_sequence)
        self.last_us = max(self.last_us, other.last_us)
        self.runs += other.runs
        self.runtime_us += other.runtime_us
        self.outcomes.update(other.outcomes)


class Tally:
    """All runs of one class in one hour or one day."""

    def __init__(self) -> None:
        self.runs = 0
        self.tests: dict[_Key, _Test] = {}

    def add(self, body: bytes) -> None:
        """One measurement, as it lay in the spool."""
        run = pb.Measurement.FromString(body)
        outcome = (bool(run.not_measured), _failures(run))
        del run.observations[:]
        one = _Test(run, run.sequence, run.monotonic_us, 1, run.runtime_us, Counter([outcome]))
        self._put(_key(run), one)
        self.runs += 1

    def merge(self, other: "Tally") -> None:
        for key, test in other.tests.items():
            self._put(key, test)
        self.runs += other.runs

    def epochs(self) -> set[str]:
        return {test.first.epoch for test in self.tests.values()}

    def bodies(self, detail: int) -> list[bytes]:
        """Serialized measurements with a summary each, in the order of their tests' first runs."""
        tests: Iterable[_Test] = self.tests.values()
        if detail == COARSE or len(self.tests) > MAX_TESTS:
            tests = self._by_service()
        return [
            _summary(test, detail).SerializeToString(deterministic=True)
            for test in sorted(tests, key=lambda test: test.first.sequence)
        ]

    def _put(self, key: _Key, test: _Test) -> None:
        if key not in self.tests:
            self.tests[key] = _Test(test.first, 0, 0)
        self.tests[key].add(test)

    def _by_service(self) -> list[_Test]:
        found: dict[_Key, _Test] = {}
        for (experiment, _, service, _, epoch, link), test in self.tests.items():
            key = (experiment, 0, service, "", epoch, link)
            if key not in found:
                first = pb.Measurement()
                first.CopyFrom(test.first)
                first.target = "" if service else experiment
                found[key] = _Test(first, 0, 0)
            found[key].add(test)
        return list(found.values())


def _key(run: pb.Measurement) -> _Key:
    version = run.experiment_version
    return run.experiment, version, run.service, run.target, run.epoch, run.link


def _failures(run: pb.Measurement) -> Steps:
    steps = {(x.endpoint, x.operation, x.failure) for x in run.observations if x.failure}
    return tuple(sorted(steps))


def _summary(test: _Test, detail: int) -> pb.Measurement:
    told = pb.Measurement()
    told.CopyFrom(test.first)
    told.not_measured = ""
    told.runtime_us = test.runtime_us
    span_us = min(max(0, test.last_us - test.first.monotonic_us), MAX_SPAN_US)
    told.summary.runs = test.runs
    told.summary.span_us = span_us
    told.summary.last_sequence = test.last_sequence
    for (not_measured, failures), runs in _told(test.outcomes, detail):
        steps = [pb.FailedStep(endpoint=e, operation=o, failure=f) for e, o, f in failures]
        told.summary.outcomes.append(
            pb.Outcome(runs=runs, not_measured=not_measured, failures=steps)
        )
    return told


def _told(
    outcomes: Counter[tuple[bool, Steps]], detail: int
) -> list[tuple[tuple[bool, Steps], int]]:
    if detail == FULL:
        short = Counter({what: n for what, n in outcomes.items() if len(what[1]) <= MAX_FAILURES})
        return short.most_common(MAX_OUTCOMES)
    return [(what, runs) for what, runs in outcomes.most_common() if not what[1]]
