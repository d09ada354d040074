"""An adversary who reads all that is public, at consecutive moments, and owns vantages.

Written from the published documents alone (README, OpenAPI): nested scopes, bins of all widths,
status, the text of the stream's events, coverage, incidents, log, feeds, pages and images,
imported data, daily files and their index, with status codes, headers and lengths. A cell of few
is recovered if no world without it has the same answers to everything.
"""

import asyncio
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from itertools import product
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import cast as cast_type

import pytest
from aiohttp.test_utils import TestServer

from heliograph.observation import Link
from heliograph.units import DAY_US
from heliograph_collector.http.api.stream import CellEvents, format_event
from heliograph_collector.http.app import build_app
from heliograph_collector.http.backend import LinkCount
from heliograph_collector.http.dump_writer import DumpStore, write_day
from heliograph_collector.http.event_bus import EventBus
from heliograph_collector.http.snapshot_cache import SnapshotCache, roll_up_merged
from heliograph_collector.incidents.diff import diff_incidents
from heliograph_collector.incidents.state import IncidentBook
from heliograph_collector.model.filters import CellFilter
from heliograph_collector.model.imported import ImportedCell
from heliograph_collector.model.records import BlindTime, Cell, SilenceCount, VerdictState
from heliograph_collector.store.store import Store
from support.fake_feed import BIN_US, NOW_US, TITLES, World, vote
from support.incident_book import part, signed, silence
from support.site import Site

K = 5
SECOND = 1_000_000
NOON_US = NOW_US // BIN_US * BIN_US  # a whole step of five minutes
FEW_S = (40, 45, 100, 310, 340)  # moments after NOON_US, on both sides of an instant
_JOINED_US = NOON_US + 50 * SECOND  # when others come
Place = tuple[int, str, str]  # ASN, access, region
ELSEWHERE = (999, "fixed", "KZ-99")  # no document names it
WORLDS = int(os.environ.get("HELIOGRAPH_DISCLOSURE_WORLDS", "4"))


@dataclass(frozen=True)
class Crowd:
    """The persons of one place: the adversary's own, and others, some of them blocked or silent."""

    own: int = 0
    others: int = 0
    blocked: int = 0
    silent: int = 0
    keys: int = 1  # that the adversary's one line has, beside its persons
    joining: int = 0  # others who come between two moments

    @property
    def persons(self) -> int:
        return self.own + self.others + self.joining


@dataclass(frozen=True)
class Cast:
    """A small world: who is where."""

    crowds: Mapping[Place, Crowd] = field(default_factory=dict)

    def votes(self, joined_us: int) -> World:
        world = World()
        for place, crowd in self.crowds.items():
            for name, blocked, first_us, prefix in _list_people(place, crowd, joined_us):
                state = VerdictState.BLOCKED if blocked else VerdictState.REACHABLE
                world.votes += [
                    replace(
                        vote(name, state, at_us, asn=place[0], access=place[1]),
                        region=place[2], prefix=prefix, start_us=at_us,
                    )
                    for at_us in range(first_us, NOON_US + 2 * BIN_US, 60 * SECOND)
                ]  # fmt: skip
            world.silences += _list_silences(place, crowd)
            world.links.append(
                LinkCount(
                    country="KZ", asn=place[0], access=place[1], link=Link.ONLINE,
                    vantages=crowd.persons,
                )
            )  # fmt: skip
        return world

    def without(self, place: Place, move_to: Place | None) -> "Cast":
        """The world in which the others of a place are nowhere, or somewhere else."""
        gone = self.crowds[place]
        crowds = {p: c for p, c in self.crowds.items() if p != place}
        many = gone.silent if gone.silent >= K else 0  # k and more who fell silent are no few
        if gone.own or many:
            crowds[place] = Crowd(own=gone.own, keys=gone.keys, silent=many)
        if move_to:
            crowds[move_to] = replace(gone, own=0, keys=1, silent=gone.silent - many)
        return Cast(crowds)


def _list_people(
    place: Place, crowd: Crowd, joined_us: int
) -> Iterator[tuple[str, bool, int, str]]:
    """Yield (name, blocked, first measurement, prefix) of each key."""
    begin_us = NOON_US - 14 * BIN_US
    for number in range(crowd.own):
        yield f"own{place}{number}", number % 2 == 0, begin_us, f"own{place}{number}"
    for number in range(crowd.keys - 1 if crowd.own else 0):
        yield f"key{place}{number}", False, begin_us, f"own{place}0"
    for number in range(crowd.others):
        yield f"{place}{number}", number < crowd.blocked, begin_us, f"{place}{number}"
    for number in range(crowd.joining):
        yield f"new{place}{number}", True, joined_us, f"new{place}{number}"


def _list_silences(place: Place, crowd: Crowd) -> list[SilenceCount]:
    asn, access, region = place
    return [
        SilenceCount(
            country="KZ", region=region, asn=asn, access=access, start_us=at_us,
            vantages=crowd.silent, established=crowd.silent,
        )
        for at_us in range(NOON_US - 4 * BIN_US, NOON_US + 2 * BIN_US, BIN_US)
        if crowd.silent
    ]  # fmt: skip


def write_log(cast: Cast) -> IncidentBook:
    """The signed log: each network that fell silent is an incident of its own."""
    silent: dict[tuple[int, str], int] = {}
    for (asn, access, _), crowd in cast.crowds.items():
        silent[asn, access] = silent.get((asn, access), 0) + crowd.silent
    incidents = [
        silence(f"{asn:04d}{access[0]}" + "0" * 11, parts=(part(float(n), "KZ", "", asn, access),))
        for (asn, access), n in silent.items()
        if n >= 3
    ]
    _, revisions = diff_incidents([], incidents, (), K)
    return signed((revision.incident.suspected_us, revision) for revision in revisions)


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
    incident = "0001f" + "0" * 11
    return [
        *series,
        "/",
        "/countries/KZ",
        "/countries/KZ?window=week",
        "/api/v1/status?country=KZ",
        "/api/v1/status",
        "/api/v1/coverage?country=KZ",
        "/api/v1/incidents?limit=1",
        "/api/v1/incidents?country=KZ",
        f"/api/v1/incidents/{incident}",
        f"/incidents/{incident}",
        f"/incidents/{incident}/embed",
        f"/incidents/{incident}/share.svg",
        "/api/v1/imported?country=KZ&since=2022-01-01",
        "/api/v1/log",
        "/api/v1/log?after=1&limit=1",
        "/feeds/incidents.atom",
        "/feeds/incidents.json",
    ]


PATHS = list_paths()
_HOST = {"Host": "feed.example"}  # else the test's own port is in links and their ETags
_UNTOLD_HEADERS = ("Date", "Server", "Content-Length")  # clocks, and the length is told apart
_IMPORTED = ImportedCell(
    source="ooni", country="KZ", asn=1, test="web_connectivity", target="telegram.org",
    start_us=NOON_US // DAY_US * DAY_US, bin_s=86_400, reachable=1, partial=0, blocked=3, down=0,
    unknown=0, newest_us=NOON_US, imported_us=NOON_US,
)  # fmt: skip
_CLOCK = re.compile(r"\d\d:\d\d:\d\dZ?")


async def read_everything(cast: Cast, moments: tuple[int, ...]) -> list[str]:
    """All answers at these seconds, and the day's files once it is over."""
    return await read_moments(cast, moments) + await read_daily_files(cast.votes(_JOINED_US))


async def read_moments(cast: Cast, moments: tuple[int, ...]) -> list[str]:
    """All answers at these seconds after NOON_US, and the events between them."""
    world = cast.votes(_JOINED_US)
    world.imported = [_IMPORTED]
    everybody = world.votes
    told: list[str] = []
    live = sum(crowd.persons + crowd.keys - 1 for crowd in cast.crowds.values())
    gap = BlindTime(since_us=_JOINED_US, until_us=None, reason="too_few_vantages", country="KZ")
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
                for path in PATHS:
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
    """The text that a reader gets at once who asks with this Last-Event-ID."""
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
        return roll_up_merged(votes, silences, span, {})


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
        if crowd.persons == crowd.own or crowd.persons >= K:
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
    """Forty keys behind one address, and a victim: no answer differs from that of nobody."""
    crowd = Crowd(own=1, keys=40, others=1, blocked=1, silent=1)
    alone = Cast({(1, "fixed", ""): crowd, (2, "fixed", ""): Crowd(others=9)})
    empty = Cast({(2, "fixed", ""): Crowd(others=9)})
    told, untold = await read_everything(alone, (40, 340)), await read_everything(empty, (40, 340))
    assert [t for t, u in zip(told, untold, strict=True) if t != u] == []
