"""Dated events: cuts are found in time, and nothing else is a cut."""

import os
from pathlib import Path

import pytest

from support.dated_events import SCENES
from support.event_faults import check_event, find_faults
from support.foreign_world import create_land, play

SEEDS = int(os.environ.get("HELIOGRAPH_FOREIGN_SEEDS", "0"))
# What detectors 30 to 32 told wrongly, and is not long, is played in each run, all by `make soak`.
ONCE_WRONG = (
    ("an operator for a day", 1),  # its phones were never told
    ("a grid for hours", 2),  # phones whose masts' batteries ended were taken for a cut
    ("VPNs", 0),  # their servers' network was called silent up to 39
    ("slow, then dark", 3),  # told after eleven minutes
)


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "seed"), [*ONCE_WRONG, *((name, seed) for seed in range(SEEDS) for name in SCENES)]
)
def test_event_is_told_as_what_it_is(name: str, seed: int, tmp_path: Path) -> None:
    scene = SCENES[name]
    land = create_land(seed, scene.hours)
    scene.build(land)
    check_event(name, seed, list(find_faults(land, play(land, tmp_path), scene)))
