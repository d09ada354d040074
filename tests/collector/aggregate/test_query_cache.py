"""Cached answers: late readers do not wait, old ones expire, counts are right."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from heliograph_collector.aggregate import query_cache
from heliograph_collector.aggregate.disclosure import Disclosure
from heliograph_collector.aggregate.query_cache import (
    CellQueryCache,
    StaleWhileRevalidate,
    Ttl,
    split_days,
)
from heliograph_collector.http.cell_queries import query_cells, query_series
from heliograph_collector.http.pages.country_timeline import MERGED_FIELDS
from heliograph_collector.model.records import JudgedMeasurement, Vantage
from heliograph_collector.model.scope import ScopeFilter
from heliograph_collector.model.seniority import Seniority
from heliograph_collector.store.clickhouse import StoreError
from heliograph_collector.store.heard_votes import VerdictRow
from heliograph_collector.store.store import Store
from support.crowds import UNKNOWN, keep
from support.fake_feed import World
from support.hand_clock import HandClock
from support.rows import DAY, T0, US, blocked, reachable, taken
from support.waiting import until

HOUR = 3_600 * US
TWO_DAYS = (T0 // HOUR * HOUR, T0 // HOUR * HOUR + 2 * DAY, 3_600)
PLACES = [
    Vantage(country="KZ", asn=9198, access="fixed", region="ALA"),
    Vantage(country="KZ", asn=9198, access="mobile", region="AST"),
    Vantage(country="KZ", asn=21_299, access="mobile", region=""),
    Vantage(country="RU", asn=12_389, access="fixed", region="MOW"),
]


def rows() -> list[JudgedMeasurement]:
    """Return rows of twelve vantages that move between places, with mixed verdicts."""
    rng = random.Random(6)
    found: list[JudgedMeasurement] = []
    for number in range(400):
        who, at_us = rng.randrange(12), T0 + rng.randrange(2 * DAY // US) * US
        service, place = rng.choice(["telegram", "signal"]), PLACES[min(rng.randrange(6), 3)]
        one = taken(number, at_us=at_us, who=f"nym{who}", service=service, vantage=place)
        verdict = rng.choice((blocked(), reachable(), reachable(), UNKNOWN))
        found.append(
            (replace(one, prefix=f"net{who % 8}", seniority=Seniority.ESTABLISHED), (verdict,))
        )
    return found


@pytest.mark.parametrize("few", [0, 1_000])
async def test_counts_of_the_store_equal_those_of_its_votes(
    store: Store, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counts by the engine equal those by this process, which counts few verdicts."""
    monkeypatch.setattr(query_cache, "FEW_VERDICTS", few)
    monkeypatch.setattr(query_cache, "FEW_LOSSES", few)
    await keep(store, *rows())
    clock = HandClock(wall=T0 + 2 * DAY)
    ours = World().feed(votes=store.votes, silences=store.silences, k_anonymity=2)
    theirs = World().feed(wide=CellQueryCache(store, clock).cells, k_anonymity=2)
    public = World().feed(wide=CellQueryCache(store, clock, 2).cells, k_anonymity=2)
    for merged in MERGED_FIELDS:
        seen = await query_cells(theirs, *TWO_DAYS, ScopeFilter(country="KZ"), merged)
        assert seen == await query_cells(ours, *TWO_DAYS, ScopeFilter(country="KZ"), merged), merged
    for asked in (
        ScopeFilter(),
        ScopeFilter(country="KZ", asn=9198, access="mobile"),
        ScopeFilter(service="telegram"),
    ):
        told = await query_series(theirs, *TWO_DAYS, asked)
        assert told == await query_series(ours, *TWO_DAYS, asked), asked
        assert told == await query_series(public, *TWO_DAYS, asked), asked
        assert any(cell.vantages for cell in told), asked


async def test_narrower_bins_and_other_places_of_one_page_are_counted_of_the_same_rows(
    store: Store,
) -> None:
    await keep(store, *rows())
    asked: list[object] = []

    class Noting:
        counts, silences, losses = store.counts, store.silences, store.losses

        async def votable(self, *args: Any, **more: Any) -> list[VerdictRow]:
            asked.append(args)
            return await store.votable(*args, **more)

    clock = HandClock(wall=T0 + 2 * DAY)
    counting = CellQueryCache(Noting(), clock)
    start_us = T0 // DAY * DAY + DAY  # a whole day, and an hour of it
    hour = (start_us + 6 * HOUR, start_us + 7 * HOUR, 60)
    await counting.cells(start_us, start_us + DAY, 300, wider=(), country="KZ")
    minutes = await counting.cells(*hour, wider=("region",), country="KZ")
    assert len(asked) == 1
    fresh = await CellQueryCache(store, clock).cells(*hour, wider=("region",), country="KZ")
    assert minutes == fresh != []
    await counting.cells(*hour, wider=("region",), country="RU")
    clock.advance_us(HOUR)
    await counting.cells(*hour, wider=(), country="KZ")
    assert len(asked) == 3, "another country, and the same an hour later"


async def test_rows_of_one_service_are_not_taken_for_those_of_all(store: Store) -> None:
    """A page about a service and one about its country are read within seconds."""
    await keep(store, *rows())
    clock = HandClock(wall=T0 + 2 * DAY)
    counting = CellQueryCache(store, clock)
    day = (T0 // DAY * DAY + DAY, T0 // DAY * DAY + 2 * DAY, 3_600)
    await counting.cells(*day, wider=(), country="KZ", service="signal")
    every = await counting.cells(*day, wider=(), country="KZ")
    assert every == await CellQueryCache(store, clock).cells(*day, wider=(), country="KZ")
    assert {cell.service for cell in every if cell.vantages} == {"signal", "telegram"}


@pytest.mark.parametrize("bin_s", [60, 300])
async def test_what_cannot_be_released_is_left_out_and_nothing_else(
    store: Store, bin_s: int
) -> None:
    rng = random.Random(bin_s)
    crowd = [
        taken(
            number,
            at_us=T0 + rng.randrange(180) * US,
            who=f"nym{rng.randrange(30)}",
            service=rng.choice(["telegram", "signal"]),
            vantage=PLACES[min(rng.randrange(9), 3)],
        )
        for number in range(150)
    ]
    await keep(store, *((replace(one, prefix=one.pseudonym), (blocked(),)) for one in crowd))
    clock = HandClock(wall=T0 + DAY)
    window = (T0 // HOUR * HOUR, T0 // HOUR * HOUR + HOUR, bin_s)
    k = 3
    disclosure = Disclosure(k, {"telegram", "signal"}, clock.wall_us())
    for merged in MERGED_FIELDS:
        every, some = [
            await CellQueryCache(store, clock, least).cells(*window, wider=merged, empty=False)
            for least in (1, k)
        ]
        assert disclosure.release(some) == disclosure.release(every) != []
        assert bin_s == 300 or len(some) < len(every)  # in five minutes all are enough


async def test_past_day_is_asked_once_and_the_present_again(store: Store) -> None:
    clock = HandClock(wall=T0)
    asked: list[int] = []

    class Noting:
        silences = store.silences

        losses = store.losses

        async def votable(self, since_us: int, *args: int, **more: object) -> list[object]:
            asked.append(since_us)
            return []

    counting = CellQueryCache(Noting(), clock)  # type: ignore[arg-type] # it counts nothing
    midnight = T0 // DAY * DAY
    for seconds in (0, 20, 20):
        clock.advance_us(seconds * US)
        await counting.cells(midnight - DAY, T0 + HOUR, 3_600, wider=("asn",), country="KZ")
    assert asked == [midnight - DAY, midnight, midnight, midnight]


async def test_bin_that_has_just_ended_is_asked_again(store: Store) -> None:
    """A bin that has just ended is queried again, as most of its votes come later."""
    clock = HandClock(wall=T0 + 1)
    counting = CellQueryCache(store, clock)
    window = (T0 - HOUR, T0, 300)

    async def last() -> int:
        return sum(c.vantages for c in await counting.cells(*window, wider=("asn",), country="KZ"))

    assert await last() == 0
    await keep(store, (taken(1, at_us=T0 - US), (reachable(),)))
    clock.advance_us(20 * US)
    assert await last() == 1


async def test_empty_cells_can_be_left_out(store: Store) -> None:
    """The panorama of a country needs none of them, and they are most of its cells."""
    await keep(store, *rows())
    counting = CellQueryCache(store, HandClock(wall=T0 + 2 * DAY))
    every = await counting.cells(*TWO_DAYS, wider=("region",), country="KZ")
    some = await counting.cells(*TWO_DAYS, wider=("region",), country="KZ", empty=False)
    assert set(some) == {cell for cell in every if cell.vantages or cell.silent}
    assert 0 < len(some) < len(every)


def test_windows_are_split_at_midnights() -> None:
    midnight = T0 // DAY * DAY
    cut = list(split_days(midnight - HOUR, midnight + DAY + HOUR, 3_600))
    assert cut == [
        (midnight - HOUR, midnight),
        (midnight, midnight + DAY),
        (midnight + DAY, midnight + DAY + HOUR),
    ]


TERM = Ttl(fresh_us=10 * US, grace_us=45 * US)


class Counting:
    """A maker of answers that waits until the test gives one; exceptions are raised."""

    def __init__(self) -> None:
        self.asked: asyncio.Queue[None] = asyncio.Queue()
        self.told: asyncio.Queue[int | StoreError] = asyncio.Queue()

    async def make(self) -> int:
        self.asked.put_nowait(None)
        said = await self.told.get()
        if isinstance(said, StoreError):
            raise said
        return said


def cache() -> tuple[HandClock, Counting, StaleWhileRevalidate[int]]:
    clock = HandClock(wall=T0)
    return clock, Counting(), StaleWhileRevalidate(clock, 9)


@asynccontextmanager
async def running(kept: StaleWhileRevalidate[int]) -> AsyncIterator[asyncio.TaskGroup]:
    async with asyncio.TaskGroup() as group:
        renewing = group.create_task(kept.run())
        await asyncio.sleep(0)  # until it runs
        yield group
        renewing.cancel()


async def test_stale_answer_is_given_once_more_and_then_renewed() -> None:
    clock, counting, kept = cache()
    async with running(kept) as group:
        counting.told.put_nowait(1)
        assert await kept.get("key", counting.make, TERM) == 1
        clock.advance_us(20 * US)
        for _ in range(3):
            assert await kept.get("key", counting.make, TERM) == 1
        counting.told.put_nowait(2)

        async def renewed() -> bool:
            return await kept.get("key", counting.make, TERM) == 2

        await until(renewed)
        assert counting.asked.qsize() == 2, "once for all of them"
        clock.advance_us(56 * US)
        late = group.create_task(kept.get("key", counting.make, TERM))
        for _ in range(3):
            await counting.asked.get()
        assert not late.done(), "so old an answer is nobody's"
        counting.told.put_nowait(3)
        assert await late == 3


async def test_concurrent_first_questions_are_answered_by_one_query() -> None:
    _, counting, kept = cache()
    async with asyncio.TaskGroup() as group:
        asking = [group.create_task(kept.get("key", counting.make, TERM)) for _ in range(20)]
        await counting.asked.get()
        counting.told.put_nowait(1)
    assert [task.result() for task in asking] == [1] * 20
    assert counting.asked.empty()


async def test_stale_answer_is_rebuilt_when_nothing_renews_it() -> None:
    clock, counting, kept = cache()
    for turn in (1, 2):
        counting.told.put_nowait(turn)
        assert await kept.get("key", counting.make, TERM) == turn
        clock.advance_us(11 * US)


async def test_store_error_is_raised_only_when_the_answer_has_expired() -> None:
    clock, counting, kept = cache()
    async with running(kept):
        counting.told.put_nowait(1)
        await kept.get("key", counting.make, TERM)
        clock.advance_us(20 * US)
        counting.told.put_nowait(StoreError("it is being mended"))
        assert await kept.get("key", counting.make, TERM) == 1
        await counting.asked.get()
        await counting.asked.get()
        await asyncio.sleep(0)  # until it has met the bad news
        clock.advance_us(60 * US)
        counting.told.put_nowait(StoreError("it is being mended"))
        with pytest.raises(StoreError, match="mended"):
            await kept.get("key", counting.make, TERM)


async def test_the_last_answer_stands_in_for_one_that_fails_or_is_late() -> None:
    """The last answer replaces a failed or late one for an hour.

    A query that takes longer than the reader's patience continues for later readers.
    """
    clock, counting, kept = cache()
    async with running(kept):
        with pytest.raises(StoreError, match="in time"):
            await kept.get_last("key", counting.make, TERM, 0)
        counting.told.put_nowait(1)
        assert await kept.get_last("key", counting.make, TERM, 60) == 1
        clock.advance_us(60 * US)
        counting.told.put_nowait(StoreError("it is being mended"))
        assert await kept.get_last("key", counting.make, TERM, 60) == 1
        assert await kept.get_last("key", counting.make, TERM, 0) == 1  # it is being computed
        counting.told.put_nowait(2)
        assert await kept.get_last("key", counting.make, TERM, 60) == 2
        clock.advance_us(2 * HOUR)
        counting.told.put_nowait(StoreError("it is being mended"))
        with pytest.raises(StoreError, match="mended"):
            await kept.get_last("key", counting.make, TERM, 60)


async def test_without_a_task_the_last_answer_stands_in_for_one_that_fails() -> None:
    clock, counting, kept = cache()
    for turn in (1, StoreError("it is being mended")):
        counting.told.put_nowait(turn)
        assert await kept.get_last("key", counting.make, TERM, 60) == 1
        clock.advance_us(11 * US)


async def test_heavy_answers_evict_the_oldest() -> None:
    class Weighed(StaleWhileRevalidate[int]):
        def weigh(self, value: int) -> int:
            return value

    counting, kept = Counting(), Weighed(HandClock(wall=T0), 10)
    for key in ("a", "b", "c"):
        counting.told.put_nowait(4)
        await kept.get(key, counting.make, TERM)
    assert await kept.get("b", counting.make, TERM) == 4, "b was kept"
    counting.told.put_nowait(5)
    assert await kept.get("a", counting.make, TERM) == 5, "a was not"
