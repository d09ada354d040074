"""Filters of stored measurements and cells."""

from dataclasses import dataclass
from typing import TypedDict


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurementFilter:
    """An operator's filter; an empty field matches everything."""

    country: str = ""
    region: str = ""
    asn: int | None = None
    access: str = ""
    service: str = ""
    experiment: str = ""
    target: str = ""
    role: str = ""
    state: str = ""
    since_us: int | None = None
    until_us: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CellFilter:
    """A filter of cells; None matches every value, "" and 0 match the totals."""

    since_us: int
    until_us: int
    bin_s: int = 300
    country: str = ""  # "" matches every country
    region: str | None = None
    asn: int | None = None
    access: str | None = None
    service: str = ""  # "" matches every service


class PlaceFilter(TypedDict, total=False):
    """Conditions on place, service and arrival; a missing one, or None, selects all."""

    country: str | None
    region: str | None
    asn: int | None
    access: str | None
    service: str | None
    received_before_us: int | None  # what arrived later is not seen
