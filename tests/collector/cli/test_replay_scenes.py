"""Scenes written from the manual of signal files alone, through the command."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from heliograph.timestamps import parse_timestamp
from heliograph.units import SECOND_US
from heliograph_collector import cli
from heliograph_collector.incidents.published.log import IncidentRecord
from support.signal_scenes import ONSET, SCENES, Truth, World

SEEDS = int(os.environ.get("HELIOGRAPH_FOREIGN_SEEDS", "1"))
SIZE = 24

_RECORD = msgspec.json.Decoder(IncidentRecord)  # the delays beside its keys are left out


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_what_stands_is_the_truth_and_nothing_beside(
    scene: Callable[[World], Truth | None],
    seed: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    world = World(f"{scene.__name__}{seed}", SIZE)
    truth = scene(world)
    file = tmp_path / "signals.jsonl"
    file.write_text("\n".join(map(json.dumps, world.write())))
    assert cli.main(["replay", str(file), "--json"]) == 0
    incidents = map(_RECORD.decode, capsys.readouterr().out.splitlines())
    standing = [i for i in incidents if i.state in ("confirmed", "closed")]
    expected = {(truth.kind, truth.label)} if truth else set()
    assert {(i.kind, i.label) for i in standing} == expected
    if truth:
        (told,) = [i for i in standing if i.scope.country == "KZ"]
        assert _count_seconds(told, truth.kind) < truth.within_s


def _count_seconds(incident: IncidentRecord, kind: str) -> float:
    """Count from the true onset until the incident was confirmed, under this kind."""
    moments = [change.at for change in incident.kinds if change.kind == kind]
    confirmed = parse_timestamp(max([incident.confirmed or "", *moments[:1]]))
    return confirmed / SECOND_US - ONSET
