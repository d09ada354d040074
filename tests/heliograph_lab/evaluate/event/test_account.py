"""What is told of an imported event, for people and for machines."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from heliograph_lab.evaluate.event import (
    Complaints,
    Imported,
    account,
    document,
    held,
    load,
    text,
    truths,
)

FIXTURES = Path(__file__).parent / "fixtures"
FALL_S = 1_767_889_800  # 8 January 2026, 16:30, as truths.yml has it


@pytest.fixture
def iran(tmp_path: Path) -> Imported:
    """Ten days of active probing and routes; the one falls to 3 % at 16:30, the other by 2 %."""
    begin = FALL_S - 10 * 86_400
    rows = [
        f"{at},{97 if at < FALL_S else 3},{99.6 if at < FALL_S else 97.6}"
        for at in range(begin, FALL_S + 86_400, 600)
    ]
    path = tmp_path / "ioda-IR.csv"
    path.write_text("time,Active Probing (#/24s Up),BGP (#Visible /24s)\n" + "\n".join(rows))
    made = load(path)
    return replace(made, replay=held(made.replay, truths(FIXTURES / "truths.yml", Complaints())))


def test_each_detector_is_told_with_its_delay(iran: Imported) -> None:
    said = text(account(iran)).splitlines()
    assert said[0] == "ioda-IR (csv): 2 series, 2025-12-29 16:30 to 2026-01-09 16:30 UTC"
    assert "level: 1 confirmed, 0 suspected" in said
    assert (
        "  2026-01-08 16:40  IR cut ping-slash24, began 2026-01-08 16:20 to 2026-01-08 16:40"
        in said
    )
    assert "ioda: 1 confirmed, 1 suspected" in said  # routes below 99 % are a warning, no more
    at = said.index("truth blackout, IR, from 2026-01-08 16:30")
    assert said[at + 1 : at + 3] == ["  level: told 10.0 min after", "  ioda: told 20.0 min after"]


def test_the_same_as_json(iran: Imported) -> None:
    found = json.loads(json.dumps(document(account(iran))))
    assert found["format"] == "csv"
    assert found["truths"][0]["told_after_s"] == {"level": 600.0, "ioda": 1_200.0}
    (alarm,) = found["alarms"]["level"]
    assert (alarm["layer"], alarm["confirmed"], alarm["over"]) == ("ping-slash24", True, None)
    assert found["series"][1] == {
        "scope": {"country": "IR", "region": "", "asn": 0, "access": ""},
        "source": "bgp",
    }


def test_a_truth_that_nobody_tells_is_said_to_be_so(iran: Imported) -> None:
    (truth,) = iran.replay.truths
    early = replace(
        truth, since_us=truth.since_us - 3 * 86_400 * 10**6, until_us=truth.since_us - 1
    )
    other = replace(iran, replay=replace(iran.replay, truths=(early,)))
    assert "  level: not told" in text(account(other)).splitlines()
    assert document(account(other))["truths"][0]["told_after_s"] == {"level": None, "ioda": None}


def test_events_of_probes_have_our_own_channel(tmp_path: Path) -> None:
    made = account(load(FIXTURES / "atlas-connections.jsonl", "KZ"))
    assert list(made.alarms) == ["heliograph", "ioda", "disco"]
    assert text(made).startswith("atlas-connections (atlas): 2 vantages")
