"""Read whether this machine runs on its battery, its charge, and its uptime.

A power cut shows in these, and a cut line does not. Desktops and servers have no battery, so they
do not know of their power.

>>> coarsen_uptime(2_000)
3600
"""

import time
from itertools import islice
from pathlib import Path

# Linux: Documentation/ABI/testing/sysfs-class-power
POWER_SUPPLIES = Path("/sys/class/power_supply")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")  # Linux: random(4)
MAX_SUPPLIES = 16  # assumed; a laptop has two to four
MAX_WORD = 32  # bytes of a word in one of its files
_SUPPLY_KINDS = ("Mains", "USB", "Wireless")
_CHARGER_STATES = {"Discharging": True, "Charging": False, "Full": False, "Not charging": False}
# Seconds, assumed. An uptime is rounded up, so that it never seems to begin within a silence that
# it outlasted. After the last step it is not sent, because it would identify machines.
UPTIME_STEPS_S = (60, 300, 900, 3_600, 14_400, 43_200, 86_400)


def is_on_battery(supplies: Path = POWER_SUPPLIES) -> bool | None:
    """Return whether the machine runs on its battery; None without one, or if unknown."""
    folders = _list_supplies(supplies)
    batteries = [f for f in folders if _is_own_battery(f)]
    if not batteries:
        return None
    chargers = [
        _read_word(f / "online") for f in folders if _read_word(f / "type") in _SUPPLY_KINDS
    ]
    if any(word not in ("", "0") for word in chargers):
        return False
    states = {_CHARGER_STATES.get(_read_word(f / "status")) for f in batteries} - {None}
    if states:
        return True in states
    return True if "0" in chargers else None


def read_battery_percent(supplies: Path = POWER_SUPPLIES) -> int | None:
    """Return the charge of the machine's batteries in percent, None if unknown."""
    batteries = filter(_is_own_battery, _list_supplies(supplies))
    capacities = [_read_word(folder / "capacity") for folder in batteries]
    percents = [min(int(x), 100) for x in capacities if x.isascii() and x.isdigit()]
    return sum(percents) // len(percents) if percents else None


def is_battery_low(below_percent: int, supplies: Path = POWER_SUPPLIES) -> bool:
    """Return whether the machine runs on a battery known to be below a percentage."""
    if not below_percent or not is_on_battery(supplies):
        return False
    percent = read_battery_percent(supplies)
    return percent is not None and percent < below_percent


def read_uptime_s() -> int | None:
    """Return this machine's uptime, coarsely; None after a day, or if unknown."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)  # Linux
    return None if clock is None else coarsen_uptime(time.clock_gettime(clock))


def read_boot_clock_us() -> int | None:
    """Return microseconds since this machine's start, sleep included; None if unknown."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)  # Linux
    return None if clock is None else time.clock_gettime_ns(clock) // 1_000


def read_boot_id() -> bytes | None:
    """Return an id of the present boot, None if the system has none."""
    try:
        return BOOT_ID.read_bytes()
    except OSError:
        return None


def coarsen_uptime(uptime_s: float) -> int | None:
    """Round up to a step, None beyond the last."""
    return next((step_s for step_s in UPTIME_STEPS_S if uptime_s <= step_s), None)


def _list_supplies(supplies: Path) -> list[Path]:
    try:
        return sorted(islice(supplies.iterdir(), MAX_SUPPLIES))
    except OSError:
        return []


def _is_own_battery(folder: Path) -> bool:
    """Return whether it is the machine's battery, and not that of a mouse."""
    return _read_word(folder / "type") == "Battery" and _read_word(folder / "scope") != "Device"


def _read_word(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            return stream.read(MAX_WORD).decode("ascii", "replace").strip()
    except OSError:
        return ""
