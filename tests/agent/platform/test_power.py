"""Whether the machine runs on its battery, as Linux shows it, and how coarse an uptime is."""

from pathlib import Path

import pytest

from heliograph_agent.platform.power import coarsen_uptime, is_on_battery

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
    for number, supply in enumerate(supplies):
        folder = tmp_path / f"S{number}"
        folder.mkdir()
        for name, word in supply.items():
            (folder / name).write_text(word + "\n")
    assert is_on_battery(tmp_path) is expected


def test_battery_is_unknown_on_other_systems(tmp_path: Path) -> None:
    assert is_on_battery(tmp_path / "none") is None


@pytest.mark.parametrize(
    ("uptime_s", "expected"), [(0, 60), (61, 300), (2_100, 3_600), (86_400, 86_400), (90_000, None)]
)
def test_uptime_is_coarse_and_never_too_short(uptime_s: float, expected: int | None) -> None:
    assert coarsen_uptime(uptime_s) == expected
    assert expected is None or expected >= uptime_s, "or a silence would look like a reboot"
