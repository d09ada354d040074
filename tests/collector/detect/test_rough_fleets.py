"""Fades and blocks of our address, in fleets of all sizes and kinds, at all hours."""

import os
from pathlib import Path

import pytest

from heliograph_collector.incidents.incident import Incident, IncidentKind
from support.foreign_world import seconds_after
from support.rough_events import ROLL_OUT_S, create_address_block, create_fade, find_begin
from support.strange_truths import find_faults, play_incidents, play_scene

ALL = "HELIOGRAPH_FOREIGN_SEEDS" in os.environ
FADES = list(range(90)) if ALL else [57]
BLOCKS = list(range(30)) if ALL else [6, 25]


@pytest.mark.long
@pytest.mark.parametrize("number", FADES)
def test_fade_is_told_before_a_country_is_dark(number: int, tmp_path: Path) -> None:
    assert play_scene(create_fade(number), 1_000 + number, tmp_path) == []


@pytest.mark.long
@pytest.mark.parametrize("number", BLOCKS)
def test_block_of_our_address_is_no_cut(number: int, tmp_path: Path) -> None:
    """A block of our address is no cut.

    With thirty people or more its cause is known within 5 min of the last operator.
    """
    scene = create_address_block(number)
    places, incidents = play_incidents(scene, 1_000 + number, tmp_path)
    assert list(find_faults(scene, places, incidents)) == []
    if number % 5 >= 2:
        told = min(at for one in incidents for at in _list_times(one, find_begin(number)))
        assert told <= ROLL_OUT_S + 300


def _list_times(incident: Incident, begin: float) -> list[float]:
    """Return the seconds until an incident was a block of our address."""
    kinds = {kind.kind: kind.at_us for kind in incident.kinds}
    kinds = kinds or {incident.kind: incident.suspected_us}
    at_us = kinds.get(IncidentKind.COLLECTOR_BLOCKED)
    return [] if at_us is None else [seconds_after(begin, at_us)]
