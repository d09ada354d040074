"""Scenes of closed sessions: programs end, or a censor's box resets connections."""

from collections.abc import Callable
from pathlib import Path

import pytest

from heliograph_collector.incidents.incident import IncidentKind, IncidentState
from support.foreign_world import (
    AT,
    HOUR,
    SEEDS,
    Down,
    Land,
    create_land,
    play,
    seconds_after,
    stop_again_and_again,
)

CUT_OFF = (IncidentState.CONFIRMED, IncidentState.CLOSED)


def crash(land: Land) -> None:
    """Crash all programs within a minute; restart them one by one after three."""
    land.settle()
    for person in land.select():
        until = AT + 180 + land.rng.uniform(0, 600)
        person.downs.append(Down(AT + land.rng.uniform(0, 60), until, closed=True))


def crash_again_and_again(land: Land) -> None:
    stop_again_and_again(land, closed=True)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("build", [crash, crash_again_and_again])
def test_programs_that_end_and_begin_again_are_no_cut(
    build: Callable[[Land], None], seed: int, tmp_path: Path
) -> None:
    land = create_land(seed)
    build(land)
    assert not play(land, tmp_path)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_programs_that_are_mended_after_half_an_hour_are_no_cut_that_stands(
    seed: int, tmp_path: Path
) -> None:
    land = create_land(seed)
    land.settle()
    for person in land.select():
        until = AT + 1_500 + land.rng.uniform(0, 900)
        person.downs.append(Down(AT + land.rng.uniform(0, 60), until, closed=True))
    for incident in play(land, tmp_path):
        assert incident.state is IncidentState.WITHDRAWN
        assert seconds_after(AT, incident.confirmed_us) > 300


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize(("access", "within_s"), [("", 420), ("mobile", 75)])
def test_cut_that_a_box_on_the_way_closes_is_told(
    access: str, within_s: float, seed: int, tmp_path: Path
) -> None:
    """A cut is found although a box on the way closes its sessions.

    A censor resets all; or the proxies of mobile operators close what dies behind them.
    """
    land = create_land(seed)
    land.settle()
    people = [p for p in land.select() if p.access != "hosting"]
    land.cut(people, AT, AT + 2 * HOUR)
    for person in people:
        person.downs[-1].closed = access in ("", person.access)
    (incident,) = play(land, tmp_path)
    assert (incident.kind, incident.state in CUT_OFF) == (IncidentKind.SILENCE, True)
    assert seconds_after(AT, incident.confirmed_us) <= within_s
