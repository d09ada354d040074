"""Summed days give the same answers as counting all rows at each query."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import msgspec
import pytest

from heliograph_collector.aggregate.cell_updater import DailyUpdater
from heliograph_collector.model.judgement import Judgement
from heliograph_collector.store.aggregation import AggregationQuery, parse_total, query_totals
from heliograph_collector.store.clickhouse import ClickHouse
from heliograph_collector.store.daily_totals import AnonymityRule, UncachedDays, day_at
from heliograph_collector.store.store import Store, StoreError
from support.crowds import DOWN, MIDNIGHT, PAGE, RU, SMALL, asked, keep, said
from support.hand_clock import HandClock
from support.rows import DAY, T0, blocked, reachable

BY = AnonymityRule(2)
QUESTIONS = [
    asked(k=2, axes=[]),
    *(
        asked(k=2, axes=["measurement_start_day", "probe_asn"], **where)
        for where in ({}, {"countries": ["KZ"]}, {"asns": [0, 9198]}, {"until_us": MIDNIGHT + DAY})
    ),
]


def keeper(store: Store, at_us: int = MIDNIGHT + 3 * DAY, by: AnonymityRule = BY) -> DailyUpdater:
    return DailyUpdater(store, HandClock(wall=at_us), by)


async def answers(store: Store, questions: Sequence[AggregationQuery] = QUESTIONS) -> list[Any]:
    return [await store.totals(question) for question in questions]


async def counted_live(
    store: Store, questions: Sequence[AggregationQuery] = QUESTIONS
) -> list[Any]:
    """Count all from the verdicts, as if no day were summed."""
    rows = []
    for question in questions:
        span = range((question.until_us - question.since_us) // DAY)
        days = tuple(day_at(question.since_us + n * DAY) for n in span)
        query = query_totals(question, UncachedDays(days))
        rows.append(await store._run_query(query, parse_total))
    return rows


async def test_summed_days_answer_as_counted_ones(store: Store) -> None:
    first = said(blocked(), 3)
    small = [*said(reachable(), 1, vantage=SMALL), *said(DOWN, 2, vantage=RU)]
    others = [*said(PAGE, 2, first=10), *small, *said(reachable(), 4, at_us=T0 + DAY)]
    await keep(store, *first, *others)
    before = await answers(store)
    assert await keeper(store).update_due_days() == 2
    assert await answers(store) == before == await counted_live(store)

    late_rows = said(reachable(), 2, first=20, vantage=RU)
    await keep(store, *late_rows, number=2)
    late = await answers(store)
    assert late != before
    assert late == await counted_live(store)
    assert await keeper(store).update_due_days() == 1
    assert await answers(store) == late

    again = [Judgement(measurement=taken, verdicts=(reachable(),), number=9) for taken, _ in first]
    await store.replace_verdicts(again)
    other = await answers(store)
    assert other != late
    assert other == await counted_live(store)
    assert await keeper(store).update_due_days() == 1
    assert await answers(store) == other

    await keep(store, *late_rows, number=2)  # replayed
    assert await answers(store) == other


async def test_withdrawn_verdicts_leave_summed_days(store: Store) -> None:
    rows = said(blocked(), 3)
    await keep(store, *rows)
    await keeper(store).update_due_days()
    bad = msgspec.structs.replace(blocked(), rule="time.bad")
    await store.replace_verdicts(
        [Judgement(measurement=t, verdicts=(bad,), number=9) for t, _ in rows]
    )
    await keeper(store).update_due_days()
    assert await store.totals(asked(axes=["probe_cc"])) == []


async def test_current_day_and_other_signatures_are_counted_live(store: Store) -> None:
    await keep(store, *said(PAGE, 3))
    assert await keeper(store, T0).update_due_days() == 0
    soon = keeper(store, MIDNIGHT + DAY + 60_000_000)
    assert await soon.update_due_days() == 0, "late data is coming"
    await keeper(store).update_due_days()
    (lower,) = await store.totals(asked(k=1))
    assert (lower.anomaly, lower.confirmed) == (0, 3)
    other = keeper(store, by=AnonymityRule(3))
    assert await other.update_due_days() == 1, "summed again by the rule of now"
    (higher,) = await store.totals(asked(k=3))
    assert (higher.anomaly, higher.confirmed) == (0, 3)


async def test_crash_between_writes_keeps_answers_right(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_day = QUESTIONS[1:2]  # all rows, told by day and network; the test above asks the others
    put, insert = ClickHouse.command, ClickHouse.insert
    left = 0

    def dying(work: Any) -> Any:
        def write(self: ClickHouse, *args: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                raise StoreError("power lost")
            return work(self, *args)

        return write

    days = [said(blocked(), 3, at_us=T0 + n * DAY) for n in range(5)]
    await keep(store, *(row for day in days for row in day))
    await keeper(store, MIDNIGHT + 7 * DAY).update_due_days()
    for n in range(5):
        left = n + 1
        monkeypatch.setattr(ClickHouse, "command", dying(put))
        monkeypatch.setattr(ClickHouse, "insert", dying(insert))
        with suppress(StoreError):
            more = said(reachable(), 2, first=20, at_us=T0 + n * DAY)
            await keep(store, *more, number=2 + n)
        await keeper(store, MIDNIGHT + 7 * DAY).update_due_days()
        monkeypatch.undo()
        assert left <= 0, "it died"
        live = await counted_live(store, by_day)
        assert await answers(store, by_day) == live
        await keeper(store, MIDNIGHT + 7 * DAY).update_due_days()
        assert await store.list_due_days(MIDNIGHT + 7 * DAY, BY, include_new=True) == []
        assert await answers(store, by_day) == live


async def test_late_mark_of_an_earlier_leader_hides_no_change(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A late mark of an earlier leader hides no change.

    It was stopped before its last write, and makes it after the next one has summed the day.
    """
    late: list[Any] = []
    put = ClickHouse.command

    def hold_mark(self: ClickHouse, statement: str, parameters: Any = None) -> None:
        if "INTO day_marks" in statement:
            late.append((statement, parameters))
        else:
            put(self, statement, parameters)

    await keep(store, *said(blocked(), 3))
    with monkeypatch.context() as stopped:
        stopped.setattr(ClickHouse, "command", hold_mark)
        await keeper(store).update_due_days()
    assert await keeper(store).update_due_days() == 1
    await keep(store, *said(reachable(), 2, first=20), number=2)
    for write in late:
        await store._run_write(store._clickhouse.command, *write)
    assert await answers(store) == await counted_live(store)
