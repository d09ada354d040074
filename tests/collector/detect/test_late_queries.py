"""What comes late has its past looked at again: what was missed is told, with its true time."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from heliograph_collector.detect.recovery import Recalled
from heliograph_collector.model.records import Judged, Opinion, State, Vantage, Verdict, WorldTally
from heliograph_collector.model.signals import Witness
from heliograph_collector.store.clickhouse import StoreError, TooMuchError
from support.dark_shift import Shift, holds
from support.dark_world import OLD_US, at, country, world
from support.rows import block, blocked, reachable, taken

ONSET, END, BACK, UNTIL = 7_200.0, 10_800.0, 14_400.0, 14_700.0
BLOCKED = replace(blocked(), reachable_endpoints=0, endpoints=0)


def place(witness: Witness) -> Vantage:
    where = witness.place
    return Vantage(country=where.country, region=where.region, asn=where.asn, access=where.access)


def said(witness: Witness, second: float, received_s: float, number: int) -> Judged:
    one = taken(number, at_us=at(second), service="signal", who=witness.nym, vantage=place(witness))
    verdict = reachable()
    if witness.place.country == "KZ" and ONSET <= second < END:
        verdict = BLOCKED
    old = witness.first_us == OLD_US
    return replace(one, received_us=at(received_s), established=old), (verdict,)


def kept(judged: Judged) -> Opinion:
    """As the store gives it back."""
    one, (verdict,) = judged
    return Opinion(
        started_us=one.started_us,
        nym=one.nym,
        prefix=one.prefix,
        place=one.vantage,
        established=one.established,
        state=verdict.state,
        layer=verdict.layer,
        method=verdict.method,
        reachable_endpoints=0,
        endpoints=0,
    )


class Evening:
    """A service is blocked for an hour; who is late uploads everything at BACK."""

    def __init__(self, late: Callable[[Witness], bool]) -> None:
        rng = Random(1)
        self.now: list[Judged] = []
        self.late: list[Judged] = []
        number = 0
        for witness in [*country(each=1), *world(2)]:
            second = rng.uniform(0, 60)
            while second < BACK:
                number += 1
                kz = witness.place.country == "KZ"
                held = kz and late(witness)
                one = said(witness, second, BACK if held else second + 1, number)
                (self.late if held else self.now).append(one)
                second += 60
        self.world = [
            WorldTally(start_us=at(60 * minute), good=36, bad=0) for minute in range(int(BACK / 60))
        ]

    def stored(self) -> list[Opinion]:
        mine = [j for j in [*self.now, *self.late] if j[0].vantage.country == "KZ"]
        return [kept(j) for j in sorted(mine, key=lambda j: j[0].started_us)]

    async def play(self, shift: Shift) -> None:
        """Up to the late upload, and to the first look after it."""
        for minute in range(int(BACK / 60)):
            since, until = at(60 * minute), at(60 * minute + 60)
            shift.took(block(1, 9, *[j for j in self.now if since <= j[0].received_us < until]))
            await shift.play([], 60 * minute + 60, tick_s=30)
        shift.shelf.stored, shift.shelf.world = self.stored(), self.world
        shift.took(block(10, 10, *self.late))
        await shift.look()


async def reopened(shift: Shift) -> None:
    await shift.play([], BACK + 40, tick_s=10)
    assert await shift.detector.reopen()
    await shift.play([], BACK + 60, tick_s=10)


def only(shift: Shift) -> dict[str, Any]:
    (incident,) = shift.confirmed()
    return incident


async def test_what_was_missed_is_told_with_its_true_bracket(tmp_path: Path) -> None:
    evening = Evening(late=lambda _: True)
    async with Shift(tmp_path) as shift:
        await evening.play(shift)
        assert shift.detector.book.incidents() == []
        assert not await shift.detector.reopen()  # what comes late comes together: it waits
        await reopened(shift)
        incident = only(shift)
        assert (incident["kind"], incident["state"]) == ("service_blocking", "closed")
        assert holds(incident["started"], ONSET, slack_s=1)
        assert holds(incident["ended"], END, slack_s=1)
        assert len(shift.alerts(incident["id"])) == 1
        (entry,) = shift.detector.book.entries
        assert entry.body["versions"]["verdicts"] == "store"
        assert shift.shelf.asked[0][:2] == ("signal", "KZ")
        assert not await shift.detector.reopen()
        await shift.play([], UNTIL + 3_600, tick_s=60)
        assert len(shift.detector.book.entries) == 1


class Memory:
    """What the store and the journal have of an evening: entry 1 to 9 in time, 10 late."""

    def __init__(self, evening: "Evening") -> None:
        self.late = evening.late
        self.asked: list[int | None] = []

    async def since(self, position: int | None) -> Recalled:
        self.asked.append(position)
        found = Recalled(10)
        found.take(self.late if position is not None and position < 10 else [])
        return found


async def test_a_kill_between_the_upload_and_the_look_loses_nothing(tmp_path: Path) -> None:
    """The block is in the store, and what it says of the past was only in mind."""
    evening = Evening(late=lambda _: True)
    memory = Memory(evening)
    async with Shift(tmp_path) as shift:
        await shift.detector.recall(memory)
        await evening.play(shift)
        assert not await shift.detector.reopen()
    for start_s in (BACK + 20, BACK + 25):  # and once more, before anything came of it
        async with Shift(tmp_path, start_s=start_s) as shift:
            shift.shelf.stored, shift.shelf.world = evening.stored(), evening.world
            await shift.detector.recall(memory)
            await shift.play([], start_s + 5, tick_s=1)
    async with Shift(tmp_path, start_s=BACK + 60) as shift:
        shift.shelf.stored, shift.shelf.world = evening.stored(), evening.world
        await shift.detector.recall(memory)
        await shift.play([], BACK + 100, tick_s=10)
        assert await shift.detector.reopen()
        await shift.play([], BACK + 300, tick_s=10)
        assert holds(only(shift)["started"], ONSET, slack_s=1)
    async with Shift(tmp_path, start_s=BACK + 400) as shift:
        await shift.detector.recall(memory)
    assert memory.asked == [None, 9, 9, 9, 10]


async def test_what_others_have_in_mind_alone_is_recalled_too(tmp_path: Path) -> None:
    """Old bins wait to be rolled up: until then a start begins before what touched them."""
    evening = Evening(late=lambda _: False)
    memory = Memory(evening)
    for waits in (4, None):
        async with Shift(tmp_path, start_s=BACK) as shift:
            await shift.detector.recall(memory, [lambda: waits])  # noqa: B023 -- called in this turn
            await shift.play([], BACK + 300, tick_s=10)
    async with Shift(tmp_path, start_s=BACK + 300) as shift:
        assert (await shift.detector.recall(memory))[0] == 10
    assert memory.asked == [None, 4, 10]


async def test_what_late_data_say_is_not_dropped_when_it_cannot_be_kept(tmp_path: Path) -> None:
    evening = Evening(late=lambda _: True)
    async with Shift(tmp_path) as shift:
        await evening.play(shift)
        await shift.play([], BACK + 40, tick_s=10)
        held = tmp_path / "detect" / "amended.new"
        held.mkdir()  # as a disk that takes nothing
        with pytest.raises(OSError, match="amended"):
            await shift.detector.reopen()
        held.rmdir()
        await shift.play([], BACK + 80, tick_s=10)
        assert await shift.detector.reopen()
        await shift.play([], BACK + 100, tick_s=10)
        assert holds(only(shift)["started"], ONSET, slack_s=1)


async def test_the_bracket_of_a_known_one_is_corrected_under_its_name(tmp_path: Path) -> None:
    """Six of eighteen were there at once; the others had measured sooner, and come late."""
    evening = Evening(late=lambda w: w.place.asn not in (101, 201))
    async with Shift(tmp_path) as shift:
        await evening.play(shift)
        before = only(shift)
        await reopened(shift)
        after = only(shift)
        assert after["id"] == before["id"]
        assert holds(after["started"], ONSET, slack_s=1)
        assert len(shift.detector.book.of(after["id"])) > len(before["alerts"])
        assert len(shift.alerts(after["id"])) == 2
    async with Shift(tmp_path, start_s=BACK + 120) as shift:
        await shift.play([], BACK + 300, tick_s=60)
        assert only(shift)["started"] == after["started"]  # it is known after a restart too


async def test_a_store_that_is_away_or_asked_too_much_is_asked_again(tmp_path: Path) -> None:
    evening = Evening(late=lambda _: True)
    async with Shift(tmp_path) as shift:
        await evening.play(shift)
        shift.shelf.failures = [StoreError("The store is away."), TooMuchError("Too much.")]
        await shift.play([], BACK + 40, tick_s=10)
        assert await shift.detector.reopen()
        assert not await shift.detector.reopen()
        await shift.play([], BACK + 90, tick_s=10)
        assert await shift.detector.reopen()
        await shift.look()
        first, whole, half = [until_us - since_us for _, _, since_us, until_us in shift.shelf.asked]
        assert first <= whole
        assert abs(whole - 2 * half) <= 60_000_000  # in whole minutes
        assert shift.confirmed() == []  # that half does not show how it began


async def test_a_few_failures_among_many_reopen_nothing(tmp_path: Path) -> None:
    """As verdicts do that a control's word changes all day."""
    evening = Evening(late=lambda _: True)
    evening.late = [
        (one, (BLOCKED if one.nym.endswith("101mobilesession-0") else reachable(),))
        for one, _ in evening.late
    ]
    async with Shift(tmp_path) as shift:
        await evening.play(shift)
        await shift.play([], BACK + 40, tick_s=10)
        assert not await shift.detector.reopen()
        assert shift.shelf.asked == []


async def test_doubt_reopens_nothing(tmp_path: Path) -> None:
    unknown = Verdict(state=State.UNKNOWN, rule="link.offline")
    evening = Evening(late=lambda _: True)
    evening.late = [(one, (unknown,)) for one, _ in evening.late]
    async with Shift(tmp_path) as shift:
        await evening.play(shift)
        await shift.play([], BACK + 40, tick_s=10)
        assert not await shift.detector.reopen()
