"""Made-up addresses, which give agents on loopback many networks and countries.

240.0.0.0/4 is reserved (RFC 1112, section 4), so no such address belongs to a person.
Each `network` of a script is one /24.
"""

import ipaddress
from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path

from heliograph_collector.ingest.geo.asn_table import AsnRange, write_table
from heliograph_lab.simulate.script import Actor

FIRST_ADDRESS = int(ipaddress.ip_address("240.0.0.0"))
MAX_BLOCKS = 1 << 20  # number of /24s
HOSTS_PER_BLOCK = 250  # addresses of one /24; more agents reuse them


def assign_addresses(actors: Sequence[Actor]) -> dict[int, str]:
    """Map each actor's number to an address. Raises ValueError on too many networks."""
    addresses_by_actor: dict[int, str] = {}
    inside: dict[int, int] = {}
    for block, actor in _assign_blocks(actors):
        host = inside[block] = inside.get(block, 0) + 1
        value = FIRST_ADDRESS + block * 256 + 1 + (host - 1) % HOSTS_PER_BLOCK
        addresses_by_actor[actor.number] = str(ipaddress.ip_address(value))
    return addresses_by_actor


def write_tables(actors: Sequence[Actor], folder: Path) -> None:
    """Write `country.table` and `asn.table` of these addresses for a collector."""
    countries: list[AsnRange] = []
    networks: list[AsnRange] = []
    for block, actor in _assign_blocks(actors):
        low = FIRST_ADDRESS + block * 256
        if networks and networks[-1][1] > low:
            continue  # the same /24 again
        letters = int.from_bytes(actor.country.encode("ascii"), "big")
        _add_range(countries, low, letters)
        _add_range(networks, low, actor.asn)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_table(folder / "country.table", countries, [])
    write_table(folder / "asn.table", networks, [])


def _assign_blocks(actors: Sequence[Actor]) -> list[tuple[int, Actor]]:
    """Assign each actor a /24, in order of country and network."""
    blocks: list[tuple[int, Actor]] = []
    block = -1
    previous_key = None
    for actor in sorted(actors, key=attrgetter("country", "asn", "network", "number")):
        network_key = (actor.country, actor.asn, actor.network or actor.number)
        block = block + (network_key != previous_key)
        previous_key = network_key
        blocks.append((block, actor))
    if block >= MAX_BLOCKS:
        raise ValueError(f"{block} networks are more than there are made-up addresses for")
    return blocks


def _add_range(ranges: list[AsnRange], low: int, number: int) -> None:
    """Append a /24, merged with an adjacent range of the same number."""
    if ranges and ranges[-1][2] == number and ranges[-1][1] >= low - 1:
        ranges[-1] = (ranges[-1][0], low + 255, number)
    else:
        ranges.append((low, low + 255, number))
