"""Days that are summed: the answers are the same as if everything were counted at each question."""

from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from heliograph.clock import Clock
from heliograph_collector.aggregate.cell_updater import DailyUpdater
from heliograph_collector.model.records import Judgement, Vantage, Verdict, VerdictState
from heliograph_collector.store.clickhouse import ClickHouse
from heliograph_collector.store.daily_totals import AnonymityRule
from heliograph_collector.store.store import Store, StoreError
from support.crowds import MIDNIGHT, asked, said
from support.hand_clock import HandClock
from support.rows import DAY, T0, block, blocked, reachable

BY = AnonymityRule(2, ("block_page",))
PAGE = blocked(method="block_page")
DOWN = Verdict(state=VerdictState.DOWN, rule="x.down")
RU = Vantage(country="RU", asn=12_389, access="fixed")
SMALL = Vantage(country="KZ", asn=21_299, access="mobile")
QUESTIONS = [
    asked(k=2, axes=axes, **where)
    for axes in ([], ["measurement_start_day", "probe_asn"])
    for where in ({}, {"countries": ["KZ"]}, {"asns": [0, 9198]}, {"until_us": MIDNIGHT + DAY})
]


def keeper(store: Store, at_us: int = MIDNIGHT + 3 * DAY) -> DailyUpdater:
    clock: Clock = HandClock(wall=at_us)
    return DailyUpdater(store, clock, BY)


async def answers(store: Store) -> list[Any]:
    return [await store.totals(question) for question in QUESTIONS]


async def counted_live(store: Store) -> list[Any]:
    """No day is summed by this signature, so all is counted."""
    others = [replace(q, known_methods=["block_page", "no such"]) for q in QUESTIONS]
    return [await store.totals(question) for question in others]


async def keep(store: Store, number: int, *crowds: Any) -> None:
    rows = [row for crowd in crowds for row in crowd]
    await store.insert_block(block(number, number, *rows))


async def test_summed_days_answer_as_counted_ones(store: Store) -> None:
    first = said(blocked(), 3)
    await keep(
        store,
        1,
        first,
        said(PAGE, 2, first=10),
        said(reachable(), 1, vantage=SMALL),
        said(DOWN, 2, vantage=RU),
        said(reachable(), 4, at_us=T0 + DAY),
    )
    before = await answers(store)
    assert await keeper(store).update_due_days() == 2
    assert await answers(store) == before == await counted_live(store)

    await keep(store, 2, said(reachable(), 2, first=20, vantage=RU))  # late
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

    await store.insert_block(block(2, 2, *said(reachable(), 2, first=20, vantage=RU)))  # replayed
    assert await answers(store) == other


async def test_withdrawn_verdicts_leave_summed_days(store: Store) -> None:
    rows = said(blocked(), 3)
    await keep(store, 1, rows)
    await keeper(store).update_due_days()
    bad = replace(blocked(), rule="time.bad")
    await store.replace_verdicts(
        [Judgement(measurement=t, verdicts=(bad,), number=9) for t, _ in rows]
    )
    await keeper(store).update_due_days()
    assert await store.totals(asked(axes=["probe_cc"])) == []


async def test_current_day_and_other_signatures_are_counted_live(store: Store) -> None:
    await keep(store, 1, said(PAGE, 3))
    assert await keeper(store, T0).update_due_days() == 0
    assert await keeper(store, MIDNIGHT + DAY + 60_000_000).update_due_days() == 0, (
        "late data is coming"
    )
    await keeper(store).update_due_days()
    (unknown,) = await store.totals(asked(k=2, known_methods=[]))
    assert (unknown.anomaly, unknown.confirmed) == (2, 0)
    other = DailyUpdater(
        store, HandClock(wall=MIDNIGHT + 3 * DAY), AnonymityRule(2, ("status_451",))
    )
    assert await other.update_due_days() == 1, "summed again by what is known now"
    (known,) = await store.totals(asked(k=2, known_methods=["status_451"]))
    assert (known.anomaly, known.confirmed) == (2, 0)


async def test_crash_between_writes_keeps_answers_right(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, insert = ClickHouse.insert_select, ClickHouse.insert
    left = 0

    def dying(work: Any) -> Any:
        def write(self: ClickHouse, *args: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                raise StoreError("power lost")
            return work(self, *args)

        return write

    await keep(store, 1, *(said(blocked(), 3, at_us=T0 + n * DAY) for n in range(5)))
    await keeper(store, MIDNIGHT + 7 * DAY).update_due_days()
    for n in range(5):
        left = n + 1
        monkeypatch.setattr(ClickHouse, "insert_select", dying(put))
        monkeypatch.setattr(ClickHouse, "insert", dying(insert))
        with suppress(StoreError):
            await keep(store, 2 + n, said(reachable(), 2, first=20, at_us=T0 + n * DAY))
        await keeper(store, MIDNIGHT + 7 * DAY).update_due_days()
        monkeypatch.undo()
        assert left <= 0, "it died"
        assert await answers(store) == await counted_live(store)
        await keeper(store, MIDNIGHT + 7 * DAY).update_due_days()
        assert await store.list_due_days(MIDNIGHT + 7 * DAY, BY, include_new=True) == []
        assert await answers(store) == await counted_live(store)
