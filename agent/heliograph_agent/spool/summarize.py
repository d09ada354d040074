"""Makes room without loss of count: the results of an hour, then of a day, give way to their sum.

The beginning and the end of the story stay whole as long as anything else can be summed up, for it
is they that tell how a shutdown began and how things are now.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from heliograph.v1 import observation_pb2 as pb
from heliograph_agent.spool.compaction import DAY, HOUR
from heliograph_agent.spool.priority import Priority

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


# One part in so many at each end stays whole; when that is not enough, a smaller one.
ENDS = (8, 64)


@dataclass(frozen=True, slots=True)
class Rolled:
    runs: int  # that are now counted in a sum, and cannot be read one by one
    done: bool  # whether anything gave way


Group = tuple[int, int, int, int]  # number and size of a sum; size and results of what it sums


def roll_hours(db: sqlite3.Connection, priority: Priority, want_bytes: int, ends: int) -> Rolled:
    """Results of one class in favour of the sums of their hours, about `want_bytes` of them."""
    groups = db.execute(
        "SELECT s.sequence, s.size, sum(m.size), sum(m.measurements) FROM envelope s"
        " JOIN envelope m ON m.cover = s.sequence AND m.priority = ?"
        " WHERE s.priority = ? AND s.size > 0 GROUP BY s.sequence",
        (priority, priority + HOUR),
    ).fetchall()
    return _roll(db, priority, want_bytes, groups, ends)


def roll_days(db: sqlite3.Connection, priority: Priority, want_bytes: int, ends: int) -> Rolled:
    """Sums of hours, and results whose hour was not worth a sum, in favour of those of days."""
    groups = db.execute(
        "SELECT s.sequence, s.size, sum(h.size + coalesce(m.size, 0)), sum(coalesce(m.runs, 0))"
        " FROM envelope s JOIN envelope h ON h.cover = s.sequence LEFT JOIN"
        " (SELECT cover, sum(size) AS size, sum(measurements) AS runs FROM envelope"
        "  WHERE cover > 0 AND priority = ? GROUP BY cover) m"
        " ON m.cover = h.sequence AND h.priority = ?"
        " WHERE s.priority = ? AND s.size > 0 GROUP BY s.sequence",
        (priority, priority + HOUR, priority + DAY),
    ).fetchall()
    return _roll(db, priority, want_bytes, groups, ends)


def _roll(
    db: sqlite3.Connection, priority: Priority, want_bytes: int, groups: list[Group], ends: int
) -> Rolled:
    """Those that free the most first: there many results are like each other."""
    freed, runs = 0, 0
    within = _within(db, priority, groups, ends)
    for number, size, members, measurements in sorted(within, key=lambda g: g[1] - g[2]):
        if freed >= want_bytes or members <= size:
            break
        _replace(db, priority, number)
        freed += members - size
        runs += measurements
    return Rolled(runs, done=freed > 0)


def _replace(db: sqlite3.Connection, priority: Priority, number: int) -> None:
    """Let a sum go out, and nothing of what it sums up."""
    db.execute(
        "DELETE FROM envelope WHERE priority = ? AND cover IN"
        " (SELECT sequence FROM envelope WHERE cover = ? AND priority = ?)",
        (int(priority), number, priority + HOUR),
    )
    db.execute("DELETE FROM envelope WHERE cover = ?", (number,))
    db.execute("UPDATE envelope SET priority = ? WHERE sequence = ?", (int(priority), number))


def _within(
    db: sqlite3.Connection, priority: Priority, groups: list[Group], ends: int
) -> list[Group]:
    """Those between the two ends of the story; numbers rise with time."""
    first, last = db.execute(
        "SELECT min(sequence), max(sequence) FROM envelope WHERE priority = ?", (int(priority),)
    ).fetchone()
    if first is None:
        return []
    edge = max(1, (last - first) // ends)
    return [group for group in groups if first + edge <= group[0] <= last - edge]
