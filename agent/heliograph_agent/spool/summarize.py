"""Replace results of an hour, then of a day, by a summary that counts every run.

The first and the last results stay whole as long as anything else can be summarized, because they
show how a shutdown began and how things are now.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from operator import attrgetter
from typing import NamedTuple

from heliograph.codec import split_round
from heliograph.units import DAY_US
from heliograph.v1 import observation_pb2 as pb
from heliograph_agent.spool.priority import FreedRoom, Priority
from heliograph_agent.spool.schema import DAY, HOUR

MAX_OUTCOMES = 8  # of one test; runs with rarer outcomes count only in `runs`
MAX_FAILURES = 64  # steps of one outcome; one with more counts as rare
MAX_SPAN_US = 366 * DAY_US
MAX_TESTS = 512  # of one summary; with more, tests are grouped by service
# level of detail: every outcome; success or not; by service alone
FULL = 0
PLAIN = 1
COARSE = 2
DETAILS = (FULL, PLAIN, COARSE)

Steps = tuple[tuple[str, str, str], ...]
_Key = tuple[str, int, str, str, str, str, tuple[bool, bool]]


@dataclass(slots=True)
class _TestRuns:
    first: pb.Measurement  # without its observations
    last_sequence: int
    last_us: int  # monotonic start of the last
    runs: int = 0
    runtime_us: int = 0
    outcomes: Counter[tuple[bool, Steps]] = field(default_factory=Counter)

    def add(self, other: "_TestRuns") -> None:
        self.last_sequence = max(self.last_sequence, other.last_sequence)
        self.last_us = max(self.last_us, other.last_us)
        self.runs += other.runs
        self.runtime_us += other.runtime_us
        self.outcomes.update(other.outcomes)


class RunSummary:
    """Count all runs of one class in one hour or one day."""

    def __init__(self) -> None:
        self.runs = 0
        self.tests: dict[_Key, _TestRuns] = {}

    def add(self, body: bytes) -> None:
        """Add one serialized measurement, of a round each of its light checks."""
        self.runs += 1
        for run in split_round(pb.Measurement.FromString(body)):
            self._add_run(run)

    def _add_run(self, run: pb.Measurement) -> None:
        failed = {(x.endpoint, x.operation, x.failure) for x in run.observations if x.failure}
        outcome = (bool(run.not_measured), tuple(sorted(failed)))
        del run.observations[:]
        test = _TestRuns(run, run.sequence, run.monotonic_us, 1, run.runtime_us, Counter([outcome]))
        version = run.experiment_version
        place = (run.epoch, run.link, (run.is_visit, run.is_light))
        key = (run.experiment, version, run.service, run.target, *place)
        self._add_test(key, test)

    def merge(self, other: "RunSummary") -> None:
        for key, test in other.tests.items():
            self._add_test(key, test)
        self.runs += other.runs

    def epoch_ids(self) -> set[str]:
        return {test.first.epoch for test in self.tests.values()}

    def serialize(self, detail: int) -> list[bytes]:
        """Serialize one measurement with a summary per test, by the tests' first runs."""
        tests: Iterable[_TestRuns] = self.tests.values()
        if detail == COARSE or len(self.tests) > MAX_TESTS:
            tests = self._group_by_service()
        return [
            _make_summary(test, detail).SerializeToString(deterministic=True)
            for test in sorted(tests, key=attrgetter("first.sequence"))
        ]

    def _add_test(self, key: _Key, test: _TestRuns) -> None:
        if key not in self.tests:
            self.tests[key] = _TestRuns(test.first, 0, 0)
        self.tests[key].add(test)

    def _group_by_service(self) -> list[_TestRuns]:
        tests: dict[_Key, _TestRuns] = {}
        for (experiment, _, service, _, epoch, link, kind), test in self.tests.items():
            key = (experiment, 0, service, "", epoch, link, kind)
            if key not in tests:
                first = pb.Measurement()
                first.CopyFrom(test.first)
                first.target = "" if service else experiment
                tests[key] = _TestRuns(first, 0, 0)
            tests[key].add(test)
        return list(tests.values())


def _make_summary(test: _TestRuns, detail: int) -> pb.Measurement:
    measurement = pb.Measurement()
    measurement.CopyFrom(test.first)
    measurement.not_measured = ""
    measurement.runtime_us = test.runtime_us
    span_us = min(max(0, test.last_us - test.first.monotonic_us), MAX_SPAN_US)
    measurement.summary.runs = test.runs
    measurement.summary.span_us = span_us
    measurement.summary.last_sequence = test.last_sequence
    for (not_measured, failures), runs in _select_outcomes(test.outcomes, detail):
        steps = [pb.FailedStep(endpoint=e, operation=o, failure=f) for e, o, f in failures]
        measurement.summary.outcomes.append(
            pb.Outcome(runs=runs, not_measured=not_measured, failures=steps)
        )
    return measurement


def _select_outcomes(
    outcomes: Counter[tuple[bool, Steps]], detail: int
) -> list[tuple[tuple[bool, Steps], int]]:
    if detail == FULL:
        reportable = Counter(
            {outcome: n for outcome, n in outcomes.items() if len(outcome[1]) <= MAX_FAILURES}
        )
        return reportable.most_common(MAX_OUTCOMES)
    return [(outcome, runs) for outcome, runs in outcomes.most_common() if not outcome[1]]


# An eighth at each end stays whole, or a 64th when an eighth frees too little.
ENDS = (8, 64)


class Group(NamedTuple):
    """Hold a summary and the results that it can replace."""

    number: int
    size: int
    member_bytes: int
    member_runs: int

    @property
    def freed_bytes(self) -> int:
        return self.member_bytes - self.size


def roll_up_hours(
    db: sqlite3.Connection, priority: Priority, want_bytes: int, ends: int
) -> FreedRoom:
    """Replace about `want_bytes` of results of one class by their hourly summaries."""
    groups = db.execute(
        "SELECT s.sequence, s.size, sum(m.size), sum(m.measurements) FROM envelope s"
        " JOIN envelope m ON m.cover = s.sequence AND m.priority = ?"
        " WHERE s.priority = ? AND s.size > 0 GROUP BY s.sequence",
        (priority, priority + HOUR),
    ).fetchall()
    return _roll_up(db, priority, want_bytes, map(Group._make, groups), ends)


def roll_up_days(
    db: sqlite3.Connection, priority: Priority, want_bytes: int, ends: int
) -> FreedRoom:
    """Replace published hourly summaries, and other results, by daily summaries."""
    groups = db.execute(
        "SELECT s.sequence, s.size, sum(h.size + coalesce(m.size, 0)), sum(coalesce(m.runs, 0))"
        " FROM envelope s JOIN envelope h ON h.cover = s.sequence LEFT JOIN"
        " (SELECT cover, sum(size) AS size, sum(measurements) AS runs FROM envelope"
        "  WHERE cover > 0 AND priority = ? GROUP BY cover) m"
        " ON m.cover = h.sequence AND h.priority = ?"
        " WHERE s.priority = ? AND s.size > 0 GROUP BY s.sequence",
        (priority, priority + HOUR, priority + DAY),
    ).fetchall()
    return _roll_up(db, priority, want_bytes, map(Group._make, groups), ends)


def _roll_up(
    db: sqlite3.Connection, priority: Priority, want_bytes: int, groups: Iterable[Group], ends: int
) -> FreedRoom:
    """Publish the summaries that free the most bytes, up to `want_bytes`."""
    freed = 0
    runs = 0
    candidates = _inner_groups(db, priority, groups, ends)
    for group in sorted(candidates, key=attrgetter("freed_bytes"), reverse=True):
        if freed >= want_bytes or group.freed_bytes <= 0:
            break
        _publish_summary(db, priority, group.number)
        freed += group.freed_bytes
        runs += group.member_runs
    return FreedRoom(runs, has_freed=freed > 0)


def _publish_summary(db: sqlite3.Connection, priority: Priority, number: int) -> None:
    db.execute(
        "DELETE FROM envelope WHERE priority = ? AND cover IN"
        " (SELECT sequence FROM envelope WHERE cover = ? AND priority = ?)",
        (int(priority), number, priority + HOUR),
    )
    db.execute("DELETE FROM envelope WHERE cover = ?", (number,))
    db.execute("UPDATE envelope SET priority = ? WHERE sequence = ?", (int(priority), number))


def _inner_groups(
    db: sqlite3.Connection, priority: Priority, groups: Iterable[Group], ends: int
) -> list[Group]:
    """Return the groups between the two ends of the class, as numbers rise with time."""
    first, last = db.execute(
        "SELECT min(sequence), max(sequence) FROM envelope WHERE priority = ?", (int(priority),)
    ).fetchone()
    if first is None:
        return []
    edge = max(1, (last - first) // ends)
    return [group for group in groups if first + edge <= group.number <= last - edge]
