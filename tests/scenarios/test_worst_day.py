"""Eight countries on one bad day: every output, held against the script and the others."""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from heliograph_collector.http.app import build_app
from heliograph_collector.incidents.incident import IncidentState
from heliograph_lab.evaluate.scenario_file import load_scenario
from heliograph_lab.simulate import SimulationConfig, run_simulation
from heliograph_lab.simulate.from_scenario import build_script
from support import worst_day
from support.dark_country import CUT_US, country_before_the_cut, cut
from support.incident_book import KEY, book
from support.ports import free_port
from support.site import Site
from support.worst_day.outputs import Statement
from support.worst_day.reader import ScriptClock, WorstDayReader
from support.worst_day.truth import Place, Truth, list_places

SCRIPT = Path(worst_day.__file__).with_name("eight-countries.yml")
CUT_S = 600  # in the small script
SMALL = f"""
name: One country goes dark
since: 2026-01-01T00:00:00Z
until: 2026-01-01T00:20:00Z
countries:
  KZ:
    churn: 0
    vantages:
      - {{region: ALA, asn: 9198, access: fixed, count: 30}}
      - {{region: ALA, asn: 29355, access: mobile, count: 20}}
world: {{countries: 0}}
services: {{telegram: {{every: 120s, noise: 0}}}}
events:
  - {{do: cut, at: 2026-01-01T00:{CUT_S // 60:02}:00Z, for: 9m, who: {{country: KZ}}}}
"""
OUTPUTS = {
    "status", "incidents", "stream", "top", "map", "grid", "country page", "network page headline",
    "country page headline", "atom", "json feed", "incident page", "embed", "share picture",
    "share picture, drawn", "timeline",
}  # fmt: skip


@pytest.fixture
async def dark_reader(tmp_path: Path) -> AsyncIterator[tuple[WorstDayReader, list[Statement]]]:
    """A reader of a dark country 100 s after its cut, and what all outputs say then."""
    file = tmp_path / "small.yml"
    file.write_text(SMALL)
    world = country_before_the_cut()
    world.clock.wall = CUT_US + 100 * 1_000_000
    feed = world.feed(book=book(cut(IncidentState.CONFIRMED)), public_key=KEY.public)
    async with Site(TestServer(build_app(feed), host="127.0.0.1")) as client:
        reader = WorstDayReader(
            f"{client.host}:{client.port}",
            Truth(build_script(load_scenario(file), seed=1)),
            ScriptClock(CUT_S + 100.0),
        )
        async with aiohttp.ClientSession(str(client.make_url(""))) as session:
            reader.stream.start_from(await client.json("/api/v1/status"))
            [incident] = (await client.json("/api/v1/incidents"))["incidents"]
            reader.stream.apply_event("incident", incident)
            statements = await reader.read_all(session)
        yield reader, statements


async def test_the_reader_reads_every_output_and_finds_each_lie(
    dark_reader: tuple[WorstDayReader, list[Statement]],
) -> None:
    reader, statements = dark_reader
    assert {statement.output for statement in statements} == OUTPUTS
    assert reader.compare(statements, CUT_S + 100) == []
    for number, statement in enumerate(statements):
        if statement.place in (Place(""), *list_places(reader.truth.script)):
            lie = replace(statement, claim="reachable", words="All is well.")
            told = [*statements[:number], lie, *statements[number + 1 :]]
            reader.compare(told, CUT_S + 100)
            assert reader.compare(told, CUT_S + 100), statement


@pytest.mark.slow
@pytest.mark.timeout(3_600)
@pytest.mark.skipif(
    os.environ.get("HELIOGRAPH_WORST_DAY") != "whole", reason="half an hour: make soak plays it"
)
async def test_no_output_contradicts_the_script_or_another(tmp_path: Path) -> None:
    script = build_script(load_scenario(SCRIPT), seed=1)
    clock = ScriptClock()
    reader = WorstDayReader(f"127.0.0.1:{free_port()}", Truth(script), clock)
    config = SimulationConfig(
        script=script, load="scenario", http=reader.http, log=tmp_path / "collector.log", seed=1
    )
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(reader.run())
        await run_simulation(config, clock)
        reading.cancel()
    print(f"{reader.read:,} statements in {reader.rounds} rounds: {len(reader.found)} wrong")
    assert Counter(row.why for row in reader.found) == {}
