"""Table from addresses to autonomous systems: sorted ranges in one mapped file.

Layout: magic, two counts, then three columns each for IPv6 and IPv4: first address, last address,
number. IPv6 addresses are cut to their upper half, because no network announces less than a /64.
"""

import ipaddress
import mmap
from array import array
from bisect import bisect_right
from collections.abc import Iterable
from pathlib import Path

_MAGIC = b"heliograph asn 1"
_HEADER_BYTES = len(_MAGIC) + 16
_MAX_ROWS = 4_000_000

AsnRange = tuple[int, int, int]  # first, last, number


class AsnTable:
    """Reader of a file that `write_table` made."""

    def __init__(self, file: Path) -> None:
        with file.open("rb") as stream:
            self._map = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        if self._map[: len(_MAGIC)] != _MAGIC:
            raise ValueError(f"{file} is not an ASN table; install it again")
        ipv4_count, ipv6_count = (memoryview(self._map)[len(_MAGIC) : _HEADER_BYTES]).cast("Q")
        body = memoryview(self._map)[_HEADER_BYTES:]
        self._ipv6_columns = (
            body[: ipv6_count * 8].cast("Q"),
            body[ipv6_count * 8 : ipv6_count * 16].cast("Q"),
            body[ipv6_count * 16 : ipv6_count * 20].cast("I"),
        )
        ipv4_body = body[ipv6_count * 20 :]
        self._ipv4_columns = (
            ipv4_body[: ipv4_count * 4].cast("I"),
            ipv4_body[ipv4_count * 4 : ipv4_count * 8].cast("I"),
            ipv4_body[ipv4_count * 8 : ipv4_count * 12].cast("I"),
        )

    def get(self, ip_address: str) -> int:
        """Return the AS number of an address, 0 when nobody announces it."""
        address = ipaddress.ip_address(ip_address)
        value = int(address) if address.version == 4 else int(address) >> 64
        first, last, number = self._ipv4_columns if address.version == 4 else self._ipv6_columns
        index = bisect_right(first, value) - 1
        return number[index] if index >= 0 and value <= last[index] else 0


def write_table(file: Path, ipv4: Iterable[AsnRange], ipv6: Iterable[AsnRange]) -> int:
    """Write a table and return its number of ranges. Raises ValueError if not sorted."""
    ipv4_columns = _build_columns("I", ipv4)
    ipv6_columns = _build_columns("Q", ((a >> 64, b >> 64, n) for a, b, n in ipv6))
    counts = array("Q", [len(ipv4_columns[0]), len(ipv6_columns[0])])
    with file.open("wb") as stream:
        stream.write(_MAGIC + counts.tobytes())
        for column in (*ipv6_columns, *ipv4_columns):
            stream.write(column.tobytes())
    return counts[0] + counts[1]


def _build_columns(
    typecode: str, rows: Iterable[AsnRange]
) -> "tuple[array[int], array[int], array[int]]":
    first = array(typecode)
    last = array(typecode)
    number = array("I")
    for low, high, asn in rows:
        if len(first) >= _MAX_ROWS or (first and low < first[-1]) or high < low:
            raise ValueError("the ranges are not sorted, or too many")
        first.append(low)
        last.append(high)
        number.append(asn)
    return first, last, number
