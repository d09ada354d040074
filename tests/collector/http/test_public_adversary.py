"""An adversary who reads everything public at consecutive moments, with vantages.

Written from the published documents alone (README, OpenAPI): nested scopes, bins of all widths,
status, the text of the stream's events, coverage, incidents, log, feeds, pages and images,
imported data, daily files and their index, with status codes, headers and lengths. A cell of few
is recovered if no world without it has the same answers to everything.
"""

import asyncio
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import product
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import cast as cast_type

import pytest
from aiohttp.test_utils import TestServer

from heliograph.units import DAY_US
from heliograph_collector.http.api.stream import CellEvents, format_event
from heliograph_collector.http.app import build_app
from heliograph_collector.http.cell_queries import roll_up_merged
from heliograph_collector.http.dump_writer import DumpStore, write_day
from heliograph_collector.http.event_bus import EventBus
from heliograph_collector.http.snapshot_cache import SnapshotCache
from heliograph_collector.model.filters import CellFilter
from heliograph_collector.model.imported import ImportedCell
from heliograph_collector.model.records import BlindTime, Cell
from heliograph_collector.store.store import Store
from support.examples import IS_SOAK
from support.fake_feed import TITLES, World
from support.site import Site
from support.small_worlds import (
    JOINED_US,
    NOON_US,
    SECOND,
    Cast,
    Crowd,
    K,
    Place,
    write_log,
)

FEW_S = (40, 45, 100, 310, 340)  # moments after NOON_US, on both sides of an instant
ELSEWHERE = (999, "fixed", "KZ-99")  # no document names it
WORLDS = int(os.environ.get("HELIOGRAPH_DISCLOSURE_WORLDS", "1"))


def list_paths() -> list[str]:
    """Every public question about KZ whose answer may depend on who measured."""
    since = "&since=2022-01-05T12:00:00Z"
    scopes = [
        country + asn + access + region
        for country, asn, access, region in product(
            ("&country=KZ",), ("", "&asn=1", "&asn=2"), ("", "&access=fixed"), ("", "&region=ALA")
        )
    ]
    series = [f"/api/v1/timeline?service=telegram{scope}{since}" for scope in scopes]
    series += [
        f"/api/v1/timeline?bin={bin_}{scope}{since}"
        for bin_ in ("1m", "1h", "1d")
        for scope in ("&country=KZ", "&country=KZ&asn=1", "&country=KZ&region=ALA", "")
    ]
    incident = f"{1:016x}"
    return [
        *series,
        "/",
        "/countries/KZ",
        "/countries/KZ?window=week",
        "/countries/KZ/KZ-75",
        "/services/telegram",
        "/networks/AS1",
        "/networks/AS2",
        "/networks/AS999",
        "/incidents",
        "/incidents?asn=1",
        "/search?q=1",
        "/search?q=telegram",
        "/sitemap.xml",
        "/api/v1/status?country=KZ",
        "/api/v1/status",
        "/api/v1/coverage?country=KZ",
        "/api/v1/incidents?limit=1",
        "/api/v1/incidents?country=KZ",
        f"/api/v1/incidents/{incident}",
        f"/incidents/{incident}",
        f"/incidents/{incident}/embed",
        f"/incidents/{incident}/cap.xml",
        "/feeds/cap.atom?asn=1",
        f"/incidents/{incident}/share.svg",
        "/api/v1/imported?country=KZ&since=2022-01-01",
        "/countries/KZ?since=2022-01-05&until=2022-01-05",
        "/api/v1/log",
        "/api/v1/log?after=1&limit=1",
        "/feeds/incidents.atom",
        "/feeds/incidents.json",
    ]


PATHS = list_paths()
# What tells of incidents, and of the places that they are about: in CI the others are read by the
# adversary of `test_an_adversary_with_every_public_output_recovers_no_cell_of_few`.
INCIDENT_PATHS = [
    path
    for path in PATHS
    if not path.startswith(("/api/v1/timeline", "/networks", "/search", "/api/v1/imported"))
]
_HOST = {"Host": "feed.example"}  # else the test's own port is in links and their ETags
_UNTOLD_HEADERS = ("Date", "Server", "Content-Length")  # clocks; the length is compared by itself
_IMPORTED = ImportedCell(
    source="ooni", country="KZ", asn=1, test="web_connectivity", target="telegram.org",
    start_us=NOON_US // DAY_US * DAY_US, bin_s=86_400, reachable=1, partial=0, blocked=3, down=0,
    unknown=0, newest_us=NOON_US, imported_us=NOON_US,
)  # fmt: skip
_CLOCK = re.compile(r"\d\d:\d\d:\d\dZ?")


async def read_everything(cast: Cast, moments: tuple[int, ...]) -> list[str]:
    """All answers at these seconds, and the day's files once it is over."""
    return await read_moments(cast, moments) + await read_daily_files(cast.votes(JOINED_US))


async def read_moments(
    cast: Cast, moments: tuple[int, ...], paths: Sequence[str] = PATHS
) -> list[str]:
    """All answers at these seconds after NOON_US, and the events between them."""
    world = cast.votes(JOINED_US)
    world.imported = [_IMPORTED]
    everybody = world.votes
    told: list[str] = []
    live = sum(crowd.persons + crowd.keys - 1 for crowd in cast.crowds.values())
    gap = BlindTime(since_us=JOINED_US, until_us=None, reason="too_few_vantages", country="KZ")
    world.clock.wall = NOON_US + moments[0] * SECOND
    feed = world.feed(
        book=write_log(cast),
        list_gaps=lambda since_us, until_us: [gap] if live < K else [],
    )
    cache = SnapshotCache(feed)
    events = CellEvents(feed, cache)
    async with Site(TestServer(build_app(feed, cache), host="127.0.0.1")) as client:
        with feed.bus.subscribe() as subscription:
            for moment in moments:
                world.clock.advance_us(NOON_US + moment * SECOND - world.clock.wall_us())
                world.votes = [v for v in everybody if v.start_us <= world.clock.wall_us()]
                await events.publish_changes()
                for path in paths:
                    async with client.get(path, headers=_HOST) as answer:
                        body = _CLOCK.sub("", await answer.text())
                        headers = {
                            name: _CLOCK.sub("", value)
                            for name, value in answer.headers.items()
                            if name not in _UNTOLD_HEADERS
                        }
                        told.append(f"{path} {answer.status} {headers} {len(body)} {body}")
            told.append(str(subscription._queue.qsize()))
        for last_id in ("t-0", "t-1"):
            told += read_missed_events(feed.bus, last_id)
    return told


def read_missed_events(bus: EventBus, last_id: str) -> list[str]:
    """Return the missed events that a reader gets for this Last-Event-ID."""
    with bus.subscribe(last_id) as subscription:
        queue = subscription._queue
        return [format_event(queue.get_nowait()).decode() for _ in range(queue.qsize())]


@dataclass(frozen=True)
class VotesOfADay:
    """A store whose cells are those of a world's votes, for the writer of daily files."""

    world: World

    async def cells(self, window: CellFilter) -> list[Cell]:
        span = (window.since_us, window.until_us, window.bin_s)
        votes = [v for v in self.world.votes if span[0] <= v.start_us < span[1]]
        silences = [s for s in self.world.silences if span[0] <= s.start_us < span[1]]
        return roll_up_merged(votes, silences, span, ())


async def read_daily_files(world: World) -> list[str]:
    """The day's Parquet file, byte for byte, and the index."""
    day_us = NOON_US // DAY_US * DAY_US
    store = cast_type("Store", VotesOfADay(world))
    with TemporaryDirectory() as folder:
        dumps = DumpStore.open(Path(folder), K, TITLES)
        await write_day(store, dumps, day_us, 1, day_us + 2 * DAY_US)
        dumps.save_index()
        return await asyncio.to_thread(hash_files, Path(folder))


def hash_files(folder: Path) -> list[str]:
    return [
        f"{file.name} {sha256(file.read_bytes()).hexdigest()} {file.stat().st_size}"
        for file in sorted(folder.iterdir())
    ]


async def find_recovered(cast: Cast, moments: tuple[int, ...]) -> list[Place]:
    answers = await read_everything(cast, moments)
    recovered = []
    for place, crowd in cast.crowds.items():
        few = crowd.persons - crowd.own + (crowd.silent if crowd.silent < K else 0)
        if few == 0 or crowd.persons >= K:
            continue
        asn, access, region = place
        moves = (None, (999, access, region), (asn, access, "KZ-99"), ELSEWHERE)
        for move_to in moves:
            if await read_everything(cast.without(place, move_to), moments) == answers:
                break
        else:
            recovered.append(place)
    return recovered


def draw_cast(random: Random) -> Cast:
    """A world of a few places; in one of them the adversary has up to k - 1 vantages."""
    places = random.sample(
        list(product((1, 2, 3), ("fixed", "mobile"), ("", "ALA", "AST"))), random.randint(2, 4)
    )
    crowds: dict[Place, Crowd] = {}
    for place in places:
        others = random.randint(0, 9)
        crowds[place] = Crowd(
            others=others, blocked=random.randint(0, others), silent=random.choice((0, 0, 2, 4, 6)),
        )  # fmt: skip
    mine = places[0]
    own = random.randint(1, K - 1)
    crowds[mine] = Crowd(own=own, others=random.randint(0, K - 1 - own), keys=K)
    return Cast(crowds)


@pytest.mark.parametrize("seed", range(WORLDS))
async def test_an_adversary_with_every_public_output_recovers_no_cell_of_few(seed: int) -> None:
    cast = draw_cast(Random(seed))
    few = [c for c in cast.crowds.values() if c.own < c.persons < K]
    recovered = await find_recovered(cast, (280, 340))  # on both sides of an instant
    print(f"world {seed}: {len(recovered)} of {len(few)} cells of few are recovered")
    assert recovered == [], cast


async def test_no_moment_shows_who_came_before_the_next_instant() -> None:
    """A fifth person comes 50 s after a step: nothing changes until the bin is over."""
    fifth = Cast({(1, "fixed", ""): Crowd(own=4, joining=1)})
    nobody = Cast({(1, "fixed", ""): Crowd(own=4)})
    before_the_end = FEW_S[:3]
    assert await read_moments(fifth, before_the_end) == await read_moments(nobody, before_the_end)


async def test_keys_of_one_line_release_nothing() -> None:
    """Keys of one line release nothing.

    Forty keys behind one address, and a victim: answers are the same as without a vantage.
    """
    crowd = Crowd(own=1, keys=40, others=1, blocked=1, silent=1)
    alone = Cast({(1, "fixed", ""): crowd, (2, "fixed", ""): Crowd(others=9)})
    empty = Cast({(2, "fixed", ""): Crowd(others=9)})
    told, untold = await read_everything(alone, (40, 340)), await read_everything(empty, (40, 340))
    assert [t for t, u in zip(told, untold, strict=True) if t != u] == []


LONE_FIXED = (2, "fixed", "AST")
MANY_MOBILE = {(1, "mobile", region): Crowd(silent=6) for region in ("ALA", "AST", "SHY")}
MANY_BLOCKED = {(1, "mobile", "ALA"): Crowd(others=12, blocked=12)}


@pytest.mark.parametrize(
    ("crowds", "lone", "is_told"),
    [
        pytest.param(
            {**MANY_MOBILE, LONE_FIXED: Crowd(silent=1)}, LONE_FIXED, True,
            id="a country by one vantage of a second network",
        ),
        pytest.param(
            {**MANY_BLOCKED, LONE_FIXED: Crowd(others=1, blocked=1)}, LONE_FIXED, True,
            id="a block of a country by one vantage of a second network",
        ),
        pytest.param(
            {(1, "mobile", "ALA"): Crowd(young=4, silent=1)}, (1, "mobile", "ALA"), False,
            id="a suspicion of four young vantages of the adversary",
        ),
        pytest.param(
            {(1, "mobile", "ALA"): Crowd(young=8, others=1, blocked=1)}, (1, "mobile", "ALA"),
            False, id="a suspected block of eight young vantages of the adversary",
        ),
        pytest.param(
            {(1, "mobile", "ALA"): Crowd(silent=9), (1, "mobile", "AST"): Crowd(others=1)},
            (1, "mobile", "AST"), True, id="who is still there in a network that went",
        ),
    ],
)  # fmt: skip
async def test_an_incident_is_the_same_without_a_lone_vantage(
    crowds: Mapping[Place, Crowd], lone: Place, is_told: bool
) -> None:
    """An incident is the same without a lone vantage, if all else is equal."""
    cast = Cast(crowds)
    rest = cast.without(lone, None)
    log = [entry.line for entry in write_log(cast).entries]
    assert bool(log) is is_told
    assert log == [entry.line for entry in write_log(rest).entries]
    paths = PATHS if IS_SOAK else INCIDENT_PATHS
    assert await read_moments(cast, (340,), paths) == await read_moments(rest, (340,), paths)
