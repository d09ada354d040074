"""Simulation: measure costs and alarm delays with a fleet of virtual agents.

script = build_script(load_scenario(SHIPPED / "cut-in-five.yml"), seed=0)  # from_scenario
report = asyncio.run(run_simulation(SimulationConfig(script=script)))
"""

from pathlib import Path

from heliograph_lab.simulate.report import SimulationReport
from heliograph_lab.simulate.run import Progress, SimulationConfig, SimulationError, run_simulation
from heliograph_lab.simulate.script import (
    Actor,
    AgentSilence,
    CollectorRestart,
    ExpectedCut,
    Script,
    ServiceTrouble,
    scale_counts,
)

SHIPPED = Path(__file__).parent / "scenarios"

__all__ = [
    "SHIPPED",
    "Actor",
    "AgentSilence",
    "CollectorRestart",
    "ExpectedCut",
    "Progress",
    "Script",
    "ServiceTrouble",
    "SimulationConfig",
    "SimulationError",
    "SimulationReport",
    "run_simulation",
    "scale_counts",
]
