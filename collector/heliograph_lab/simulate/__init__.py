"""Virtual agents through the real door: what a fleet costs, and how soon a cut is told."""

from pathlib import Path

from heliograph_lab.simulate.report import Account
from heliograph_lab.simulate.run import Progress, SimulationError, Wish, play
from heliograph_lab.simulate.script import Actor, Cut, Restart, Silence, Story, Trouble, shares

SHIPPED = Path(__file__).parent / "scenarios"

__all__ = [
    "SHIPPED",
    "Account",
    "Actor",
    "Cut",
    "Progress",
    "Restart",
    "Silence",
    "SimulationError",
    "Story",
    "Trouble",
    "Wish",
    "play",
    "shares",
]
