"""The detectors at work: journal rows come in, incidents go to log and stream."""

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from heliograph.durable_file import read_lines
from heliograph.v1.intake_pb2 import Hello
from heliograph_collector.detect import checkpoint
from heliograph_collector.detect.reproduce import get_rows
from heliograph_collector.detect.runner import LogUnusableError
from heliograph_collector.incidents.log_file import LOG_FILE_NAME, verify_lines
from heliograph_collector.incidents.published.log import DetectorBody
from heliograph_collector.incidents.sealed_basis import open_basis
from heliograph_collector.model.records import JournalRow
from heliograph_collector.model.signals import (
    Fault,
    FaultReason,
    Goodbye,
    VantageArrival,
    VantageLocation,
    VantageLoss,
    VantageRef,
)
from support.detector_run import KEY, DetectorRun, holds, rows_of, seconds
from support.journal_rows import row_of, upload
from support.presence_model import KZ, Cut, Signals, at, country, live, people, world

ONSET, END, UNTIL = 3_600.0, 5_400.0, 6_000.0


def cut() -> list[JournalRow]:
    cuts = [Cut(ONSET, END, KZ, 2.0)]
    return rows_of(live(country() + world(), Random(1), UNTIL / 3_600, cuts=cuts))


def quiet() -> list[JournalRow]:
    return rows_of(live(country() + world(), Random(1), 1, churn=1.0))


def restart(since_s: float, until_s: float, back: list[VantageRef], seed: int) -> list[JournalRow]:
    """The collector was away; those who come back do so within a minute."""
    rng = Random(seed)
    fault = row_of(Fault(at(since_s), at(until_s), FaultReason.RESTART))
    arrivals = [row_of(VantageArrival(at(until_s + rng.uniform(0, 60)), w)) for w in back]
    return [fault, *arrivals]


async def test_cut_is_logged_closed_and_reproducible(tmp_path: Path) -> None:
    async with DetectorRun(tmp_path) as run:
        await run.play(cut(), ONSET, tick_s=60)
        await run.play([r for r in cut() if r.received_us > at(ONSET)], ONSET + 60, tick_s=1)
        (logged,) = run.detector.book.incidents()
        assert (logged.state, logged.record.label) == ("confirmed", "national")
        assert holds(logged.record.started, ONSET + 1, slack_s=1)
        await run.play([r for r in cut() if r.received_us > at(ONSET + 60)], UNTIL)
        (incident,) = run.confirmed()
        assert incident.state == "closed"
        assert holds(incident.ended, END)
        assert run.alerts(incident.id) == ["confirmed", "closed"]
        assert len(run.detector.book.entries_of(incident.id)) <= 8
        events = [json.loads(e.data) for e in run.bus._recent if e.name == "incident"]
        assert [e["state"] for e in (events[0], events[-1])] == ["suspected", "closed"]
        proof = verify_lines(
            read_lines(tmp_path / LOG_FILE_NAME), KEY.public, run.detector.book.head
        )
        assert (proof.bad, proof.entries) == (None, len(run.detector.book.entries))
        assert run.registry.get_sample_value("heliograph_incidents", {"state": "closed"}) == 1
        states = {path.stem.rpartition("-")[2] for path in (tmp_path / "detect").glob("*.state")}
        for entry in run.detector.book.entries:  # each names what reproduces it
            assert isinstance(entry.body, DetectorBody)
            assert entry.body.versions["state"][:16] in states
            rows = get_rows(open_basis(entry.body, KEY))
            assert 0 < rows.first <= rows.last <= run.journal.position


@pytest.mark.long
@pytest.mark.parametrize("moment", [ONSET + 45, ONSET + 600, END + 45])
async def test_restart_in_the_middle_keeps_the_incident(tmp_path: Path, moment: float) -> None:
    """A restart in the middle keeps the incident.

    The collector is away for twenty seconds; agents come back within a minute.
    """
    rows = cut()
    async with DetectorRun(tmp_path) as run:
        await run.play([r for r in rows if r.received_us <= at(moment)], moment, tick_s=2)
        before = [logged.record.id for logged in run.detector.book.incidents()]
    back = moment + 20
    present = [w for w in [*country(), *world()] if not (KZ(w) and ONSET <= moment < END)]
    rest = [r for r in rows if r.received_us > at(back)]
    async with DetectorRun(tmp_path, start_s=back) as run:
        await run.play([*restart(moment, back, present, 7), *rest], UNTIL)
        ids = [incident.id for incident in run.confirmed()]
        assert len(ids) == 1
        assert set(before) <= set(ids)
        assert len(run.alerts(ids[0])) <= 2
        (blind,) = [s for s in run.detector.list_gaps(at(0), at(UNTIL)) if s.reason == "restart"]
        assert (blind.since_us, blind.country) == (at(moment), "")


async def test_absence_of_the_collector_is_no_incident(tmp_path: Path) -> None:
    async with DetectorRun(tmp_path) as run:
        await run.play(quiet(), 1_800, tick_s=60)
    async with DetectorRun(tmp_path, start_s=5_400) as run:
        await run.play(restart(1_800, 5_400, [*country(), *world()], 2), UNTIL)
        assert run.detector.book.incidents() == []


YEARS_S = 2 * 365 * 86_400.0


def later(rows: Iterable[JournalRow], by_s: float) -> list[JournalRow]:
    by_us = at(by_s) - at(0)
    return [
        replace(r, received_us=r.received_us + by_us, heard_us=r.heard_us and r.heard_us + by_us)
        for r in rows
    ]


async def test_clock_set_back_is_reported_and_left_behind(tmp_path: Path) -> None:
    """A clock set back is reported, and later passed.

    Until then no minute is closed and no silence found: no incident is no good news.
    """
    async with DetectorRun(tmp_path) as run:
        await run.play(later(quiet(), 3_600), ONSET + 3_600, tick_s=60)
        assert run.detector.problems() == []
        run.clock.wall -= at(3_600) - at(0)
        began_s = (run.clock.wall - at(0)) / 1e6
        await run.play([], began_s + 30, tick_s=5)
        (sentence,) = run.detector.problems()
        assert sentence.startswith("The clock was set back by 3")
        await run.play([], began_s + 120, tick_s=5)
        assert run.detector.problems() == []
        (gap,) = run.detector.list_gaps(at(0), run.clock.wall)
        assert gap.reason == "clock"
        lost = [r for r in cut() if at(ONSET) <= r.received_us]
        await run.play(later(lost, began_s + 120 - ONSET), began_s + 120 + UNTIL - ONSET)
        assert len(run.confirmed()) == 1, "who was here before is known"


async def test_run_with_clock_ahead_blinds_no_later_run(tmp_path: Path) -> None:
    """A run with a clock ahead blinds no later run.

    A collector ran for 25 s two years ahead, and was restarted with the right time.
    """
    everybody = [*country(), *world()]
    async with DetectorRun(tmp_path, start_s=YEARS_S) as run:
        rows = restart(YEARS_S, YEARS_S, everybody, 5)
        await run.play([r for r in rows if r.received_us <= at(YEARS_S + 25)], YEARS_S + 25, 1)
    async with DetectorRun(tmp_path) as run:
        rows = [row_of(Fault(at(0), at(0), FaultReason.RESTART)), *restart(0, 0, everybody, 6)[1:]]
        run.clock.monotonic += 10**11  # the machine has run for a day
        await run.play(rows, 50, tick_s=1)
        assert "judge nothing" in str(run.detector.problems())
        await run.play([r for r in rows if r.received_us > at(50)], 180, tick_s=1)
        assert run.detector.problems() == []
        (gap,) = run.detector.list_gaps(at(0), at(180))
        assert (gap.reason, gap.country) == ("clock", "")
        assert at(0) <= gap.since_us < (gap.until_us or 0) <= at(62)
    async with DetectorRun(tmp_path, start_s=190) as run:  # the newest state is the one to read
        await run.play(restart(185, 190, everybody, 6), 300, tick_s=5)
        assert run.detector.problems() == []
        await run.play([row for row in cut() if row.received_us > at(300)], UNTIL)
        assert [incident.state for incident in run.confirmed()] == ["closed"]
        assert all(0 <= seconds(incident.started.earliest) < UNTIL for incident in run.confirmed())


async def test_goodbyes_of_all_are_a_coverage_gap_and_no_incident(tmp_path: Path) -> None:
    signals: Signals = live(country() + world(), Random(3), 1.5, churn=0)
    for i, witness in enumerate(country()):
        signals.append(Goodbye(at(ONSET + i * 0.1), witness.nym))
        signals.append(VantageLoss(at(ONSET + 40), witness.nym, at(ONSET)))
    async with DetectorRun(tmp_path) as run:
        await run.play(rows_of(signals), UNTIL, tick_s=30)
        assert run.detector.book.incidents() == []
        (thin,) = run.detector.list_gaps(at(ONSET), at(UNTIL))
        assert (thin.reason, thin.country) == ("too_few_vantages", "KZ")
        assert thin.until_us is None
        names = [e.name for e in run.bus._recent]
        assert "coverage" not in names, (
            "no event tells when the fifth left; the coverage does later"
        )


@pytest.mark.long
async def test_cell_under_k_is_not_published(tmp_path: Path) -> None:
    """The city's twelve are too few for k = 15; the country is not."""
    cuts = [Cut(ONSET, END, lambda w: KZ(w) and w.place.region == "ALA", 2.0)]
    rows = rows_of(live(country() + world(), Random(4), UNTIL / 3_600, churn=1.0, cuts=cuts))
    async with DetectorRun(tmp_path, k_anonymity=15) as run:
        await run.play(rows, UNTIL)
        assert run.detector.book.incidents() == []
    async with DetectorRun(tmp_path / "five", k_anonymity=5) as run:
        await run.play(rows, UNTIL)
        (incident,) = run.confirmed()
        assert incident.label == "one-city"


@pytest.mark.parametrize(("alive", "hint"), [(True, "network_cut"), (False, "power_cut")])
async def test_offline_reports_name_the_cause(tmp_path: Path, alive: bool, hint: str) -> None:
    rows = cut()
    back = [row for row in rows if row.country == "KZ" and row.received_us >= at(END)]
    made = [at(ONSET - 400), at(ONSET + 700), at(ONSET + 1_000)]
    if alive:
        rows += [
            replace(upload("", row.received_us + 30_000_000, made, number), agent=row.agent)
            for number, row in enumerate(back, 1)
        ]
    else:
        rows = [_rebooted(row) if row in back else row for row in rows]
    async with DetectorRun(tmp_path) as run:
        await run.play(rows, UNTIL)
        await run.play([row_of(Goodbye(at(UNTIL + 700), "nobody"))], UNTIL + 720, tick_s=30)
        (incident,) = run.confirmed()
        assert hint in incident.hints


def _rebooted(row: JournalRow) -> JournalRow:
    hello = Hello.FromString(row.body)
    hello.boot = "after"
    return replace(row, body=hello.SerializeToString())


async def test_fault_that_lasts_is_one_coverage_gap(tmp_path: Path) -> None:
    rows = rows_of(live(country() + world(), Random(5), 1, churn=0))
    told = [row_of(Fault(at(600), at(600 + s), FaultReason.PROBE)) for s in (60, 120, 150)]
    async with DetectorRun(tmp_path) as run:
        await run.play([*rows, *told], 1_200, tick_s=10)
        (blind,) = run.detector.list_gaps(at(0), at(1_200))
        assert blind.since_us == at(600)
        assert blind.until_us == at(600 + 150 + 180)


async def test_damaged_log_is_refused_with_the_cure(tmp_path: Path) -> None:
    (tmp_path / LOG_FILE_NAME).write_bytes(b'{"format":1}\n')
    with pytest.raises(LogUnusableError, match=r"Entry 1 of .* is bad.*move alerts.jsonl away"):
        async with DetectorRun(tmp_path):
            pass


@pytest.mark.parametrize("damage", [b'"\xff"', b"[" * 9_000, b"{", b""])
async def test_damaged_file_of_what_can_be_told_again_stops_no_start(
    tmp_path: Path, damage: bytes
) -> None:
    """A damaged file of data that can be rebuilt stops no start.

    One byte of a failing disk left a collector that did not start.
    """
    folder = tmp_path / checkpoint.FOLDER
    folder.mkdir()
    for name in ("amended.json", "heard.json", "began.json"):
        (folder / name).write_bytes(b'{"began_us":' + damage)
    async with DetectorRun(tmp_path) as run:
        await run.play([], 60)
        assert run.detector.book.entries == []


async def test_few_vantages_are_a_coverage_gap(tmp_path: Path) -> None:
    few = people(VantageLocation("KG", "", 1, "fixed"), 3)
    signals = live([*few, *world()], Random(6), 1, churn=0)
    more = [VantageArrival(at(1_800), w) for w in people(VantageLocation("KG", "", 2, "fixed"), 4)]
    async with DetectorRun(tmp_path) as run:
        await run.play(rows_of([*signals, *more]), 2_400, tick_s=60)
        (thin,) = run.detector.list_gaps(at(0), at(2_400))
        assert (thin.country, thin.since_us, thin.until_us) == ("KG", at(0), at(1_800))
        assert run.detector.list_gaps(at(2_000), at(2_400)) == []
        assert seconds("2022-01-01T00:00:01.000000Z") == 1


@pytest.mark.parametrize("rows_left", [True, False])
async def test_open_incident_outlives_loss_of_all_state(tmp_path: Path, rows_left: bool) -> None:
    """An open incident outlives the loss of all state.

    As after an update of the detectors: it stays open, and ends when it ends.
    """
    rows = cut()
    async with DetectorRun(tmp_path) as run:
        await run.play([r for r in rows if r.received_us <= at(ONSET + 600)], ONSET + 600)
        (before,) = run.confirmed()
        if not rows_left:
            await run.journal.trim(run.journal.position, at(ONSET + 600))
    for file in (tmp_path / "detect").iterdir():
        file.unlink()
    start = row_of(Fault(at(ONSET + 600), at(ONSET + 620), FaultReason.RESTART))
    back = [row_of(VantageArrival(at(ONSET + 630 + i), w)) for i, w in enumerate(world())]
    one = [row_of(VantageArrival(at(ONSET + 900), country()[0]))]  # by satellite: the rest is dark
    rest = [r for r in rows if r.received_us > at(ONSET + 620)]
    async with DetectorRun(tmp_path, start_s=ONSET + 620) as run:
        await run.play([start, *back, *one, *rest], ONSET + 1_500)
        assert [i.state for i in run.confirmed()] == ["confirmed"]
        await run.play([r for r in rest if r.received_us > at(ONSET + 1_500)], UNTIL)
        (after,) = run.confirmed()
        assert (after.id, after.state) == (before.id, "closed")
        assert holds(after.ended, END)
        assert run.alerts(after.id) == ["confirmed", "closed"]


async def test_stuck_or_late_detectors_are_not_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with DetectorRun(tmp_path) as run:
        assert run.detector.problems() == []
        run.clock.advance_us(181_000_000)
        (stuck,) = run.detector.problems()
        assert stuck == "The detectors have not looked for 181 s: they are stuck."
        await run.detector.advance()
        assert run.detector.problems() == []
        await run.journal.append(cut()[:20])
        monkeypatch.setattr("heliograph_collector.detect.runner._ROWS_PER_READ", 5)
        run.clock.advance_us(600_000_000)
        assert not await run.detector.advance()
        (told,) = run.detector.problems()
        assert told.endswith("s behind the journal.")
