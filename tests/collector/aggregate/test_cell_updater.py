"""The updater recomputes the right bins in time, with equal results in any order."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import pytest

from heliograph.clock import SystemClock
from heliograph_collector.aggregate.cell_updater import (
    CellRefresher,
    CellUpdater,
    group_consecutive,
    group_near,
    update_bins,
)
from heliograph_collector.aggregate.rollup import fill_bins, roll_up
from heliograph_collector.model.filters import CellFilter
from heliograph_collector.model.records import (
    Block,
    Cell,
    PresenceRow,
    ReceivedMeasurement,
    RowKind,
    Vantage,
    Verdict,
    VerdictState,
)
from heliograph_collector.store.store import Store, StoreError, TooMuchError
from support.crowds import keep
from support.examples import IS_SOAK
from support.rows import T0, US, blocked, lost_row, reachable, taken
from support.virtual_time import VirtualClock, run_virtually
from support.waiting import until_true

MINUTE_US, BIN_US = 60 * US, 300 * US
HOUR_US = 3_600 * US
LENGTH_US = 2 * BIN_US  # of the story that is split


def test_bins_are_taken_in_stretches() -> None:
    assert list(group_consecutive([], 9)) == []
    assert list(group_consecutive([4], 9)) == [(4, 4)]
    assert list(group_consecutive([1, 2, 3, 7, 9, 10], 9)) == [(1, 3), (7, 7), (9, 10)]
    assert list(group_consecutive(list(range(7)), 3)) == [(0, 2), (3, 5), (6, 6)]


def test_bins_that_are_near_are_one_group_without_overlap() -> None:
    assert list(group_near([], 9)) == []
    assert list(group_near([4], 9)) == [(4, 4)]
    assert list(group_near([0, 7, 9, 59, 60, 61, 200], 60)) == [(0, 59), (60, 61), (200, 200)]


class AwayStore:
    """Remembers which bins it was asked about, and answers none."""

    def __init__(self, error: StoreError, *, is_empty: bool | None = False) -> None:
        """Fail with `error`; `is_empty` None means that this query fails too."""
        self.asked: list[tuple[int, int]] = []  # width in s, number
        self.longest = 0
        self._error = error
        self._is_empty = is_empty

    async def is_empty(self) -> bool:
        if self._is_empty is None:
            raise self._error
        return self._is_empty

    async def cells(self, wanted: CellFilter) -> list[Cell]:
        width_us = wanted.bin_s * US
        bins = range(wanted.since_us // width_us, wanted.until_us // width_us)
        self.longest = max(self.longest, len(bins))
        self.asked += [(wanted.bin_s, at) for at in bins]
        raise self._error


def watch(
    error: StoreError, touched: Sequence[int], *pauses_s: float, is_empty: bool | None = False
) -> list[AwayStore]:
    """Return the queries to the store in each span, by an updater just started."""
    spans: list[AwayStore] = []

    async def story(clock: VirtualClock) -> None:
        keeper_store = AwayStore(error, is_empty=is_empty)
        keeper = CellUpdater(cast("Store", keeper_store), clock)
        keeper.touch([clock.wall_us() - before_us for before_us in touched])
        async with asyncio.TaskGroup() as group:
            running = group.create_task(keeper.run())
            for pause_s in pauses_s:
                await asyncio.sleep(pause_s)
                span = AwayStore(error)
                span.asked, keeper_store.asked = keeper_store.asked, []
                span.longest, keeper_store.longest = keeper_store.longest, 0
                spans.append(span)
            running.cancel()

    run_virtually(story)
    return spans


@pytest.mark.parametrize("is_empty", [False, None])
def test_a_start_renews_what_may_have_been_left_and_what_fails_is_asked_again(
    is_empty: bool | None,
) -> None:
    old_us = 9_999 * BIN_US
    first, soon, later = watch(StoreError("away"), [old_us], 20, 30, 30, is_empty=is_empty)
    fives = {at for width, at in first.asked if width == 300}
    minutes = {at for width, at in first.asked if width == 60}
    assert len(fives) >= 289, "the last day, and what was touched, however old"
    assert min(fives) == max(fives) - 9_999
    assert 60 <= len(minutes) <= 63, "the last hour; an older minute is not kept"
    assert {width for width, _ in soon.asked} == {60}, "five minutes wait for their minute"
    assert fives <= {at for width, at in later.asked if width == 300}


def test_a_start_over_an_empty_store_renews_only_what_is_touched_since() -> None:
    first, _ = watch(StoreError("away"), [99 * BIN_US], 20, 60, is_empty=True)
    fives = sorted({at for width, at in first.asked if width == 300})
    assert fives[0] == fives[-1] - 99
    assert len(fives) <= 3, "the touched bin, the present one and the one before"
    assert len({at for width, at in first.asked if width == 60}) <= 3


def test_old_bins_that_wait_say_after_which_entry_they_were_touched() -> None:
    """Old bins that wait carry the position of the entry that changed them.

    A kill would lose them; a start renews what is a few hours old by itself.
    """
    found: list[int | None] = []

    async def story(clock: VirtualClock) -> None:
        keeper = CellUpdater(cast("Store", AwayStore(StoreError("away"))), clock)
        keeper.touch([clock.wall_us() - HOUR_US], 5)
        found.append(keeper.oldest_position)
        for entry in (8, 7, 9):
            keeper.touch([clock.wall_us() - 99 * HOUR_US], entry)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(keeper.run())
            await asyncio.sleep(200)
            running.cancel()
        found.append(keeper.oldest_position)

    run_virtually(story)
    assert found == [None, 7]


async def test_old_bins_that_are_rolled_up_hold_nothing_back(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heliograph_collector.aggregate.cell_updater._EVERY_S", 0.01)
    keeper = CellUpdater(store, SystemClock())
    keeper.touch([T0], 7)
    assert keeper.oldest_position == 7
    running = asyncio.create_task(keeper.run())
    try:
        await until_true(lambda: keeper.oldest_position is None, deadline_s=60.0)
    finally:
        running.cancel()


def test_what_was_too_much_is_asked_for_in_smaller_pieces() -> None:
    first, later = watch(TooMuchError("too much"), [], 20, 600)
    assert first.longest == 60
    assert later.longest < 60
    last = watch(TooMuchError("too much"), [], 20, 1_200, 70)[-1]
    assert last.longest == 1


Event = tuple[ReceivedMeasurement, Verdict] | PresenceRow


def events(rng: random.Random, country: str) -> list[Event]:
    """Return random votes, losses and returns of some vantages in some minutes.

    There are several votes a bin, doubtful ones too.
    """
    found: list[Event] = []
    for number in range(80):
        who, at_us = rng.randrange(9), T0 + rng.randrange(LENGTH_US)
        name = f"{country}{who}"
        place = Vantage(country=country, asn=1 + who % 2, access="mobile", region="ABC"[who % 3])
        if rng.random() < 0.15:
            kind = rng.choice((RowKind.LOST, RowKind.ARRIVAL))
            found.append(presence(kind, at_us, place, name))
            continue
        measurement = taken(
            number + 1_000 * ord(country[0]), at_us=at_us, who=name, vantage=place,
            service=rng.choice(("telegram", "signal")),
        )  # fmt: skip
        state = rng.choice(tuple(VerdictState))
        bad = state in (VerdictState.BLOCKED, VerdictState.DOWN)
        verdict = Verdict(
            state=state, rule="x", layer=rng.choice(("tls", "dns")) if bad else "",
            method=rng.choice(("reset", "timeout")) if bad else "",
        )  # fmt: skip
        found.append((replace(measurement, prefix=f"net{rng.randrange(4)}"), verdict))
    return sorted(found, key=moment_us)


def presence(kind: RowKind, at_us: int, place: Vantage, name: str) -> PresenceRow:
    return lost_row(kind=kind, received_us=at_us, vantage=place, pseudonym=name)


def moment_us(event: Event) -> int:
    return event.received_us if isinstance(event, PresenceRow) else event[0].started_us


def blocks(journal: str, pieces: Sequence[Sequence[Event]]) -> list[Block]:
    """Build blocks; presence keeps its order in the journal, measurements may be late."""
    made: list[Block] = []
    position = 0
    for piece in pieces:
        rows = []
        for event in piece:
            if isinstance(event, PresenceRow):
                position += 1
                rows.append(replace(event, position=position))
        position += 1
        votes = (event for event in piece if not isinstance(event, PresenceRow))
        judged = tuple((replace(one, position=position), (verdict,)) for one, verdict in votes)
        first = made[-1].last + 1 if made else 1
        made.append(Block(journal=journal, first=first, last=position, judged=judged,
                          presence=tuple(rows)))  # fmt: skip
    return made


def split(rng: random.Random, given: Sequence[Event]) -> list[list[Event]]:
    """Split events into three: measurements anywhere, presence in its order."""
    pieces: list[list[Event]] = [[] for _ in range(3)]
    presence = [e for e in given if isinstance(e, PresenceRow)]
    for at, one in enumerate(presence):
        pieces[at * 3 // len(presence)].append(one)
    for event in given:
        if not isinstance(event, PresenceRow):
            rng.choice(pieces).append(event)
    return pieces


async def stored(store: Store, country: str, bin_s: int) -> list[Cell]:
    window = (T0, T0 + LENGTH_US)
    asked = CellFilter(since_us=window[0], until_us=window[1], bin_s=bin_s, country=country)
    rows = fill_bins(await store.cells(asked), *window, bin_s)
    return [replace(cell, country="") for cell in rows]


async def at_once(store: Store, country: str, bin_s: int) -> list[Cell]:
    """Compute the cells by the pure rules, from the votes of the whole window."""
    window = (T0, T0 + LENGTH_US, bin_s)
    votes = await store.votes(*window, country=country)
    silences = await store.silences(*window, country=country)
    return [replace(cell, country="") for cell in roll_up(votes, silences, *window)]


@pytest.mark.parametrize("seed", range(8 if IS_SOAK else 1))
async def test_any_split_and_order_of_arrivals_comes_to_the_same_cells(
    store: Store, seed: int
) -> None:
    """Any split and order of arrivals gives the same cells as one pass."""
    rng = random.Random(seed)
    for country in ("AA", "BB"):
        given = events(random.Random(seed), country)
        pieces = [given] if country == "AA" else split(rng, given)
        for block in blocks(country, pieces):
            await store.insert_block(block)
            for bin_s, width_us in ((60, MINUTE_US), (300, BIN_US)):
                touched = {moment_us(e) // width_us for e in (*block.judged, *block.presence)}  # type: ignore[arg-type] # a judged pair has the shape of an event
                if block.presence:  # a loss lasts until somebody is back
                    touched |= set(range(min(touched), (T0 + LENGTH_US) // width_us))
                most = rng.randrange(2, 9) if country == "BB" else 99  # bins of one update
                for first, last in group_consecutive(sorted(touched), most):
                    await update_bins(store, first * width_us, (last + 1) * width_us, bin_s)
    for bin_s in (60, 300):
        whole = await stored(store, "AA", bin_s)
        assert whole == await at_once(store, "AA", bin_s)
        assert whole == await stored(store, "BB", bin_s)
        assert any(cell.vantages == 0 for cell in whole)
        assert any(cell.layers for cell in whole)


async def test_what_is_no_more_is_taken_back(store: Store) -> None:
    """A silence that ended within its bin is removed again.

    The vantage was lost when the bin was first computed, and back before it ended.
    """
    place = Vantage(country="KZ", asn=1, access="mobile")
    lost = presence(RowKind.LOST, T0, place, "a")
    await store.insert_block(Block(journal="j", first=1, last=1, presence=(lost,)))
    await update_bins(store, T0, T0 + BIN_US, 300)
    asked = CellFilter(since_us=T0, until_us=T0 + BIN_US)
    assert [(c.service, c.silent) for c in await store.cells(asked)] == [("", 1)]
    back = replace(lost, kind=RowKind.ARRIVAL, position=2, received_us=T0 + US)
    await store.insert_block(Block(journal="j", first=2, last=2, presence=(back,)))
    await update_bins(store, T0, T0 + BIN_US, 300)
    assert fill_bins(await store.cells(asked), T0, T0 + BIN_US, 300) == []


async def test_what_is_judged_again_changes_the_minutes_that_are_kept(store: Store) -> None:
    one = taken(1)
    await keep(store, (one, (reachable(),)))
    await update_bins(store, T0, T0 + MINUTE_US, 60)
    await keep(store, (one, (blocked(),)), number=2)
    later = T0 + HOUR_US  # of that minute nothing is kept
    assert await CellRefresher(store).update_touched_bins([T0, T0 + 1, later]) == 2
    window = CellFilter(since_us=T0, until_us=later + 1)
    minute, five = [await store.cells(replace(window, bin_s=width)) for width in (60, 300)]
    assert [(c.start_us, c.blocked) for c in minute] == [(T0, 1)]
    assert [(c.start_us, c.blocked) for c in five] == [(T0, 1)]
