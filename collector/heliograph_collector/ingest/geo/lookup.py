"""Lookup from a peer's address to country, network and prefix hash.

The address itself is not passed on.
"""

import hashlib
import hmac
import ipaddress
import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote

from heliograph.network_shares import NetworkKey
from heliograph.units import DAY_US
from heliograph_collector.ingest.geo.asn_table import AsnTable
from heliograph_collector.model.line_names import LineKey

log = logging.getLogger("heliograph")

MAX_HOPS = 16

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class PeerLocation:
    """All that is kept of a peer's address."""

    country: str = "ZZ"
    asn: int = 0
    prefix: str = ""  # name of the line for the day of the lookup (`model.line_names`)
    networks: tuple[NetworkKey, ...] = ()  # narrowest first; never stored, for shares in memory
    line: LineKey | None = field(default=None, repr=False, compare=False)

    def name_days(self, days: Iterable[int]) -> str:
        """Name the line for each of these days, separated by spaces.

        The days of an upload are few.
        """
        if self.line is None:
            return self.prefix
        return " ".join(self.line.name_day(day) for day in sorted(set(days)))


UNKNOWN_LOCATION = PeerLocation()


class _GeoTable(Protocol):
    def get(self, ip_address: str) -> object: ...


class GeoError(Exception):
    """Error for an unreadable database; the message is a sentence."""


class GeoLookup:
    """Locate peers by country and ASN tables; a missing one answers ZZ or 0.

    Only proxies in `trusted_proxies` are believed about the origin of a request.
    """

    def __init__(
        self,
        country_file: Path,
        asn_file: Path,
        secret: bytes,
        trusted_proxies: Sequence[Network] = (),
    ) -> None:
        self._country_table = _open_table(country_file)
        self._asn_table = _open_table(asn_file)
        self._secret = secret
        self._trusted_proxies = trusted_proxies
        # Of names in memory: a place may be held over midnight, when the day's key changes.
        self._process_key = os.urandom(32)

    @property
    def missing_tables(self) -> list[str]:
        """Return the names of missing tables."""
        tables = (("country", self._country_table), ("asn", self._asn_table))
        return [name for name, table in tables if table is None]

    def report_missing_tables(self) -> None:
        """Log which tables are missing, and what that means."""
        missing_tables = self.missing_tables
        if missing_tables:
            log.info(
                "No %s table: %s unknown unless volunteers declare it (`geo install` adds tables).",
                " and no ".join(missing_tables),
                "places are" if len(missing_tables) > 1 else "that is",
            )

    def find_origin(self, address_chain: str) -> Address | None:
        """Find the last address of the chain that is not one of our own proxies."""
        return find_origin(address_chain, self._trusted_proxies)

    def locate(self, address_chain: str, now_us: int) -> PeerLocation:
        """Locate the origin of `address_chain`; without proxies that is the peer alone."""
        address = self.find_origin(address_chain)
        if address is None:
            return UNKNOWN_LOCATION
        ip_address = str(address)
        asn = _parse_asn(None if self._asn_table is None else self._asn_table.get(ip_address))
        line = LineKey.from_network(self._secret, _find_network(address).network_address.packed)
        return PeerLocation(
            country=_parse_country(
                None if self._country_table is None else self._country_table.get(ip_address)
            ),
            asn=asn,
            prefix=line.name_day(now_us // DAY_US),
            networks=_name_networks(address, asn, self._process_key),
            line=line,
        )

    def list_networks(self, address: Address) -> tuple[NetworkKey, ...]:
        """List the networks whose share of places a peer uses; a trusted proxy uses none."""
        if any(address in network for network in self._trusted_proxies):
            return ()
        return _name_networks(address, self.find_asn(str(address)), self._process_key)

    def find_asn(self, literal: str) -> int:
        """Return the AS that announces an address, 0 when unknown."""
        return _parse_asn(None if self._asn_table is None else self._asn_table.get(literal))

    def list_past_networks(
        self, address_chain: str, now_us: int, days: int
    ) -> list[tuple[NetworkKey, ...]]:
        """Name the networks of the origin as on each of the last days, today first.

        The names of a day are keyed hashes, and may be stored.
        """
        address = self.find_origin(address_chain)
        if address is None:
            return []
        asn = self.locate(address_chain, now_us).asn
        today = now_us // DAY_US
        return [_name_networks(address, asn, self._day_key(today - n)) for n in range(days)]

    def _day_key(self, day: int) -> bytes:
        return hmac.digest(self._secret, b"prefix day %d" % day, hashlib.sha256)


def _name_networks(address: Address, asn: int, key: bytes) -> tuple[NetworkKey, ...]:
    """Name the networks around an address, the narrowest first; an unknown AS is none."""
    networks = [_find_network(address)]
    if address.version == 6:
        networks.append(networks[0].supernet(new_prefix=32))
    names = [NetworkKey(str(n.prefixlen), _hash_network(n, key)) for n in networks]
    return (*names, NetworkKey("asn", str(asn))) if asn else tuple(names)


def _find_network(address: Address) -> Network:
    """Return the /24 or /48 around an address, which counts as one line."""
    return ipaddress.ip_network((address, 24 if address.version == 4 else 48), strict=False)


def _hash_network(network: Network, key: bytes) -> str:
    return hmac.digest(key, network.network_address.packed, hashlib.sha256)[:8].hex()


def find_origin(address_chain: str, trusted_proxies: Sequence[Network]) -> Address | None:
    """Find the last address of the chain that is not one of our own proxies.

    `address_chain` is the value of `X-Forwarded-For`, a comma and the peer. Addresses left of the
    first untrusted one may be forged. None means that the deciding hop is no address.
    """
    address = None
    for hop in reversed(address_chain.rsplit(",", MAX_HOPS)):
        address = parse_peer(hop.strip())
        if address is None or not any(address in network for network in trusted_proxies):
            return address
    return address


def parse_peer(peer: str) -> Address | None:
    """Parse gRPC's `ipv4:a:p` and `ipv6:[a]:p`, or a bare address.

    Return None for a Unix socket or anything else without an address.
    """
    host = unquote(peer)
    if host.startswith(("ipv4:", "ipv6:")):
        host = host[5:].rpartition(":")[0]
    try:
        address = ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _open_table(file: Path) -> _GeoTable | None:
    """Open an mmdb file, or the table that `geo install` writes beside it."""
    import maxminddb

    table = file.with_suffix(".table")
    try:
        if file.exists() and file != table:
            return maxminddb.open_database(file, maxminddb.MODE_MMAP)
        return AsnTable(table) if table.exists() else None
    except (OSError, ValueError, maxminddb.InvalidDatabaseError) as error:
        raise GeoError(
            f"{file} is no geo database: install it again with `geo install`."
        ) from error


def _parse_country(entry: object) -> str:
    """Parse `country_code`, `country.iso_code`, or the two letters of an own table."""
    if isinstance(entry, int):
        entry = {"country": entry.to_bytes(4, "big")[2:].decode("ascii", "replace")}
    if not isinstance(entry, dict):
        return "ZZ"
    code = entry.get("country_code") or entry.get("country")
    if isinstance(code, dict):
        code = code.get("iso_code")
    return code if isinstance(code, str) and len(code) == 2 and code.isupper() else "ZZ"


def _parse_asn(entry: object) -> int:
    if isinstance(entry, dict):
        entry = entry.get("autonomous_system_number") or entry.get("asn")
    if isinstance(entry, str):
        entry = entry.removeprefix("AS")
        entry = int(entry) if entry.isascii() and entry.isdigit() else 0
    return entry if isinstance(entry, int) and 0 <= entry < 2**32 else 0
