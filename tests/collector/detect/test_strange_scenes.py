"""Cuts, absences and blocks that no other world has are told as what they are."""

import os
from pathlib import Path

import pytest

from support import strange_absences, strange_blocks, strange_cuts, strange_endings
from support.strange_truths import play_scene

# Up to three draws of each were looked at when the scenes were written.
SEEDS = min(3, int(os.environ.get("HELIOGRAPH_FOREIGN_SEEDS", "0")))
SCENES = (
    strange_cuts.SCENES | strange_absences.SCENES | strange_blocks.SCENES | strange_endings.SCENES
)
# What is nearest to a grave error, or plays in a moment, is played in each run, all by `make soak`.
ALWAYS = (
    ("laptops opened at a satellite", 0),  # those who reach us by another network, and tell so
    ("state and banks spared", 0),
    ("an end while we restart", 0),
    ("newcomers stay", 0),
    ("sessions reset", 0),
    ("a constellation", 0),
    ("a block of five", 0),
    ("tested each two hours", 0),
)


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "seed"), [*ALWAYS, *((name, seed) for seed in range(SEEDS) for name in SCENES)]
)
def test_scene_is_told_as_what_it_is(name: str, seed: int, tmp_path: Path) -> None:
    assert play_scene(SCENES[name], seed, tmp_path) == []
