"""Cuts, absences and blocks that no other world has get their true kind."""

import os
from pathlib import Path

import pytest

from heliograph_collector.detect.replay import replay_signals
from heliograph_collector.incidents.incident import Incident, IncidentState
from heliograph_collector.sources.signal_file import read_signals
from support import (
    strange_absences,
    strange_blocks,
    strange_cuts,
    strange_departures,
    strange_endings,
    strange_fades,
    strange_failures,
    strange_openings,
)
from support.examples import only_in_soak
from support.foreign_world import AT, HOUR, Down, clock, create_land
from support.reported_events import MINUTE
from support.strange_truths import play_scene

# Up to three draws of each were looked at when the scenes were written.
SEEDS = min(3, int(os.environ.get("HELIOGRAPH_FOREIGN_SEEDS", "0")))
SCENES = (
    strange_cuts.SCENES | strange_absences.SCENES | strange_blocks.SCENES | strange_endings.SCENES
)
SCENES |= strange_failures.SCENES | strange_fades.SCENES
SCENES |= strange_openings.SCENES | strange_departures.SCENES
# What is nearest to a grave error, or plays in a moment, is played in each run, all by `make soak`.
ALWAYS = (
    ("laptops opened at a satellite", 0),  # those who reach us by another network, and tell so
    ("state and banks spared", 0),
    ("an end while we restart", 0),
    ("newcomers stay", 0),
    ("sessions reset", 0),
    ("a constellation", 0),
    ("tested each two hours", 0),
    ("a city behind one address is cut", 0),
    ("a feast's prayer", 0),
    ("a campaign's clock", 0),
    ("a campaign in a cut", 0),
    ("a university alone", 0),
    ("our address blocked for few", 1),
)


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "seed"), [*ALWAYS, *((name, seed) for seed in range(SEEDS) for name in SCENES)]
)
def test_scene_is_told_as_what_it_is(name: str, seed: int, tmp_path: Path) -> None:
    assert play_scene(SCENES[name], seed, tmp_path) == []


@only_in_soak
@pytest.mark.parametrize("seed", range(1 + SEEDS))
def test_root_that_an_old_edition_lacks_is_no_block(seed: int, tmp_path: Path) -> None:
    """A root that an old edition lacks is no block.

    An incident of the first minutes, before other editions tested, is withdrawn.
    """
    incidents = _play_expired_root(seed, tmp_path)
    told = [i for i in incidents if i.confirmed_us is not None]
    assert {i.state for i in told} <= {IncidentState.WITHDRAWN}
    assert all((i.closed_us or 0) / 1e6 < clock(AT + 15 * MINUTE) for i in told)


def _play_expired_root(seed: int, folder: Path) -> list[Incident]:
    land = create_land(seed, 6)
    strange_failures.expire_root(land)
    content = read_signals(land.write(folder / "signals.jsonl"))
    return list(replay_signals(content.signals, content.votes, content.levels).incidents)


@pytest.mark.parametrize("seed", [20, *range(SEEDS)])
def test_country_that_drains_before_all_others_is_no_cut(seed: int, tmp_path: Path) -> None:
    """A country that drains before all others is no cut.

    Our certificate expires: sessions break one by one everywhere, and none comes back.
    """
    land = create_land(seed, 9)
    land.settle()
    until = AT + 6.5 * HOUR
    for person in land.people:
        since = AT + land.rng.expovariate(1 / (2.9 * HOUR))
        if since < until:
            back = until + land.rng.uniform(0, 600)
            is_closed = land.rng.random() < 0.4
            person.downs.append(Down(since, back, closed=is_closed, told=True))
    content = read_signals(land.write(tmp_path / "signals.jsonl"))
    incidents = replay_signals(content.signals, content.votes, content.levels).incidents
    assert not [i for i in incidents if i.scope.is_national and i.confirmed_us is not None]
