"""Cuts, failures and blocks of odd kinds get their true kind."""

import os
from pathlib import Path

import pytest

from support import (
    odd_addresses,
    odd_aftermath,
    odd_cuts,
    odd_mixtures,
    odd_names,
    odd_returns,
    odd_services,
    odd_spells,
)
from support.strange_truths import play_scene

# Two draws of each were looked at when the scenes were written.
SEEDS = min(2, int(os.environ.get("HELIOGRAPH_FOREIGN_SEEDS", "0")))
SCENES = odd_addresses.SCENES | odd_aftermath.SCENES | odd_cuts.SCENES | odd_mixtures.SCENES
SCENES |= odd_names.SCENES | odd_returns.SCENES | odd_services.SCENES | odd_spells.SCENES
# What is nearest to a grave error and plays in a moment is played in each run, all by `make soak`.
ALWAYS = (
    ("a plan changes", 0),  # half of a dark country has said goodbye
    ("anchors dead, our address blocked", 0),
    ("anchors dead, all cut off", 0),
    ("cut anew in the return", 0),
    ("our clock ahead", 0),
    ("two hundred newcomers", 0),
    ("our address, no other way", 0),
    ("a third given back", 0),
    ("lines after 3 days", 0),
    ("one collector of two dies", 0),
    ("cut while we are gone", 0),
    ("two countries back later", 1),
    ("one country back slowly", 0),
    ("hundreds behind one address", 0),
    ("a campus without power", 0),
)


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "seed"), [*ALWAYS, *((name, seed) for seed in range(SEEDS) for name in SCENES)]
)
def test_odd_scene_is_told_as_what_it_is(name: str, seed: int, tmp_path: Path) -> None:
    assert play_scene(SCENES[name], seed, tmp_path) == []
