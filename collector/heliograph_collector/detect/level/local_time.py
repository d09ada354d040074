"""Estimate from a country's local time whether people are likely to switch off."""

from functools import cache
from importlib.resources import files

from heliograph.units import DAY_US, HOUR_US

# Standard time at which few people go to bed, leave an office or close a lid. Assumed. No hour of
# the night is among them: in Ramadan many are up until the prayer at dawn, and go to bed then.
BUSY_HOURS = range(7, 16)
# … at which who sleeps late is up, and no evening has begun; offices may be closed. Assumed. In
# Ramadan people sleep until eleven after the prayer at dawn, and leave all for the meal at sunset.
WAKING_HOURS = range(11, 18)
_PRAYER_HOURS = range(11, 15)
_NIGHT_HOURS = range(6)  # in which operators let lines dial in again; assumed


def is_busy_hour(country: str, at_us: int) -> bool:
    """Return whether no day ends at this local time; False for an unknown country."""
    return _find_hour(country, at_us) in BUSY_HOURS


def is_waking_hour(country: str, at_us: int) -> bool:
    """Return whether hardly anybody sleeps at this local time; False if unknown."""
    return _find_hour(country, at_us) in WAKING_HOURS


def is_night_hour(country: str, at_us: int) -> bool:
    """Return whether lines may reconnect at this local time; False if unknown."""
    return _find_hour(country, at_us) in _NIGHT_HOURS


def is_friday_noon(country: str, at_us: int) -> bool:
    """Return whether the prayer of a Friday may begin at this local time.

    It follows noon by the sun, up to an hour and a half from that of standard time.
    """
    return _find_hour(country, at_us) in _PRAYER_HOURS and _is_friday(country, at_us)


def _is_friday(country: str, at_us: int) -> bool:
    return (at_us + _load_offsets()[country]) // DAY_US % 7 == 1  # 1 January 1970 was a Thursday


def _find_hour(country: str, at_us: int) -> int | None:
    offset_us = _load_offsets().get(country)
    return None if offset_us is None else (at_us + offset_us) % DAY_US // HOUR_US


@cache
def _load_offsets() -> dict[str, int]:
    content = files(__package__).joinpath("utc_offsets.tab").read_text("utf-8")
    rows = (line.split("\t") for line in content.splitlines() if not line.startswith("#"))
    return {code: round(float(hours) * HOUR_US) for hours, codes in rows for code in codes.split()}
