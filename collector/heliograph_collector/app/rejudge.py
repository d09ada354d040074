"""Says again, with the rules of today, what a stretch of the store means.

Whole hours are taken in order, each with what lies within a control's reach of it, so that late
uploads find the controls of their time, and that memory is bounded by an hour's measurements.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from heliograph.plan import Service
from heliograph_collector.aggregate.cell_updater import update_touched_bins
from heliograph_collector.control import STALE_US, ControlContext, Judge
from heliograph_collector.judge import judge as standard_judge
from heliograph_collector.model.records import TIME_BAD, Judgement, Verdict
from heliograph_collector.store.store import Store

HOUR_US = 3_600_000_000
MAX_OBSERVATIONS = (
    2_000_000  # observations that a memory keeps: more than an hour's worth of a busy collector
)

OnProgress = Callable[[int], None]  # how many measurements were looked at


@dataclass(frozen=True, slots=True, kw_only=True)
class RejudgeScope:
    """What to judge again; controls are read from everywhere."""

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
    """One verdict before and after; "" stands for none at all."""

    country: str
    service: str
    before: str
    after: str
    state_before: str
    state_after: str


@dataclass(slots=True)
class RejudgeReport:
    """What a run came to."""

    judged_count: int = 0
    changed_count: int = 0  # measurements
    bin_count: int = 0  # of cells rolled up again
    is_complete: bool = True  # false when it ended before its time
    changes: Counter[VerdictChange] = field(default_factory=Counter)


async def rejudge(
    store: Store,
    services: Iterable[Service],
    rejudge_scope: RejudgeScope,
    *,
    is_written: bool,
    judge: Judge = standard_judge,
    on_progress: OnProgress = lambda _: None,
    max_judged: int = 0,
) -> RejudgeReport:
    """Judge `rejudge_scope` again; with `is_written` store verdicts and cells. Raises StoreError.

    A second run changes nothing. A run that was cut off is resumed by starting it again, except
    for the cells of what it had changed; the running collector rolls up those of the last day.
    It ends with the hour in which `max_judged` measurements were judged (0: no limit).
    """
    controls = ControlContext(services, observations=MAX_OBSERVATIONS)
    report = RejudgeReport()
    for since_us in range(rejudge_scope.since_us, rejudge_scope.until_us, HOUR_US):
        until_us = min(since_us + HOUR_US, rejudge_scope.until_us)
        judgements = [
            j async for j in _iter_nearby(store, since_us, until_us, rejudge_scope.service)
        ]
        judgements_in_hour = [
            j
            for j in judgements
            if rejudge_scope.includes(j) and since_us <= j.measurement.started_us < until_us
        ]
        changed_judgements = await asyncio.to_thread(
            _judge_in_thread, judgements, judgements_in_hour, judge, controls, report
        )
        if is_written and changed_judgements:
            await store.replace_verdicts(changed_judgements)
            report.bin_count += await update_touched_bins(
                store, [j.measurement.started_us for j in changed_judgements]
            )
        on_progress(report.judged_count)
        if max_judged and report.judged_count >= max_judged:
            report.is_complete = until_us >= rejudge_scope.until_us
            break
    return report


async def _iter_nearby(
    store: Store, since_us: int, until_us: int, service: str
) -> AsyncIterator[Judgement]:
    after: tuple[int, str] | None = None
    bounds = (since_us - STALE_US, until_us + STALE_US)
    while page := await store.list_judgements(*bounds, service=service, after=after):
        for judgement in page:
            yield judgement
        after = (page[-1].measurement.started_us, page[-1].measurement.id)


def _judge_in_thread(
    judgements: Sequence[Judgement],
    judgements_in_hour: Sequence[Judgement],
    judge: Judge,
    controls: ControlContext,
    report: RejudgeReport,
) -> list[Judgement]:
    """In a thread, so that whoever else is served in this process is not kept waiting."""
    for judgement in judgements:
        controls.update(judgement.measurement)
    return list(_iter_changed(judgements_in_hour, judge, controls, report))


def _iter_changed(
    judgements_in_hour: Sequence[Judgement],
    judge: Judge,
    controls: ControlContext,
    report: RejudgeReport,
) -> Iterator[Judgement]:
    for previous in judgements_in_hour:
        report.judged_count += 1
        if previous.measurement.is_time_bad or any(v.rule == TIME_BAD for v in previous.verdicts):
            continue
        verdicts = judge(previous.measurement, controls.view_of(previous.measurement))
        if _index_by_endpoint(verdicts) != _index_by_endpoint(previous.verdicts):
            report.changed_count += 1
            report.changes.update(_iter_changes(previous, verdicts))
            yield Judgement(
                measurement=previous.measurement, verdicts=verdicts, number=previous.number + 1
            )


def _iter_changes(previous: Judgement, verdicts: Sequence[Verdict]) -> Iterator[VerdictChange]:
    """A verdict whose confidence or evidence alone is another is a move from a rule to itself."""
    before = _index_by_endpoint(previous.verdicts)
    after = _index_by_endpoint(verdicts)
    for endpoint in sorted(before.keys() | after.keys()):
        old_verdict = before.get(endpoint)
        new_verdict = after.get(endpoint)
        if old_verdict != new_verdict:
            yield VerdictChange(
                country=previous.measurement.vantage.country,
                service=previous.measurement.measurement.service
                or previous.measurement.measurement.target,
                before=old_verdict.rule if old_verdict else "",
                after=new_verdict.rule if new_verdict else "",
                state_before=old_verdict.state.value if old_verdict else "",
                state_after=new_verdict.state.value if new_verdict else "",
            )


def _index_by_endpoint(verdicts: Sequence[Verdict]) -> dict[str, Verdict]:
    return {verdict.endpoint: verdict for verdict in verdicts}
