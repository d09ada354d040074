"""A colluding third of two networks can fake or hide no incident in the log."""

from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from heliograph_collector.model.records import JournalRow, JudgedMeasurement, Verdict
from heliograph_collector.model.seniority import find_seniority
from heliograph_collector.model.signals import VantageArrival, VantageLocation, VantageRef
from support.detector_run import DetectorRun, rows_of, seconds
from support.examples import draw_seeds
from support.journal_rows import place_of
from support.presence_model import KZ, Cut, Signals, at, drop, live, two_networks, world
from support.rows import block, blocked, reachable, taken

ONSET, UNTIL = 3_600.0, 4_500.0
SEEDS = draw_seeds(4)


def present(vantages: list[VantageRef]) -> Signals:
    return [VantageArrival(at(0), vantage) for vantage in vantages]


async def play(data: Path, rows: list[JournalRow]) -> list[Any]:
    async with DetectorRun(data) as run:
        await run.play(rows, ONSET - 60, tick_s=60)
        await run.play([r for r in rows if r.received_us > at(ONSET - 60)], UNTIL, tick_s=2)
        return run.confirmed()


@pytest.mark.parametrize("seed", SEEDS)
async def test_third_of_the_vantages_raises_no_silence(seed: int, tmp_path: Path) -> None:
    rng = Random(seed)
    honest, colluding = two_networks(rng)
    signals = live(honest + world(), rng, UNTIL / 3_600)
    rows = rows_of(signals + present(colluding) + drop(colluding, ONSET, rng))
    assert await play(tmp_path, rows) == []


@pytest.mark.parametrize("seed", SEEDS)
async def test_third_of_the_vantages_hides_no_silence(seed: int, tmp_path: Path) -> None:
    """A third that stays online, and comes and goes all day, hides no silence."""
    rng = Random(seed)
    honest, colluding = two_networks(rng)
    cut = Cut(ONSET, UNTIL, KZ, 2.0)
    signals = live(honest + world(), rng, UNTIL / 3_600, cuts=[cut])
    restless = live(colluding[:9], rng, ONSET / 3_600, churn=400.0)
    rows = rows_of(signals + present(colluding[9:]) + restless)
    (incident,) = await play(tmp_path, rows)
    assert (incident.label, incident.state) == ("national", "confirmed")
    assert seconds(incident.confirmed) <= ONSET + 75


@pytest.mark.parametrize("seed", SEEDS)
async def test_crowd_enrolled_yesterday_raises_no_silence(seed: int, tmp_path: Path) -> None:
    rng = Random(seed)
    honest, _ = two_networks(rng)
    crowd = [
        VantageRef(f"s{i}", f"p{i}", VantageLocation("KZ", "ALA", 1 + i % 2, "fixed"), at(-86_400))
        for i in range(100)
    ]
    rows = rows_of(
        live(honest + world(), rng, UNTIL / 3_600) + present(crowd) + drop(crowd, ONSET, rng)
    )
    assert await play(tmp_path, rows) == []


def judge(vantage: VantageRef, minute: int, number: int, verdict: Verdict) -> JudgedMeasurement:
    measurement = taken(
        number, at_us=at(60 * minute), service="signal", who=vantage.nym, vantage=place_of(vantage)
    )
    seniority = find_seniority(vantage.first_us, at(60 * minute))
    return replace(measurement, seniority=seniority), (verdict,)


async def judged(data: Path, late: dict[str, Verdict], everybody: list[VantageRef]) -> list[Any]:
    """Judge half an hour of success for all, then half an hour of given verdicts."""
    async with DetectorRun(data) as run:
        for minute in range(60):
            here = late if minute >= 30 else {}
            said = [
                judge(w, minute, minute * 1_000 + i, here.get(w.nym, reachable()))
                for i, w in enumerate([*everybody, *world(2)])
            ]
            run.took(block(minute + 1, minute + 1, *said))
            await run.play([], 60 * minute + 59, tick_s=30)
        await run.play([], 3_720, tick_s=30)
        return run.confirmed()


@pytest.mark.parametrize("seed", SEEDS)
async def test_third_of_the_vantages_raises_no_block(seed: int, tmp_path: Path) -> None:
    honest, colluding = two_networks(Random(seed))
    assert (
        await judged(tmp_path, {w.nym: blocked() for w in colluding}, [*honest, *colluding]) == []
    )


@pytest.mark.parametrize("seed", SEEDS)
async def test_third_of_the_vantages_hides_no_block(seed: int, tmp_path: Path) -> None:
    honest, colluding = two_networks(Random(seed))
    (incident,) = await judged(tmp_path, {w.nym: blocked() for w in honest}, [*honest, *colluding])
    assert (incident.kind, incident.label) == ("service_blocking", "national")
    assert incident.scope.service == "signal"
    assert seconds(incident.confirmed) <= 1_800 + 300
