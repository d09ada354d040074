"""Reads every output of a collector, round by round, while a script is played against it."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp

from heliograph_lab.simulate import Progress
from support.worst_day import outputs
from support.worst_day.contradictions import Contradiction, find_disagreements, find_wrong
from support.worst_day.outputs import Page, Statement
from support.worst_day.truth import Place, Truth, list_places

EVERY_S = 5.0


@dataclass
class ScriptClock:
    """The second of the script, as `simulate` shows it; before it plays there is none."""

    second: float | None = None

    def show_progress(self, progress: Progress) -> None:
        self.second = progress.second if progress.doing == "playing" else None


@dataclass
class WorstDayReader:
    """Every output each five seconds; what is wrong is kept, with what was said."""

    http: str
    truth: Truth
    clock: ScriptClock
    found: list[Contradiction] = field(default_factory=list)
    headlines: list[tuple[float, str, str]] = field(default_factory=list)
    rounds: int = 0
    read: int = 0

    async def run(self) -> None:
        """Never returns."""
        limits = aiohttp.ClientTimeout(total=30)
        async with aiohttp.ClientSession(f"http://{self.http}", timeout=limits) as session:
            while True:
                if self.clock.second is not None:
                    await self._read_round(session)
                await asyncio.sleep(EVERY_S)

    async def _read_round(self, session: aiohttp.ClientSession) -> None:
        second = self.clock.second or 0.0
        statements = await self.read_all(session)
        self.rounds += 1
        self.read += len(statements)
        wrong = [
            *find_wrong(statements, self.truth, second),
            *find_disagreements(statements, second),
        ]
        self.found += wrong
        for row in wrong:
            print(row, flush=True)
        for statement in statements:
            if statement.output.endswith("headline"):
                self._note_headline(second, statement)

    def _note_headline(self, second: float, said: Statement) -> None:
        previous = [w for _, c, w in self.headlines if c == f"{said.output} {said.place.country}"]
        if not previous or previous[-1] != said.words:
            self.headlines.append((second, f"{said.output} {said.place.country}", said.words))
            print(f"{second:6.0f} s {said.output} {said.place.country}: {said.words}", flush=True)

    async def read_all(self, session: aiohttp.ClientSession) -> list[Statement]:
        places = list_places(self.truth.script)
        countries = [place for place in places if place == Place(place.country)]
        statements = [
            *outputs.read_status(await _json(session, "/api/v1/status")),
            *outputs.read_incidents("incidents", await _json(session, "/api/v1/incidents")),
        ]
        front = Page(await _text(session, "/?lang=en"))
        statements += outputs.read_map(front, [place.country for place in countries])
        for place in countries:
            statements += await self._read_country(session, place, places)
        return statements

    async def _read_country(
        self, session: aiohttp.ClientSession, country: Place, places: Sequence[Place]
    ) -> list[Statement]:
        code = country.country
        networks = [place for place in places if place.country == code and place != country]
        grid = Page(await _text(session, f"/?country={code}&lang=en"))
        page = Page(await _text(session, f"/countries/{code}?lang=en"))
        rows = {f"network-{n.country}-{n.asn}-{n.access}": n for n in networks}
        since = (datetime.now(UTC) - timedelta(minutes=4)).strftime("%Y-%m-%dT%H:%M:%SZ")
        timeline = await _json(session, f"/api/v1/timeline?country={code}&bin=1m&since={since}")
        return [
            *outputs.read_headline("network page headline", grid, country),
            *outputs.read_headline("country page headline", page, country),
            *outputs.read_grid("grid", grid, networks),
            *outputs.read_rows("country page", page, rows),
            *outputs.read_timeline(timeline),
        ]


async def _text(session: aiohttp.ClientSession, path: str) -> str:
    async with session.get(path) as answer:
        answer.raise_for_status()
        return await answer.text()


async def _json(session: aiohttp.ClientSession, path: str) -> Any:
    return json.loads(await _text(session, path))
