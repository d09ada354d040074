"""The detectors at work: rows come into the journal, incidents go into the log and the stream."""

import json
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from heliograph.v1.intake_pb2 import Hello
from heliograph_collector.errors import CannotServeError
from heliograph_collector.incidents.hash_chain import verify
from heliograph_collector.incidents.log_file import FILE, lines_of
from heliograph_collector.model.records import JournalRow
from heliograph_collector.model.signals import Arrival, Fault, Goodbye, Lost, Place, Why, Witness
from support.dark_rows import row_of, upload
from support.dark_shift import KEY, Shift, holds, rows_of, seconds
from support.dark_world import KZ, Cut, Signals, at, country, live, people, world

ONSET, END, UNTIL = 3_600.0, 5_400.0, 6_000.0


def cut(seed: int = 1) -> list[JournalRow]:
    cuts = [Cut(ONSET, END, KZ, 2.0)]
    return rows_of(live(country() + world(), Random(seed), UNTIL / 3_600, cuts=cuts))


async def test_a_cut_is_told_closed_and_proved(tmp_path: Path) -> None:
    async with Shift(tmp_path) as shift:
        await shift.play(cut(), ONSET, tick_s=60)
        await shift.play([r for r in cut() if r.received_us > at(ONSET)], ONSET + 60, tick_s=1)
        (incident,) = shift.detector.book.incidents()
        assert (incident["state"], incident["label"]) == ("confirmed", "national")
        assert holds(incident["started"], ONSET + 1, slack_s=1)
        await shift.play([r for r in cut() if r.received_us > at(ONSET + 60)], UNTIL)
        (incident,) = shift.confirmed()
        assert incident["state"] == "closed"
        assert holds(incident["ended"], END)
        assert shift.alerts(incident["id"]) == ["confirmed", "closed"]
        assert len(incident["alerts"]) <= 8
        events = [json.loads(e.data) for e in shift.bus._ring if e.name == "incident"]
        assert [e["state"] for e in (events[0], events[-1])] == ["suspected", "closed"]
        proof = verify(lines_of(tmp_path / FILE), KEY.public, shift.detector.book.head)
        assert (proof.bad, proof.entries) == (None, len(shift.detector.book.entries))
        assert shift.registry.get_sample_value("heliograph_incidents", {"state": "closed"}) == 1


async def test_each_entry_names_what_it_can_be_made_again_from(tmp_path: Path) -> None:
    async with Shift(tmp_path) as shift:
        await shift.play(cut(), UNTIL)
        states = {path.stem.rpartition("-")[2] for path in (tmp_path / "detect").glob("*.state")}
        for entry in shift.detector.book.entries:
            assert entry.body["versions"]["state"][:16] in states
            rows = entry.body["rows"]
            assert 0 < rows["first"] <= rows["last"] <= shift.journal.position


@pytest.mark.parametrize("moment", [ONSET + 45, ONSET + 600, END + 45])
async def test_a_restart_in_the_middle_goes_on_with_the_same_incident(
    tmp_path: Path, moment: float
) -> None:
    """The collector is away for twenty seconds; who was here comes back within a minute."""
    rows = cut()
    async with Shift(tmp_path) as shift:
        await shift.play([r for r in rows if r.received_us <= at(moment)], moment, tick_s=2)
        before = [incident["id"] for incident in shift.detector.book.incidents()]
    back, rng = moment + 20, Random(7)
    start = row_of(Fault(at(moment), at(back), Why.RESTART))
    again = [
        row_of(Arrival(at(back + rng.uniform(0, 60)), w))
        for w in [*country(), *world()]
        if not (KZ(w) and ONSET <= moment < END)
    ]
    rest = [r for r in rows if r.received_us > at(back)]
    async with Shift(tmp_path, start_s=back) as shift:
        await shift.play([start, *again, *rest], UNTIL)
        ids = [incident["id"] for incident in shift.confirmed()]
        assert len(ids) == 1
        assert set(before) <= set(ids)
        assert len(shift.alerts(ids[0])) <= 2
        (blind,) = [s for s in shift.detector.blind(0, at(UNTIL)) if s["because"] == "restart"]
        assert (blind["from"], blind["country"]) == (at(moment), "")


async def test_a_collector_that_was_away_tells_of_no_cut(tmp_path: Path) -> None:
    rows = rows_of(live(country() + world(), Random(1), 1, churn=1.0))
    async with Shift(tmp_path) as shift:
        await shift.play(rows, 1_800, tick_s=60)
    rng = Random(2)
    start = row_of(Fault(at(1_800), at(5_400), Why.RESTART))
    again = [row_of(Arrival(at(5_400 + rng.uniform(0, 60)), w)) for w in [*country(), *world()]]
    async with Shift(tmp_path, start_s=5_400) as shift:
        await shift.play([start, *again], UNTIL)
        assert shift.detector.book.incidents() == []


async def test_a_clock_that_was_set_back_is_told_until_it_is_where_it_was(tmp_path: Path) -> None:
    """Till then no minute is closed and no silence found: that nothing is said is no good news."""
    rows = rows_of(live(country() + world(), Random(1), 1, churn=1.0))
    async with Shift(tmp_path) as shift:
        await shift.play(rows, 1_800, tick_s=60)
        assert shift.detector.problems() == []
        shift.clock.wall -= 900_000_000
        await shift.play([], 1_000, tick_s=10)
        (told,) = shift.detector.problems()
        assert told.startswith("The clock was set back: the detectors judge nothing for 7")
        await shift.play([], 1_800, tick_s=60)
        assert shift.detector.problems() == []


async def test_goodbyes_of_all_make_no_incident(tmp_path: Path) -> None:
    signals: Signals = live(country() + world(), Random(3), 1.5, churn=0)
    for i, witness in enumerate(country()):
        signals.append(Goodbye(at(ONSET + i * 0.1), witness.nym))
        signals.append(Lost(at(ONSET + 40), witness.nym, at(ONSET)))
    async with Shift(tmp_path) as shift:
        await shift.play(rows_of(signals), UNTIL, tick_s=30)
        assert shift.detector.book.incidents() == []
        (thin,) = shift.detector.blind(at(ONSET), at(UNTIL))
        assert (thin["because"], thin["country"]) == ("too_few_vantages", "KZ")
        assert thin["until"] is None
        names = [e.name for e in shift.bus._ring]
        assert names.count("coverage") == 1


async def test_a_cell_under_k_waits_and_no_narrower_one_is_named(tmp_path: Path) -> None:
    """The city's twelve are too few for k = 15; the country is not."""

    def of_city(w: Witness) -> bool:
        return KZ(w) and w.place.region == "ALA"

    cuts = [Cut(ONSET, END, of_city, 2.0)]
    rows = rows_of(live(country() + world(), Random(4), UNTIL / 3_600, churn=1.0, cuts=cuts))
    async with Shift(tmp_path, k_anonymity=15) as shift:
        await shift.play(rows, UNTIL)
        assert shift.detector.book.incidents() == []
    other = tmp_path / "five"
    async with Shift(other, k_anonymity=5) as shift:
        await shift.play(rows, UNTIL)
        (incident,) = shift.confirmed()
        assert incident["label"] == "one-city"


@pytest.mark.parametrize(("alive", "hint"), [(True, "network_cut"), (False, "power_cut")])
async def test_word_from_the_dark_names_the_cause(tmp_path: Path, alive: bool, hint: str) -> None:
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
    async with Shift(tmp_path) as shift:
        await shift.play(rows, UNTIL)
        await shift.play([row_of(Goodbye(at(UNTIL + 700), "nobody"))], UNTIL + 720, tick_s=30)
        (incident,) = shift.confirmed()
        assert hint in incident["hints"]


def _rebooted(row: JournalRow) -> JournalRow:
    hello = Hello.FromString(row.body)
    hello.boot = "after"
    return replace(row, body=hello.SerializeToString())


async def test_a_fault_that_lasts_is_one_blind_time(tmp_path: Path) -> None:
    rows = rows_of(live(country() + world(), Random(5), 1, churn=0))
    told = [row_of(Fault(at(600), at(600 + s), Why.PROBE)) for s in (60, 120, 150)]
    async with Shift(tmp_path) as shift:
        await shift.play([*rows, *told], 1_200, tick_s=10)
        (blind,) = shift.detector.blind(0, at(1_200))
        assert blind["from"] == at(600)
        assert blind["until"] == at(600 + 150 + 180)


def test_a_log_that_does_not_hold_is_refused_with_the_cure(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b'{"format":1}\n')
    with pytest.raises(CannotServeError, match=r"Entry 1 of .* is bad.*move alerts.jsonl away"):
        Shift(tmp_path)


async def test_few_vantages_get_no_verdict_and_are_told_as_blind(tmp_path: Path) -> None:
    few = people(Place("KG", "", 1, "fixed"), 3)
    signals = live([*few, *world()], Random(6), 1, churn=0)
    more = [Arrival(at(1_800), w) for w in people(Place("KG", "", 2, "fixed"), 4)]
    async with Shift(tmp_path) as shift:
        await shift.play(rows_of([*signals, *more]), 2_400, tick_s=60)
        (thin,) = shift.detector.blind(0, at(2_400))
        assert (thin["country"], thin["from"], thin["until"]) == ("KG", at(0), at(1_800))
        assert shift.detector.blind(at(2_000), at(2_400)) == []
        assert seconds("2022-01-01T00:00:01.000000Z") == 1


@pytest.mark.parametrize("rows_left", [True, False])
async def test_a_shutdown_outlives_the_loss_of_all_state(tmp_path: Path, rows_left: bool) -> None:
    """As after an update of the detectors: what was open goes on, and ends when it ends."""
    rows = cut()
    async with Shift(tmp_path) as shift:
        await shift.play([r for r in rows if r.received_us <= at(ONSET + 600)], ONSET + 600)
        (before,) = shift.confirmed()
        if not rows_left:
            await shift.journal.trim(shift.journal.position, at(ONSET + 600))
    for file in (tmp_path / "detect").iterdir():
        file.unlink()
    start = row_of(Fault(at(ONSET + 600), at(ONSET + 620), Why.RESTART))
    back = [row_of(Arrival(at(ONSET + 630 + i), w)) for i, w in enumerate(world())]
    one = [row_of(Arrival(at(ONSET + 900), country()[0]))]  # by satellite: the rest is still dark
    rest = [r for r in rows if r.received_us > at(ONSET + 620)]
    async with Shift(tmp_path, start_s=ONSET + 620) as shift:
        await shift.play([start, *back, *one, *rest], ONSET + 1_500)
        assert [i["state"] for i in shift.confirmed()] == ["confirmed"]
        await shift.play([r for r in rest if r.received_us > at(ONSET + 1_500)], UNTIL)
        (after,) = shift.confirmed()
        assert (after["id"], after["state"]) == (before["id"], "closed")
        assert holds(after["ended"], END)
        assert shift.alerts(after["id"]) == ["confirmed", "closed"]


async def test_detectors_that_are_stuck_or_far_behind_are_not_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Shift(tmp_path) as shift:
        assert shift.detector.problems() == []
        shift.clock.advance_us(181_000_000)
        assert shift.detector.problems() == [
            "The detectors have not looked for 181 s: they are stuck."
        ]
        await shift.detector.step()
        assert shift.detector.problems() == []
        await shift.journal.append(cut()[:20])
        monkeypatch.setattr("heliograph_collector.app.detector_runner._ROWS", 5)
        shift.clock.advance_us(600_000_000)
        assert not await shift.detector.step()
        (told,) = shift.detector.problems()
        assert told.endswith("s behind the journal.")
