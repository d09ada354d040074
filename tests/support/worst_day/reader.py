"""Read every output of a collector, round by round, while a script is played."""

import asyncio
import json
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Protocol

import aiohttp

from heliograph_collector.cli.top.client import ApiClientError, fetch_snapshot
from heliograph_lab.simulate import Progress
from support.worst_day import outputs
from support.worst_day.contradictions import (
    Contradiction,
    find_different_tellings,
    find_disagreements,
    find_untold,
    find_wrong,
)
from support.worst_day.outputs import (
    UNKNOWN_MOMENT,
    LiveStream,
    Page,
    Statement,
    read_moment,
    set_moment,
)
from support.worst_day.truth import Place, Truth, list_places

EVERY_S = 5.0
RETRIES = 60
NETWORK_PAGE = re.compile(r"/networks/AS[0-9]+")
MAX_FAILED = 3  # rounds in a row without an answer in time: a crowded machine, and no finding
LAST_S = 60.0  # of the script: it ends with its collector, whatever the reader does then
# The stream follows within seconds (`MIN_PAUSE_S` of api/stream.py is 2), so that what it tells
# contradicts the other outputs only in the second round in a row.
FOLLOWING = frozenset(("stream",))
OPEN = ("suspected", "confirmed")


class Clock(Protocol):
    """The second of the script; before it plays there is none."""

    @property
    def second(self) -> float | None: ...


@dataclass(frozen=True, slots=True)
class Headline:
    """The headline of a page, when it was first read."""

    second: float
    page: str  # its path
    words: str


@dataclass
class ScriptClock:
    """The second of the script, as `simulate` shows it; before it plays there is none."""

    second: float | None = None

    def show_progress(self, progress: Progress) -> None:
        self.second = progress.second if progress.phase == "playing" else None


@dataclass
class WorstDayReader:
    """Read every output each five seconds; keep the faults with their statements.

    The last round may end with the collector, and is then not counted.
    """

    http: str
    truth: Truth
    clock: Clock
    found: list[Contradiction] = field(default_factory=list)
    headlines: list[Headline] = field(default_factory=list)
    rounds: int = 0
    read: int = 0
    stream: LiveStream = field(default_factory=LiveStream)
    moments: Counter[bool] = field(default_factory=Counter)  # countries read at one moment, or not
    late: set[tuple[object, ...]] = field(default_factory=set)  # pairs of the round before
    linked: set[str] = field(default_factory=set)  # the pages of networks that pages led to
    told_of: defaultdict[str, set[Place]] = field(default_factory=partial(defaultdict, set))
    rounds_s: list[float] = field(default_factory=list)  # how long each took
    every_s: float = EVERY_S

    async def run(self) -> None:
        """Read until the collector of a script that is over is gone."""
        limits = aiohttp.ClientTimeout(total=300)  # a crowded machine is slow, not wrong
        async with (
            aiohttp.ClientSession(f"http://{self.http}", timeout=limits) as session,
            asyncio.TaskGroup() as group,
        ):
            group.create_task(self._follow_stream(session))
            loop = asyncio.get_running_loop()
            failed = 0
            while True:
                began = loop.time()
                if self.clock.second is not None:
                    try:
                        await self._read_round(session)
                        self.rounds_s.append(loop.time() - began)
                        failed = 0
                    except (aiohttp.ClientConnectionError, ApiClientError):
                        if self.clock.second >= self.truth.script.seconds - LAST_S:
                            return
                        failed += 1
                        if failed > MAX_FAILED:
                            raise
                # A reader's own rhythm beside a program in real time; no test waits for it.
                await asyncio.sleep(max(self.every_s - (loop.time() - began), 0.0))

    def summarize(self) -> str:
        """Describe the number of statements, rounds and wrong statements."""
        rounds = sorted(self.rounds_s) or [0.0]
        middle, longest = rounds[len(rounds) // 2], rounds[-1]
        of_one, not_of_one = self.moments[True], self.moments[False]
        return (
            f"{self.read:,} statements in {self.rounds} rounds: {len(self.found)} wrong\n"
            f"a round took {middle:.1f} s, the longest {longest:.1f} s; one begins each "
            f"{self.every_s:.0f} s\n"
            f"{of_one} readings of a country were of one moment, {not_of_one} not"
        ) + "".join(
            f"\n{count:6,} {why}" for why, count in Counter(r.why for r in self.found).items()
        )

    async def _follow_stream(self, session: aiohttp.ClientSession) -> None:
        """Follow the stream; read the status after it opens, so that nothing is missed."""
        no_limit = aiohttp.ClientTimeout(total=None)
        while True:
            try:
                async with session.get("/api/v1/stream", timeout=no_limit) as answer:
                    self.stream.start_from(await _json(session, "/api/v1/status"))
                    await self._read_stream(answer)
            except (aiohttp.ClientError, OSError):  # before the collector listens, and at its end
                await asyncio.sleep(1)

    async def _read_stream(self, answer: aiohttp.ClientResponse) -> None:
        name = ""
        while line := (await answer.content.readline()).decode():
            field_name, _, value = line.rstrip("\n").partition(": ")
            if field_name == "event":
                name = value
            elif field_name == "data" and name == "resync":
                return
            elif field_name == "data":
                self.stream.apply_event(name, json.loads(value))

    async def _read_round(self, session: aiohttp.ClientSession) -> None:
        second = self.clock.second or 0.0
        statements = await self.read_all(session)
        self.rounds += 1
        self.read += len(statements)
        after = self.clock.second or second
        wrong = self.compare(statements, second, after)
        self.found += wrong
        for row in wrong:
            print(row, flush=True)

    async def _read_page(self, session: aiohttp.ClientSession, path: str) -> Page:
        """Read a page in English, and note its headline where that is new."""
        text = await _text(session, f"{path}{'&' if '?' in path else '?'}lang=en")
        self.linked.update(NETWORK_PAGE.findall(text))
        page = Page(text)
        words = page.words.get("headline", "")
        previous = [line.words for line in self.headlines if line.page == path]
        if not previous or previous[-1] != words:
            line = Headline(self.clock.second or 0.0, path, words)
            self.headlines.append(line)
            print(f"{line.second:6.0f} s {path}: {words}", flush=True)
        return page

    def compare(
        self, statements: Sequence[Statement], second: float, after: float = 0.0
    ) -> list[Contradiction]:
        """Return the faults at this second; a stream's must have lasted for a round.

        A round takes time: what is wrong by the script is so at its start and at its end (`after`).
        """
        pairs = [
            *find_disagreements(statements, second),
            *find_different_tellings(statements, second),
        ]
        early = {_pair_key(pair) for pair in pairs if _is_of_stream(pair)}
        wrong = [
            *find_wrong(self._list_wrong_at(statements, after or second), self.truth, second),
            *find_untold(statements, self.truth, second),
            *(p for p in pairs if not _is_of_stream(p) or _pair_key(p) in self.late),
        ]
        self.late = early
        return wrong

    def _list_wrong_at(self, statements: Sequence[Statement], second: float) -> list[Statement]:
        return [row.statement for row in find_wrong(statements, self.truth, second)]

    async def read_all(self, session: aiohttp.ClientSession) -> list[Statement]:
        places = list_places(self.truth.script)
        countries = [place for place in places if place == Place(place.country)]
        document = await _json(session, "/api/v1/incidents")
        self._note_places(document)
        tellings = [
            *outputs.read_tellings("incidents", document["incidents"]),
            *await self._read_tellings(session, document),
        ]
        top = json.loads(await fetch_snapshot(f"http://{self.http}", ""))
        after = await _json(session, "/api/v1/incidents")
        front = await self._read_page(session, "/")
        on_map = outputs.read_map(front, [place.country for place in countries])
        statements = [
            *self.stream.list_statements(),
            *set_moment(outputs.read_top(top), read_moment(top)),
            *set_moment(on_map, front.moment),
        ]
        if after == document:  # else they are of two moments
            statements = [*tellings, *statements]
        reading = (self._read_country(session, place, places) for place in countries)
        for said in await asyncio.gather(*reading):  # side by side, so that a round is one moment
            statements += said
        turn = countries[self.rounds % len(countries)].country  # one country's a round: many pages
        return [*statements, *await self._read_subjects(session, turn, places)]

    async def _read_subjects(
        self, session: aiohttp.ClientSession, country: str, places: Sequence[Place]
    ) -> list[Statement]:
        """Read the public pages of networks, and of a country's regions and services."""
        networks = [place for place in places if place.country == country and place.asn]
        inside = self.truth.actors(Place(country))
        regions = {Place(country, actor.region) for actor in inside if not actor.control}
        by_network = {f"/networks/AS{place.asn}": place for place in networks}
        pages: dict[str, dict[str, Place | None]] = {
            "network": {path: place for path, place in by_network.items() if path in self.linked},
            "region": {f"/countries/{country}/{place.region}": place for place in regions},
            "service": {f"/services/{name}": None for name in self.truth.script.services},
        }
        statements: list[Statement] = []
        for kind, by_path in pages.items():
            for path, place in by_path.items():
                page = await self._read_page(session, path)
                cells = outputs.read_cells(f"{kind} page", page, networks)
                said = [_limit_to_region(cell, place) for cell in cells]
                if place is not None:
                    headline = outputs.read_headline(f"{kind} headline", page, place)
                    said += map(self._limit_to_part, headline)
                statements += set_moment(said, page.moment)
        return statements

    def _note_places(self, document: Any) -> None:
        """Note the places of each sentence of an open incident, as the API gives them."""
        for said in outputs.read_incidents("incidents", document):
            self.told_of[said.words].add(said.place)

    def _limit_to_part(self, headline: Statement) -> Statement:
        """Limit an offline headline to the part of the place that it is about.

        A page that leads with the dark part of its place makes no claim about the rest. A page that
        leads with an incident of a part makes no claim about a place that the script has lit; an
        incident of a wider place is about all of that.
        """
        if headline.claim != "offline":
            return headline
        share = self.truth.dark_share(headline.place, self.clock.second or 0.0)
        told_of = self.told_of.get(headline.words, set())
        wider = [place for place in told_of if place.covers(headline.place)]
        if share == 0 and wider:
            return replace(headline, place=wider[0])
        is_part = 0 < share < 1 or (share == 0 and told_of)
        return replace(headline, claim="unknown") if is_part else headline

    async def _read_tellings(
        self, session: aiohttp.ClientSession, document: Any
    ) -> list[Statement]:
        """Read the open incidents in feeds, pages, embeds and pictures."""
        tellings = [
            *outputs.read_atom(await _text(session, "/feeds/incidents.atom")),
            *outputs.read_json_feed(await _json(session, "/feeds/incidents.json")),
        ]
        for incident in document["incidents"]:
            if incident["state"] in OPEN:
                id_ = incident["id"]
                path = f"/incidents/{id_}"
                page = await _text(session, f"{path}?lang=en")
                embed = await _text(session, f"{path}/embed?lang=en")
                tellings += outputs.read_heading("incident page", id_, page)
                tellings += outputs.read_heading("embed", id_, embed)
                tellings += outputs.read_cap(id_, await _text(session, f"{path}/cap.xml"))
                picture = await _text(session, f"{path}/share.svg?lang=en")
                tellings += outputs.read_share_image(id_, picture)
        return tellings

    async def _read_country(
        self, session: aiohttp.ClientSession, country: Place, places: Sequence[Place]
    ) -> list[Statement]:
        """Read every output of a country; outputs without a moment get the status's."""
        code = country.country
        status = await _json(session, f"/api/v1/status?country={code}")
        networks = [place for place in places if place.country == code and place != country]
        grid = await self._read_page(session, f"/?country={code}")
        page = await self._read_page(session, f"/countries/{code}")
        rows = {f"network-{n.country}-{n.asn}-{n.access}": n for n in networks}
        four_minutes_ago = datetime.fromisoformat(status["at"]) - timedelta(minutes=4)
        whole_until = datetime.fromisoformat(status["at"]).strftime("%Y-%m-%dT%H:%M:00Z")
        since = four_minutes_ago.strftime("%Y-%m-%dT%H:%M:%SZ")
        span = f"since={since}&until={whole_until}"  # a minute that lasts has few results yet
        timeline = await _json(session, f"/api/v1/timeline?country={code}&bin=1m&{span}")
        incidents = await _json(session, f"/api/v1/incidents?country={code}")
        self._note_places(incidents)
        moment = read_moment(status)
        after = read_moment(await _json(session, f"/api/v1/status?country={code}"))
        around = moment if moment == after else UNKNOWN_MOMENT
        on_grid = [
            *outputs.read_headline("network page headline", grid, country),
            *outputs.read_grid("grid", grid, networks),
        ]
        on_page = [
            *outputs.read_headline("country page headline", page, country),
            *outputs.read_rows("country page", page, rows),
        ]
        unnamed = [
            *outputs.read_incidents("incidents", incidents),
            *outputs.read_timeline(timeline),
        ]
        self.moments[moment == grid.moment == page.moment == after] += 1
        return [
            *set_moment(outputs.read_status(status), moment),
            *set_moment(on_grid, grid.moment),
            *set_moment(on_page, page.moment),
            *set_moment(unnamed, around),
        ]


def _limit_to_region(cell: Statement, page_of: Place | None) -> Statement:
    """Limit a network that a region's page shows as offline to that region.

    The page tells of the network where the page's region is. What its vantages elsewhere do is no
    part of that claim.
    """
    if page_of is None or not page_of.region or cell.claim != "offline":
        return cell
    return replace(cell, place=cell.place._replace(region=page_of.region))


def _is_of_stream(pair: Contradiction) -> bool:
    return not FOLLOWING.isdisjoint(s.output for s in (pair.statement, pair.other) if s)


def _pair_key(pair: Contradiction) -> tuple[object, ...]:
    return pair.why, pair.statement.place, pair.statement.subject


async def _text(session: aiohttp.ClientSession, path: str) -> str:
    for _ in range(RETRIES):
        async with session.get(path) as answer:
            if answer.status != 503:  # on a crowded machine it asks to come again, and says no more
                text = await answer.text()
                if not answer.ok:
                    raise ValueError(f"{answer.status} of {answer.url}: {text}")
                return text
        # A real process asks for it, as it asks any reader.
        await asyncio.sleep(float(answer.headers.get("Retry-After", "3")))
    raise TimeoutError(path)


async def _json(session: aiohttp.ClientSession, path: str) -> Any:
    return json.loads(await _text(session, path))
