"""Made-up addresses, so that callers from loopback come from many networks and countries.

240.0.0.0/4 is nobody's (RFC 1112, section 4): no such address can be mistaken for a person's.
Each `network` of a story is one /24.
"""

import ipaddress
from collections.abc import Sequence
from pathlib import Path

from heliograph_collector.ingest.geo.asn_table import Range, write_table
from heliograph_lab.simulate.script import Actor

FIRST = int(ipaddress.ip_address("240.0.0.0"))
MOST = 1 << 20  # /24s there are
HOSTS = 250  # of one /24; further agents come from the first again


def addresses(actors: Sequence[Actor]) -> dict[int, str]:
    """Actor's number → address. Raises ValueError when there are more networks than addresses."""
    found: dict[int, str] = {}
    inside: dict[int, int] = {}
    for block, actor in _blocks(actors):
        host = inside[block] = inside.get(block, 0) + 1
        value = FIRST + block * 256 + 1 + (host - 1) % HOSTS
        found[actor.number] = str(ipaddress.ip_address(value))
    return found


def write_tables(actors: Sequence[Actor], folder: Path) -> None:
    """`country.table` and `asn.table`, by which a collector places these addresses."""
    countries: list[Range] = []
    networks: list[Range] = []
    for block, actor in _blocks(actors):
        low = FIRST + block * 256
        if networks and networks[-1][1] > low:
            continue  # the same /24 again
        letters = int.from_bytes(actor.country.encode("ascii"), "big")
        _add(countries, low, letters)
        _add(networks, low, actor.asn)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_table(folder / "country.table", countries, [])
    write_table(folder / "asn.table", networks, [])


def _blocks(actors: Sequence[Actor]) -> list[tuple[int, Actor]]:
    """Which /24 each is in, in order: countries and networks lie together."""
    found: list[tuple[int, Actor]] = []
    block, before = -1, None
    for actor in sorted(actors, key=lambda a: (a.country, a.asn, a.network, a.number)):
        place = (actor.country, actor.asn, actor.network or actor.number)
        block, before = block + (place != before), place
        found.append((block, actor))
    if block >= MOST:
        raise ValueError(f"{block} networks are more than there are made-up addresses for")
    return found


def _add(ranges: list[Range], low: int, number: int) -> None:
    """Neighbours of one number become one range."""
    if ranges and ranges[-1][2] == number and ranges[-1][1] >= low - 1:
        ranges[-1] = (ranges[-1][0], low + 255, number)
    else:
        ranges.append((low, low + 255, number))
