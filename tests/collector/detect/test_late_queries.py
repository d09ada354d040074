"""Late results reopen their past: missed incidents get their true time."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from heliograph_collector.detect.recovery import RecoveredVotes
from heliograph_collector.incidents.published.log import DetectorBody, IncidentRecord
from heliograph_collector.model.records import (
    JournalRow,
    JudgedMeasurement,
    RowKind,
    StoredVote,
    Verdict,
    VerdictState,
    WorldTally,
)
from heliograph_collector.model.seniority import find_seniority
from heliograph_collector.model.signals import VantageRef
from heliograph_collector.store.clickhouse import StoreError, TooMuchError
from support.detector_run import DetectorRun, holds
from support.journal_rows import place_of
from support.presence_model import at, country, world
from support.rows import block, blocked, reachable, taken

ONSET, END, BACK, UNTIL = 7_200.0, 10_800.0, 14_400.0, 14_700.0
BLOCKED = msgspec.structs.replace(blocked(), reachable_endpoints=0, endpoints=0)


def said(
    witness: VantageRef, second: float, received_s: float, number: int, since: float | None = None
) -> JudgedMeasurement:
    """`since`: blocked from then on, and not from ONSET to END."""
    where: dict[str, Any] = {"who": witness.nym, "vantage": place_of(witness)}
    one = taken(number, at_us=at(second), service="signal", **where)
    is_hit = ONSET <= second < END if since is None else since <= second
    hit = witness.place.country == "KZ" and is_hit
    age = find_seniority(witness.first_us, at(second))
    one = replace(one, received_us=at(received_s), seniority=age)
    return one, (BLOCKED if hit else reachable(),)


def kept(judged: JudgedMeasurement) -> StoredVote:
    """Return a vote as the store gives it back."""
    one, (verdict,) = judged
    return StoredVote(
        started_us=one.started_us, pseudonym=one.pseudonym, prefix=one.prefix, vantage=one.vantage,
        seniority=one.seniority, state=verdict.state, layer=verdict.layer,
        method=verdict.method, reachable_endpoints=0, endpoints=0,
    )  # fmt: skip


class Evening:
    """A service is blocked for an hour; late vantages upload everything at BACK."""

    def __init__(self, late: Callable[[VantageRef], bool]) -> None:
        rng = Random(1)
        self.now: list[JudgedMeasurement] = []
        self.late: list[JudgedMeasurement] = []
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
        minutes = range(0, int(BACK), 60)
        self.world = [WorldTally(start_us=at(second), good=36, bad=0) for second in minutes]

    def stored(self) -> list[StoredVote]:
        mine = [j for j in [*self.now, *self.late] if j[0].vantage.country == "KZ"]
        return [kept(j) for j in sorted(mine, key=lambda j: j[0].started_us)]

    def fill(self, run: DetectorRun) -> None:
        run.store.stored, run.store.world = self.stored(), self.world

    async def play(self, run: DetectorRun) -> None:
        """Up to the late upload, and to the first look after it."""
        for minute in range(int(BACK / 60)):
            since, until = at(60 * minute), at(60 * minute + 60)
            run.took(block(1, 9, *[j for j in self.now if since <= j[0].received_us < until]))
            await run.play([], 60 * minute + 60, tick_s=30)
        self.fill(run)
        run.took(block(10, 10, *self.late))
        await run.look()


async def reopened(run: DetectorRun) -> None:
    await run.play([], BACK + 40, tick_s=10)
    assert await run.detector.recheck_late_window()
    await run.play([], BACK + 60, tick_s=10)


def only(run: DetectorRun) -> IncidentRecord:
    (incident,) = run.confirmed()
    return incident


@pytest.mark.long
async def test_block_missed_live_is_logged_with_its_true_bracket(tmp_path: Path) -> None:
    evening = Evening(late=lambda _: True)
    async with DetectorRun(tmp_path) as run:
        await evening.play(run)
        assert run.detector.book.incidents() == []
        assert not await run.detector.recheck_late_window()  # what comes late comes together
        await reopened(run)
        incident = only(run)
        assert (incident.kind, incident.state) == ("service_blocking", "closed")
        assert holds(incident.started, ONSET, slack_s=1)
        assert holds(incident.ended, END, slack_s=1)
        assert len(run.alerts(incident.id)) == 1
        (entry,) = run.detector.book.entries
        assert isinstance(entry.body, DetectorBody)
        assert entry.body.versions["verdicts"] == "store"
        assert run.store.asked[0][:2] == ("signal", "KZ")
        assert not await run.detector.recheck_late_window()
        await run.play([], UNTIL + 3_600, tick_s=60)
        assert len(run.detector.book.entries) == 1


class Memory:
    """The store and journal of an evening: entries 1 to 9 in time, 10 late."""

    def __init__(self, evening: "Evening") -> None:
        self.late = evening.late
        self.asked: list[int | None] = []

    async def since(self, position: int | None) -> RecoveredVotes:
        self.asked.append(position)
        found = RecoveredVotes(10)
        found.add_verdicts(self.late if position is not None and position < 10 else [])
        return found


@pytest.mark.long
async def test_kill_between_upload_and_evaluation_loses_nothing(tmp_path: Path) -> None:
    """A kill between upload and evaluation loses nothing.

    The block is in the store, and its meaning for the past was only in memory.
    """
    evening = Evening(late=lambda _: True)
    memory = Memory(evening)
    async with DetectorRun(tmp_path) as run:
        await run.detector.recover_verdicts(memory)
        await evening.play(run)
        assert not await run.detector.recheck_late_window()
    for start_s in (BACK + 20, BACK + 25):  # and once more, before anything came of it
        async with DetectorRun(tmp_path, start_s=start_s) as run:
            evening.fill(run)
            await run.detector.recover_verdicts(memory)
            await run.play([], start_s + 5, tick_s=1)
    async with DetectorRun(tmp_path, start_s=BACK + 60) as run:
        evening.fill(run)
        await run.detector.recover_verdicts(memory)
        await run.play([], BACK + 100, tick_s=10)
        assert await run.detector.recheck_late_window()
        await run.play([], BACK + 300, tick_s=10)
        assert holds(only(run).started, ONSET, slack_s=1)
    async with DetectorRun(tmp_path, start_s=BACK + 400) as run:
        await run.detector.recover_verdicts(memory)
    assert memory.asked == [None, 9, 9, 9, 10]


async def test_recovery_begins_before_bins_that_wait_to_be_rolled_up(tmp_path: Path) -> None:
    """Recovery begins before bins that wait to be rolled up.

    Until they are, a start begins before the entry that changed them.
    """
    evening = Evening(late=lambda _: False)
    memory = Memory(evening)
    for waits in (4, None):
        async with DetectorRun(tmp_path, start_s=BACK) as run:
            await run.detector.recover_verdicts(memory, [SimpleNamespace(oldest_position=waits)])
            await run.play([], BACK + 300, tick_s=10)
    async with DetectorRun(tmp_path, start_s=BACK + 300) as run:
        assert (await run.detector.recover_verdicts(memory))[0] == 10
    assert memory.asked == [None, 4, 10]


@pytest.mark.long
async def test_amendment_is_retried_when_the_disk_is_full(tmp_path: Path) -> None:
    evening = Evening(late=lambda _: True)
    async with DetectorRun(tmp_path) as run:
        await evening.play(run)
        await run.play([], BACK + 40, tick_s=10)
        held = tmp_path / "detect" / ".amended.json.new"
        held.mkdir()  # as a disk that takes nothing
        with pytest.raises(OSError, match="amended"):
            await run.detector.recheck_late_window()
        held.rmdir()
        await run.play([], BACK + 80, tick_s=10)
        assert await run.detector.recheck_late_window()
        await run.play([], BACK + 100, tick_s=10)
        assert holds(only(run).started, ONSET, slack_s=1)


@pytest.mark.long
async def test_bracket_of_a_known_incident_is_corrected_under_its_id(tmp_path: Path) -> None:
    """The bracket of an incident is corrected under its id.

    Six of eighteen were there at once; the others had measured sooner, and come late.
    """
    evening = Evening(late=lambda w: w.place.asn not in (101, 201))
    async with DetectorRun(tmp_path) as run:
        await evening.play(run)
        before = len(run.detector.book.entries_of(only(run).id))
        await reopened(run)
        after = only(run)
        assert holds(after.started, ONSET, slack_s=1)
        assert len(run.detector.book.entries_of(after.id)) > before
        assert len(run.alerts(after.id)) == 2
    async with DetectorRun(tmp_path, start_s=BACK + 120) as run:
        await run.play([], BACK + 300, tick_s=60)
        assert only(run).started == after.started  # it is known after a restart too


@pytest.mark.long
async def test_store_failures_are_retried_with_smaller_windows(tmp_path: Path) -> None:
    evening = Evening(late=lambda _: True)
    async with DetectorRun(tmp_path) as run:
        await evening.play(run)
        run.store.failures = [StoreError("The store is away."), TooMuchError("Too much.")]
        await run.play([], BACK + 40, tick_s=10)
        assert await run.detector.recheck_late_window()
        assert not await run.detector.recheck_late_window()
        await run.play([], BACK + 90, tick_s=10)
        assert await run.detector.recheck_late_window()
        await run.look()
        await run.play([], BACK + 120, tick_s=10)
        pieces = [(since_us, until_us) for _, _, since_us, until_us in run.store.asked]
        first, whole, *halves = [until_us - since_us for since_us, until_us in pieces]
        assert first <= whole
        assert len(halves) > 1
        assert all(half < whole for half in halves)
        assert [u for _, u in pieces[2:-1]] == [s for s, _ in pieces[3:]]  # nothing is left out
        assert holds(only(run).started, ONSET, slack_s=1)


@pytest.mark.long
@pytest.mark.parametrize("is_doubt", [False, True], ids=["few failures", "doubt"])
async def test_late_votes_that_show_no_block_reopen_nothing(tmp_path: Path, is_doubt: bool) -> None:
    """Late votes that show no block reopen nothing.

    Few failures come late all day, as verdicts change with the control; doubt has no vote.
    """
    unknown = Verdict(state=VerdictState.UNKNOWN, rule="link.offline")
    evening = Evening(late=lambda _: True)
    for i, (one, _) in enumerate(evening.late):
        is_failing = one.pseudonym.endswith("101mobilesession-0")
        verdict = unknown if is_doubt else BLOCKED if is_failing else reachable()
        evening.late[i] = one, (verdict,)
    async with DetectorRun(tmp_path) as run:
        await evening.play(run)
        await run.play([], BACK + 40, tick_s=10)
        assert not await run.detector.recheck_late_window()
        assert run.store.asked == []


def envelope(position: int, received_s: float) -> JournalRow:
    agent = position.to_bytes(16, "big")
    return JournalRow(kind=RowKind.ENVELOPE, agent=agent, received_us=at(received_s))


async def test_coverage_says_within_a_minute_that_a_result_waits(tmp_path: Path) -> None:
    async with DetectorRun(tmp_path) as run:
        await run.journal.append([envelope(1, 0.0)])
        await run.play([], 60, tick_s=1)
        assert run.detector.list_gaps(at(0), run.clock.wall) == []
        await run.play([], 62, tick_s=1)
        (gap,) = run.detector.list_gaps(at(0), run.clock.wall)
        assert (gap.reason, gap.since_us, gap.until_us) == ("judging", at(0), None)
        assert run.detector.problems()


@pytest.mark.long
async def test_block_is_told_while_it_lasts_although_judging_falls_behind(tmp_path: Path) -> None:
    """The judge does a fifth of its load: of each five minutes it reads the first."""
    block_since, block_until, caught_up = 900.0, 12_000.0, 6_000.0
    by_minute: dict[int, list[JudgedMeasurement]] = {}
    for minute in range(int(block_until / 60)):
        by_minute[minute] = [
            said(witness, 60 * minute + i, 60 * minute + i + 1, 100 * minute + i, since=block_since)
            for i, witness in enumerate([*country(each=1), *world(2)])
        ]
    judged_minutes = 0
    async with DetectorRun(tmp_path) as run:
        for minute in range(int(caught_up / 60) + 10):
            await run.journal.append([envelope(minute + 1, 60.0 * minute)])
            is_slow = 60 * minute < caught_up
            due = range(judged_minutes, minute // 5 if is_slow else minute)
            for judged in due:
                run.store.stored += map(kept, by_minute[judged])
                run.store.world.append(WorldTally(start_us=at(60 * judged), good=36, bad=0))
                run.took(block(judged + 1, judged + 1, *by_minute[judged]))
            judged_minutes = due.stop
            await run.play([], 60 * minute + 60, tick_s=30)
            while await run.detector.recheck_late_window():
                pass
            if minute == 1:  # a minute after the first unjudged result
                (gap,) = run.detector.list_gaps(at(0), run.clock.wall)
                assert (gap.reason, gap.since_us, gap.until_us) == ("judging", at(0), None)
                (sentence,) = run.detector.problems()
                assert sentence.startswith("Judging is 2 min behind")
                assert run.registry.get_sample_value("heliograph_judge_lag_seconds") == 120
            if minute == 99:  # the twentieth minute is judged: five of the block
                assert holds(only(run).started, block_since, slack_s=60)
                assert only(run).state == "confirmed"
                told = only(run).id
        assert (only(run).id, only(run).state) == (told, "confirmed")
        assert holds(only(run).started, block_since, slack_s=60)
        assert run.detector.problems() == []
        gaps = run.detector.list_gaps(at(0), run.clock.wall)
        assert [(gap.reason, gap.until_us is None) for gap in gaps] == [("judging", False)]
        assert (run.registry.get_sample_value("heliograph_late_votes_total") or 0) > 1_000
        assert run.alerts(told) == ["confirmed"]


async def test_a_block_told_three_weeks_later_is_dated_when_it_was(tmp_path: Path) -> None:
    evening = Evening(late=lambda _: True)
    weeks = 21 * 86_400.0
    async with DetectorRun(tmp_path) as run:
        await run.play([], 60, tick_s=30)
    async with DetectorRun(tmp_path, start_s=weeks) as run:
        evening.fill(run)
        await run.play([], weeks + 120, tick_s=30)
        run.took(block(10, 10, *evening.late))
        await run.play([], weeks + 200, tick_s=10)
        assert await run.detector.recheck_late_window()
        await run.play([], weeks + 220, tick_s=10)
        assert holds(only(run).started, ONSET, slack_s=1)
        assert holds(only(run).ended, END, slack_s=1)
        await run.play([], weeks + 7_300, tick_s=600)
        assert len(run.detector.book.entries) == 1


async def test_coverage_begins_when_the_collector_does(tmp_path: Path) -> None:
    async with DetectorRun(tmp_path, start_s=0) as run:
        await run.play([], 60, tick_s=30)
    async with DetectorRun(tmp_path, start_s=86_400) as run:
        await run.play([], 86_460, tick_s=30)
        (gap,) = run.detector.list_gaps(at(-7 * 86_400), run.clock.wall)
        assert (gap.reason, gap.until_us) == ("before_start", at(0))
        assert run.detector.list_gaps(at(0), run.clock.wall) == []
