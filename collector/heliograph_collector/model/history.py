"""Past days as published: the state of each hour, by place and service.

A day is made from its daily file, so it reveals no more than that file.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

HOURS = 24


class Axis(StrEnum):
    """Subject of a row."""

    SERVICE = "service"  # in a country: the worst of its networks
    NETWORK = "network"  # in a country: the worst of its services
    REGION = "region"  # the same
    SITE = "site"  # a single target, as a service
    NETWORK_SERVICE = "network_service"
    NETWORK_SITE = "network_site"
    REGION_SERVICE = "region_service"


# The marks of an hour, by their byte; 0: nobody looked, or too few.
MARKS: Sequence[str] = (
    "", "reachable", "partial", "blocked", "down", "unknown", "silent",
)  # fmt: skip
TROUBLE_MARKS = ("silent", "blocked", "down", "partial")  # of two as frequent the first is shown
MARK_CODES: Mapping[str, int] = {mark: code for code, mark in enumerate(MARKS)}


class DayRow(NamedTuple):
    """One day of one place and service; empty fields are merged over.

    A tuple, because a page has thousands of them. The first six fields are the key of a row.
    """

    axis: Axis
    country: str
    region: str
    asn: int
    access: str
    service: str
    day_us: int
    hours: bytes  # a code of MARKS an hour
    shares: bytes  # of the judged networks or services with that mark, in 255ths, by hour
    vantages: int  # the largest published count of one cell of the day
    layer: str = ""  # of the blocked cells, the commonest
    method: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryFilter:
    """Selects rows to read; an empty field matches everything."""

    axes: Sequence[Axis]
    since_us: int
    until_us: int
    country: str = ""
    region: str = ""
    asn: int = 0
    service: str = ""
    only_trouble: bool = False  # days with a trouble or a silence
    only_newest: bool = False  # one row, of the newest day


class BlockingNetwork(NamedTuple):
    """On how many days a network blocked a service in at least one hour."""

    country: str
    service: str
    asn: int
    days: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CellHistory:
    """The rows of a question, and the days that are known at all."""

    rows: Sequence[DayRow] = ()
    first_us: int | None = None  # the first day of the archive
    last_us: int | None = None  # the last one
