"""Cuts, failures and blocks in fleets like real countries get their true kind."""

import os
from pathlib import Path

import pytest

from support.far_scenes import SCENES, create_scene
from support.far_truths import play_far_scene

SEEDS = min(4, int(os.environ.get("HELIOGRAPH_FOREIGN_SEEDS", "0")))
# Three that play in a moment, of three kinds; `make soak` plays all.
ALWAYS = (
    ("Turkmenistan at once", 0),
    ("our address, then a cut", 0),
    ("our transit to three", 0),
)
# Seen and not mended: on the first morning phones of another country are called silent.
NOT_HELD = (("strangers vanish", 2),)
ALL = [(name, seed) for name in SCENES for seed in range(SEEDS) if (name, seed) not in NOT_HELD]


@pytest.mark.long
@pytest.mark.parametrize(("name", "seed"), [*ALWAYS, *ALL])
def test_far_scene_is_told_as_what_it_is(name: str, seed: int, tmp_path: Path) -> None:
    _, faults = play_far_scene(create_scene(name, seed), 2_000 + seed, tmp_path)
    assert faults == []
