"""Virtual agents through the real door: what a fleet costs, and how soon a cut is told."""

from pathlib import Path

from heliograph_collector.simulate.account import Account
from heliograph_collector.simulate.play import Progress, SimulationError, Wish, play
from heliograph_collector.simulate.story import (
    Actor,
    Cut,
    Restart,
    Silence,
    Story,
    Trouble,
    shares,
)

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
