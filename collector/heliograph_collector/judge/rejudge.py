"""Judge a time range of the store again by the current rules.

Whole hours are judged in order, each with the measurements that may hold its controls. So late
uploads find the controls of their time, and memory is bounded by the measurements of an hour.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from heliograph.units import HOUR_US
from heliograph_collector.judge import judge as standard_judge
from heliograph_collector.model.judgement import Judgement
from heliograph_collector.model.judging import Judge
from heliograph_collector.model.records import (
    TIME_BAD,
    ControlView,
    ReceivedMeasurement,
    Verdict,
    VerdictState,
)
from heliograph_collector.store.certificates import add_certificates
from heliograph_collector.store.store import Store

MAX_FIRSTS = 2_000  # kinds of changes with an example; assumed
EXAMPLES = 10
BLOCKED = VerdictState.BLOCKED.value


class ControlHistory(Protocol):
    """The controls of the judged time; it may hold more than an hour of observations."""

    def update(self, record: ReceivedMeasurement) -> bool: ...
    def view_of(self, record: ReceivedMeasurement) -> ControlView: ...


class CellRollup(Protocol):
    async def update_touched_bins(self, timestamps_us: Iterable[int]) -> int:
        """Roll up the bins of these times again; return the number of five-minute bins."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RejudgeScope:
    """The measurements to judge again; controls come from everywhere."""

    since_us: int
    until_us: int
    country: str = ""
    service: str = ""

    def includes(self, judgement: Judgement) -> bool:
        record = judgement.measurement
        is_in_country = not self.country or record.vantage.country == self.country
        return is_in_country and self.since_us <= record.started_us < self.until_us


@dataclass(frozen=True, slots=True)
class VerdictChange:
    """One verdict before and after; "" means no verdict."""

    country: str
    service: str
    before: str
    after: str
    state_before: str
    state_after: str
    experiment: str = ""
    is_vote: bool = True  # the verdict on the whole target, and not of one endpoint

    @property
    def is_kept(self) -> bool:
        """Return whether state and rule are the same, and confidence or evidence is not."""
        return (self.state_before, self.before) == (self.state_after, self.after)


@dataclass(frozen=True, slots=True)
class ChangedMeasurement:
    """One measurement with a change, by which people look at it."""

    id: str
    started_us: int
    endpoint: str
    change: VerdictChange


@dataclass(slots=True)
class RejudgeReport:
    """The result of a run."""

    judged_count: int = 0
    changed_count: int = 0  # measurements
    bin_count: int = 0  # cells rolled up again
    is_complete: bool = True  # false if the limit ended it early
    changes: Counter[VerdictChange] = field(default_factory=Counter)
    firsts: dict[VerdictChange, ChangedMeasurement] = field(default_factory=dict)

    def add(self, changed: ChangedMeasurement) -> None:
        """Count a change; the first of each kind is kept as its example, up to MAX_FIRSTS."""
        self.changes[changed.change] += 1
        if len(self.firsts) < MAX_FIRSTS:
            self.firsts.setdefault(changed.change, changed)

    def count_kept(self) -> int:
        """Count changed verdicts with the same state and rule.

        Their confidence or evidence differs.
        """
        return sum(count for change, count in self.changes.items() if change.is_kept)

    def count_votes(self) -> Counter[tuple[str, str, str, str]]:
        """Count changed votes by experiment, service, and state before and after."""
        votes: Counter[tuple[str, str, str, str]] = Counter()
        for change, count in self.changes.items():
            if change.is_vote:
                key = (change.experiment, change.service, change.state_before, change.state_after)
                votes[key] += count
        return votes

    def list_examples(self) -> list[ChangedMeasurement]:
        """List examples, one for each pair of rules first, blocked ones before others."""
        ranked = sorted(self.firsts.values(), key=self._rank_example)
        by_rules: dict[tuple[str, str], ChangedMeasurement] = {}
        for example in ranked:
            by_rules.setdefault((example.change.before, example.change.after), example)
        return list(by_rules.values())[:EXAMPLES]

    def _rank_example(self, example: ChangedMeasurement) -> tuple[bool, bool, int, str]:
        change = example.change
        is_same = change.state_before == change.state_after
        is_blame = BLOCKED in (change.state_before, change.state_after)
        return is_same, not (is_blame and change.is_vote), -self.changes[change], example.id


async def rejudge(
    store: Store,
    controls: ControlHistory,
    cells: CellRollup,
    rejudge_scope: RejudgeScope,
    *,
    control_reach_us: int,
    is_written: bool,
    judge: Judge = standard_judge,
    on_progress: Callable[[int], None] | None = None,
    max_judged: int = 0,
) -> RejudgeReport:
    """Judge `rejudge_scope` again; with `is_written`, store verdicts and cells.

    A second run changes nothing. Start an interrupted run again to resume it. Cells that it changed
    but did not roll up stay outdated, unless they are of the last day, which a running collector
    rolls up.

    Args:
        control_reach_us: How far before or after a measurement its control may lie.
        is_written: Whether to store the new verdicts and cells.
        on_progress: Gets the number of judged measurements after each hour.
        max_judged: The run ends after the hour in which it reached this number; 0: no limit.

    Raises:
        StoreError: The store does not answer.
    """
    report = RejudgeReport()
    for since_us in range(rejudge_scope.since_us, rejudge_scope.until_us, HOUR_US):
        until_us = min(since_us + HOUR_US, rejudge_scope.until_us)
        hour = replace(rejudge_scope, since_us=since_us, until_us=until_us)
        nearby = [j async for j in _iter_nearby(store, hour, control_reach_us)]
        changed = await asyncio.to_thread(_judge_hour, nearby, hour, judge, controls, report)
        if is_written and changed:
            await store.replace_verdicts(changed)
            timestamps_us = [j.measurement.started_us for j in changed]
            report.bin_count += await cells.update_touched_bins(timestamps_us)
        if on_progress is not None:
            on_progress(report.judged_count)
        if max_judged and report.judged_count >= max_judged:
            report.is_complete = until_us >= rejudge_scope.until_us
            break
    return report


async def _iter_nearby(store: Store, hour: RejudgeScope, reach_us: int) -> AsyncIterator[Judgement]:
    bounds = (hour.since_us - reach_us, hour.until_us + reach_us)
    after: tuple[int, str] | None = None
    while page := await store.list_judgements(*bounds, service=hour.service, after=after):
        records = await add_certificates(store, [judgement.measurement for judgement in page])
        for judgement, record in zip(page, records, strict=True):
            yield replace(judgement, measurement=record)
        after = (page[-1].measurement.started_us, page[-1].measurement.id)


def _judge_hour(
    nearby: Sequence[Judgement],
    hour: RejudgeScope,
    judge: Judge,
    controls: ControlHistory,
    report: RejudgeReport,
) -> list[Judgement]:
    """Judge an hour in a thread, so that other tasks run; return the changes."""
    for judgement in nearby:
        controls.update(judgement.measurement)
    changed = []
    for previous in filter(hour.includes, nearby):
        record = previous.measurement
        report.judged_count += 1
        if record.is_time_bad or any(v.rule == TIME_BAD for v in previous.verdicts):
            continue
        verdicts = judge(record, controls.view_of(record))
        changes = list(_iter_changes(previous, verdicts))
        if changes:
            for change in changes:
                report.add(change)
            changed.append(
                Judgement(measurement=record, verdicts=verdicts, number=previous.number + 1)
            )
    report.changed_count += len(changed)
    return changed


def _iter_changes(previous: Judgement, verdicts: Sequence[Verdict]) -> Iterator[ChangedMeasurement]:
    """Yield the changes of a measurement's verdicts.

    If only confidence or evidence changed, `before` and `after` are the same rule.
    """
    record = previous.measurement
    before = {verdict.endpoint: verdict for verdict in previous.verdicts}
    after = {verdict.endpoint: verdict for verdict in verdicts}
    for endpoint in sorted(before.keys() | after.keys()):
        old = before.get(endpoint)
        new = after.get(endpoint)
        if old != new:
            change = VerdictChange(
                country=record.vantage.country,
                service=record.measurement.service or record.measurement.target,
                before=old.rule if old else "",
                after=new.rule if new else "",
                state_before=old.state.value if old else "",
                state_after=new.state.value if new else "",
                experiment=record.measurement.experiment,
                is_vote=not endpoint,
            )
            yield ChangedMeasurement(record.id, record.started_us, endpoint, change)
