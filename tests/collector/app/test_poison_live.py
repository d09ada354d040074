"""From journal to log: a third of the established in two networks can raise and hide nothing."""

from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from heliograph_collector.model.records import JournalRow, Judged, Vantage, Verdict
from heliograph_collector.model.signals import Arrival, Lost, Place, Witness
from support.dark_shift import Shift, rows_of
from support.dark_world import KZ, OLD_US, Cut, Signals, at, live, two_networks, world
from support.rows import block, blocked, reachable, taken

ONSET, UNTIL = 3_600.0, 4_500.0
SEEDS = range(4)


def hushed(some: list[Witness], rng: Random) -> Signals:
    """They stop at once, and say no goodbye."""
    gone: Signals = []
    for witness in some:
        heard = ONSET - rng.uniform(0, 15)
        gone.append(Lost(at(heard + 37.5), witness.nym, at(heard)))
    return gone


def here(some: list[Witness]) -> Signals:
    return [Arrival(at(0), witness) for witness in some]


async def told(data: Path, rows: list[JournalRow]) -> list[Any]:
    async with Shift(data) as shift:
        await shift.play(rows, ONSET - 60, tick_s=60)
        await shift.play([r for r in rows if r.received_us > at(ONSET - 60)], UNTIL, tick_s=2)
        return shift.confirmed()


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_third_cannot_raise_a_silence(seed: int, tmp_path: Path) -> None:
    rng = Random(seed)
    honest, colluding = two_networks(rng)
    signals = live(honest + world(), rng, UNTIL / 3_600)
    rows = rows_of(signals + here(colluding) + hushed(colluding, rng))
    assert await told(tmp_path, rows) == []


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_third_cannot_hide_a_silence(seed: int, tmp_path: Path) -> None:
    """They stay, and some of them come and go all day, so that silence here looks usual."""
    rng = Random(seed)
    honest, colluding = two_networks(rng)
    cut = Cut(ONSET, UNTIL, KZ, 2.0)
    signals = live(honest + world(), rng, UNTIL / 3_600, cuts=[cut])
    restless = live(colluding[:9], rng, ONSET / 3_600, churn=400.0)
    rows = rows_of(signals + here(colluding[9:]) + restless)
    (incident,) = await told(tmp_path, rows)
    assert (incident["label"], incident["state"]) == ("national", "confirmed")


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_crowd_enrolled_yesterday_raises_nothing(seed: int, tmp_path: Path) -> None:
    rng = Random(seed)
    honest, _ = two_networks(rng)
    crowd = [
        Witness(f"s{i}", f"p{i}", Place("KZ", "ALA", 1 + i % 2, "fixed"), at(-86_400))
        for i in range(100)
    ]
    rows = rows_of(live(honest + world(), rng, UNTIL / 3_600) + here(crowd) + hushed(crowd, rng))
    assert await told(tmp_path, rows) == []


def verdict(witness: Witness, minute: int, number: int, said: Verdict) -> Judged:
    place = witness.place
    one = taken(
        number,
        at_us=at(60 * minute),
        service="signal",
        who=witness.nym,
        vantage=Vantage(
            country=place.country, region=place.region, asn=place.asn, access=place.access
        ),
    )
    return replace(one, established=witness.first_us == OLD_US), (said,)


async def judged(data: Path, late: dict[str, Verdict], everybody: list[Witness]) -> list[Any]:
    """All reach it for half an hour; then each says for half an hour what is given here."""
    async with Shift(data) as shift:
        for minute in range(60):
            here = late if minute >= 30 else {}
            said = [
                verdict(w, minute, minute * 1_000 + i, here.get(w.nym, reachable()))
                for i, w in enumerate([*everybody, *world(2)])
            ]
            shift.took(block(minute + 1, minute + 1, *said))
            await shift.play([], 60 * minute + 59, tick_s=30)
        await shift.play([], 3_720, tick_s=30)
        return shift.confirmed()


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_third_cannot_raise_a_block(seed: int, tmp_path: Path) -> None:
    honest, colluding = two_networks(Random(seed))
    assert (
        await judged(tmp_path, {w.nym: blocked() for w in colluding}, [*honest, *colluding]) == []
    )


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_third_cannot_hide_a_block(seed: int, tmp_path: Path) -> None:
    honest, colluding = two_networks(Random(seed))
    (incident,) = await judged(tmp_path, {w.nym: blocked() for w in honest}, [*honest, *colluding])
    assert (incident["kind"], incident["label"]) == ("service_blocking", "national")
    assert incident["scope"]["service"] == "signal"
