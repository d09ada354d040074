"""Battery power as Linux shows it, and a coarse uptime."""

from pathlib import Path

import pytest

from heliograph_agent.platform.power import (
    coarsen_uptime,
    is_battery_low,
    is_on_battery,
    read_battery_percent,
)

Supply = dict[str, str]
AC = {"type": "Mains", "online": "1"}
UNPLUGGED = {"type": "Mains", "online": "0"}
BATTERY = {"type": "Battery", "scope": "System"}
FULL = {**BATTERY, "status": "Full"}
DISCHARGING = {**BATTERY, "status": "Discharging"}
MOUSE = {"type": "Battery", "scope": "Device", "status": "Discharging"}


@pytest.mark.parametrize(
    ("supplies", "expected"),
    [
        ([AC, FULL], False),
        ([UNPLUGGED, DISCHARGING], True),
        ([AC, DISCHARGING], False),  # a weak charger, but there is power
        ([{"type": "USB", "online": "1"}, UNPLUGGED, FULL], False),
        ([DISCHARGING], True),
        ([FULL], False),
        ([UNPLUGGED, BATTERY], True),
        ([BATTERY], None),
        ([AC], None),  # a desktop: without power it says nothing at all
        ([MOUSE], None),
        ([AC, MOUSE], None),
        ([], None),
    ],
)
def test_battery_is_told_where_known(
    tmp_path: Path, supplies: list[Supply], expected: bool | None
) -> None:
    write_supplies(tmp_path, supplies)
    assert is_on_battery(tmp_path) is expected


def write_supplies(root: Path, supplies: list[Supply]) -> None:
    for number, supply in enumerate(supplies):
        folder = root / f"S{number}"
        folder.mkdir()
        for name, word in supply.items():
            (folder / name).write_text(word + "\n")


@pytest.mark.parametrize(
    ("supplies", "percent", "is_low"),
    [
        ([UNPLUGGED, {**DISCHARGING, "capacity": "19"}], 19, True),
        ([UNPLUGGED, {**DISCHARGING, "capacity": "20"}], 20, False),
        ([AC, {**DISCHARGING, "capacity": "3"}], 3, False),  # it is charged
        ([{**DISCHARGING, "capacity": "2"}, {**BATTERY, "capacity": "40"}], 21, False),
        ([{**DISCHARGING, "capacity": "2"}, {**MOUSE, "capacity": "90"}], 2, True),
        ([{**DISCHARGING, "capacity": "?"}], None, False),
        ([DISCHARGING], None, False),
        ([AC], None, False),
    ],
)
def test_a_low_battery_is_one_that_is_known_to_be(
    tmp_path: Path, supplies: list[Supply], percent: int | None, is_low: bool
) -> None:
    write_supplies(tmp_path, supplies)
    assert read_battery_percent(tmp_path) == percent
    assert is_battery_low(20, tmp_path) is is_low
    assert not is_battery_low(0, tmp_path), "the volunteer wants to measure to the end"


def test_battery_is_unknown_on_other_systems(tmp_path: Path) -> None:
    assert is_on_battery(tmp_path / "none") is None


@pytest.mark.parametrize(
    ("uptime_s", "expected"), [(0, 60), (61, 300), (2_100, 3_600), (86_400, 86_400), (90_000, None)]
)
def test_uptime_is_coarse_and_never_too_short(uptime_s: float, expected: int | None) -> None:
    assert coarsen_uptime(uptime_s) == expected
    assert expected is None or expected >= uptime_s, "or a silence would look like a reboot"
