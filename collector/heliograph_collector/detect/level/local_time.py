"""Local time of a country, as far as it says whether people are likely to switch off."""

from functools import cache
from importlib.resources import files

from heliograph.units import DAY_US, HOUR_US

# Standard time at which few people go to bed, leave an office or close a lid. Assumed.
BUSY_HOURS = range(7, 16)


def is_busy_hour(country: str, at_us: int) -> bool:
    """Return whether no day ends at this local time; False for an unknown country."""
    offset_us = _load_offsets().get(country)
    return offset_us is not None and (at_us + offset_us) % DAY_US // HOUR_US in BUSY_HOURS


@cache
def _load_offsets() -> dict[str, int]:
    content = files(__package__).joinpath("utc_offsets.tab").read_text("utf-8")
    rows = (line.split("\t") for line in content.splitlines() if not line.startswith("#"))
    return {code: round(float(hours) * HOUR_US) for hours, codes in rows for code in codes.split()}
