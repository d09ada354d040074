"""Names of volunteers' lines: keyed hashes of a /24 or /48, each for one UTC day.

Theory. A person is a line, and one line must never count as two. The key of the hash changes with
the day, so that no name on disk follows a line; therefore names of different days cannot be
compared, and two of them may be one line.

1. A measurement carries the name for the day on which it was made, whenever it is uploaded. So in a
   bin, which lies within one day, equal lines have equal names.
2. Where names of several days meet all the same, those of one day are counted: a lower bound.
3. A name without a day was written before days were. The store counts it for the day on which it
   arrived (`store.queries.LINE_DAY_SQL`).

A name is `DDDDD.hhhhhhhhhh`: days since 1970, and 40 bits of the hash (of 10,000 lines, two have
the same with a chance of 5e-5: they then count as one). "" is an unknown line; all of them together
are one.
"""

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

from heliograph.units import DAY_US

_DAY_CHARS = 5
NAME_HEAD = _DAY_CHARS + 1  # characters of a name, which its day is read from


@dataclass(frozen=True, slots=True)
class LineKey:
    """A line in memory, for as long as its connection; only its names are stored."""

    secret: bytes = field(repr=False)
    line: bytes = field(repr=False)  # a keyed hash too: no address outlives its lookup
    # Each envelope asks for the same day or two, and two hashes cost 8 µs:
    _names: dict[int, str] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_network(cls, secret: bytes, network: bytes) -> "LineKey":
        return cls(secret, hmac.digest(secret, b"line " + network, hashlib.sha256))

    def name_day(self, day: int) -> str:
        if day not in self._names:
            self._names[day] = self._compute_name(day)
        return self._names[day]

    def _compute_name(self, day: int) -> str:
        day_key = hmac.digest(self.secret, b"line day %d" % day, hashlib.sha256)
        return f"{day:05d}.{hmac.digest(day_key, self.line, hashlib.sha256)[:5].hex()}"


def read_day(name: str) -> str:
    """Return the day of a name as text, "" for a name without one."""
    return name[:_DAY_CHARS] if name[_DAY_CHARS:NAME_HEAD] == "." else ""


@lru_cache(4_096)  # names; the results of a control's line have one a day
def number_day(name: str) -> int:
    """Return the day of a name, 0 for a name without one."""
    return int(read_day(name) or 0)


def choose_name(names: str, at_us: int) -> str:
    """Return the name for the day of a time, "" if none of these is for that day."""
    day = f"{at_us // DAY_US:05d}"
    return next((name for name in names.split() if read_day(name) in ("", day)), "")


def count_lines(names: Iterable[str]) -> int:
    """Return a lower bound of the lines: the names of the day that has most."""
    distinct = set(names)
    unknown_count = len(distinct & {""})
    days = [read_day(name) for name in distinct - {""}]
    return unknown_count + max(map(days.count, set(days)), default=0)
