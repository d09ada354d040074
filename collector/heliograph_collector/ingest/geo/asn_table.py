"""Address → autonomous system, as sorted ranges in one file that is mapped and searched in place.

Layout: magic, two counts, then for IPv6 and for IPv4 three columns each: first address, last
address, number. IPv6 addresses are cut to their upper half: nobody announces less than a /64.
"""

import ipaddress
import mmap
from array import array
from bisect import bisect_right
from collections.abc import Iterable
from pathlib import Path

_MAGIC = b"heliograph asn 1"
_HEAD = len(_MAGIC) + 16
_MAX_ROWS = 4_000_000

Range = tuple[int, int, int]  # first, last, number


class AsnTable:
    """Reads a file that `write_table` made."""

    def __init__(self, file: Path) -> None:
        with file.open("rb") as stream:
            self._map = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        if self._map[: len(_MAGIC)] != _MAGIC:
            raise ValueError(f"{file} is not an ASN table; install it again")
        small, large = (memoryview(self._map)[len(_MAGIC) : _HEAD]).cast("Q")
        body = memoryview(self._map)[_HEAD:]
        self._large = (
            body[: large * 8].cast("Q"),
            body[large * 8 : large * 16].cast("Q"),
            body[large * 16 : large * 20].cast("I"),
        )
        rest = body[large * 20 :]
        self._small = (
            rest[: small * 4].cast("I"),
            rest[small * 4 : small * 8].cast("I"),
            rest[small * 8 : small * 12].cast("I"),
        )

    def get(self, ip_address: str) -> int:
        """0 when nobody announces it."""
        address = ipaddress.ip_address(ip_address)
        value = int(address) if address.version == 4 else int(address) >> 64
        first, last, number = self._small if address.version == 4 else self._large
        at = bisect_right(first, value) - 1
        return number[at] if at >= 0 and value <= last[at] else 0


def write_table(file: Path, ipv4: Iterable[Range], ipv6: Iterable[Range]) -> int:
    """How many ranges were written. Raises ValueError when they are not sorted."""
    small, large = _columns("I", ipv4), _columns("Q", ((a >> 64, b >> 64, n) for a, b, n in ipv6))
    counts = array("Q", [len(small[0]), len(large[0])])
    with file.open("wb") as stream:
        stream.write(_MAGIC + counts.tobytes())
        for column in (*large, *small):
            stream.write(column.tobytes())
    return counts[0] + counts[1]


def _columns(width: str, rows: Iterable[Range]) -> "tuple[array[int], array[int], array[int]]":
    first, last, number = array(width), array(width), array("I")
    for low, high, asn in rows:
        if len(first) >= _MAX_ROWS or (first and low < first[-1]) or high < low:
            raise ValueError("the ranges are not sorted, or too many")
        first.append(low)
        last.append(high)
        number.append(asn)
    return first, last, number
