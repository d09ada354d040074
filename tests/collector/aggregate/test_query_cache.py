"""What the store counts for a country is what its votes come to."""

import random
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from heliograph_collector.aggregate.query_cache import Wide, days
from heliograph_collector.http.pages.country_timeline import LOOKS
from heliograph_collector.http.snapshot_cache import series, wide
from heliograph_collector.model.records import Judged, Vantage
from heliograph_collector.store.store import Store
from support.fake_feed import World
from support.hand_clock import HandClock
from support.rows import DAY, T0, US, block, blocked, reachable, taken

HOUR = 3_600 * US
PLACES = [
    Vantage(country="KZ", asn=9198, access="fixed", region="ALA"),
    Vantage(country="KZ", asn=9198, access="mobile", region="AST"),
    Vantage(country="KZ", asn=21_299, access="mobile", region=""),
    Vantage(country="RU", asn=12_389, access="fixed", region="MOW"),
]


def rows() -> list[Judged]:
    """Twelve vantages that move between the places, two services, two days."""
    rng = random.Random(6)
    found: list[Judged] = []
    for number in range(400):
        who, at_us = rng.randrange(12), T0 + rng.randrange(2 * DAY // US) * US
        one = taken(
            number,
            at_us=at_us,
            who=f"nym{who}",
            service=rng.choice(["telegram", "signal"]),
            vantage=PLACES[min(rng.randrange(6), 3)],
        )
        one = replace(one, prefix=f"net{who}")
        found.append((one, (blocked() if rng.random() < 0.3 else reachable(),)))
    return found


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(f"chdb://{tmp_path}/store", observations_days=99_999, verdicts_days=99_999)
    await store.open()
    yield store
    await store.close()


async def test_counted_by_the_store_or_by_us_it_is_the_same(store: Store) -> None:
    await store.insert_block(block(1, 1, *rows()))
    clock = HandClock(wall=T0 + 2 * DAY)
    ours = World().feed(votes=store.votes, silences=store.silences, k_anonymity=2)
    theirs = replace(ours, wide=Wide(store, clock).cells)
    window = (T0 // HOUR * HOUR, T0 // HOUR * HOUR + 2 * DAY, 3_600)
    for blank in LOOKS:
        seen = await wide(theirs, *window, {"country": "KZ"}, blank)
        assert seen == await wide(ours, *window, {"country": "KZ"}, blank), blank
    for asked in (
        {},
        {"country": "KZ"},
        {"country": "KZ", "service": "signal"},
        {"country": "KZ", "asn": 9198, "access": "mobile"},
        {"service": "telegram"},
    ):
        told = await series(theirs, *window, asked)
        assert told == await series(ours, *window, asked), asked
        assert any(cell is not None and cell.vantages for cell in told), asked


async def test_what_is_over_is_asked_once_and_the_present_soon_again(store: Store) -> None:
    clock = HandClock(wall=T0)
    asked: list[int] = []

    class Noting:
        silences = store.silences

        async def counts(self, since_us: int, *args: int, **more: object) -> list[object]:
            asked.append(since_us)
            return []

    counting = Wide(Noting(), clock)  # type: ignore[arg-type] # it counts nothing
    midnight = T0 // DAY * DAY
    for seconds in (0, 20, 20):
        clock.advance_us(seconds * US)
        await counting.cells(midnight - DAY, T0 + HOUR, 3_600, wider=("asn",), country="KZ")
    assert asked == [midnight - DAY, midnight, midnight, midnight]


async def test_what_has_only_just_ended_is_not_kept_as_if_it_were_over(store: Store) -> None:
    """A timeline up to the last whole bin, asked as it ends: most of its votes are on their way."""
    clock = HandClock(wall=T0 + 1)
    counting = Wide(store, clock)
    window = (T0 - HOUR, T0, 300)

    async def last() -> int:
        return sum(c.vantages for c in await counting.cells(*window, wider=("asn",), country="KZ"))

    assert await last() == 0
    await store.insert_block(block(1, 1, (taken(1, at_us=T0 - US), (reachable(),))))
    clock.advance_us(20 * US)
    assert await last() == 1


async def test_those_of_nobody_can_be_left_out(store: Store) -> None:
    """The panorama of a country needs none of them, and they are most of its cells."""
    await store.insert_block(block(1, 1, *rows()))
    counting = Wide(store, HandClock(wall=T0 + 2 * DAY))
    window = (T0 // HOUR * HOUR, T0 // HOUR * HOUR + 2 * DAY, 3_600)
    every = await counting.cells(*window, wider=("region",), country="KZ")
    some = await counting.cells(*window, wider=("region",), country="KZ", empty=False)
    assert some == [cell for cell in every if cell.vantages or cell.silent]
    assert 0 < len(some) < len(every)


def test_questions_are_cut_at_midnights_and_bins_stay_whole() -> None:
    midnight = T0 // DAY * DAY
    cut = list(days(midnight - HOUR, midnight + DAY + HOUR, 3_600))
    assert cut == [
        (midnight - HOUR, midnight),
        (midnight, midnight + DAY),
        (midnight + DAY, midnight + DAY + HOUR),
    ]
