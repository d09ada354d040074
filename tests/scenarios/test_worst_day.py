"""Eight countries on one bad day: every output, held against the script and the others."""

import asyncio
import os
from collections import Counter
from pathlib import Path

import pytest

from heliograph_lab.evaluate.scenario_file import load_scenario
from heliograph_lab.simulate import SimulationConfig, run_simulation
from heliograph_lab.simulate.from_scenario import build_script
from support import worst_day
from support.ports import free_port
from support.worst_day.reader import ScriptClock, WorstDayReader
from support.worst_day.truth import Truth

SCRIPT = Path(worst_day.__file__).with_name("eight-countries.yml")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3_600)]


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
