"""A peer's address → country, network, hash of its prefix. The address itself goes no further."""

import hashlib
import hmac
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote

from heliograph_collector.ingest.geo.asn_table import AsnTable

DAY_US = 86_400_000_000
MAX_HOPS = 16

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Place:
    """All that is kept of where somebody called from."""

    country: str = "ZZ"
    asn: int = 0
    prefix: str = ""  # keyed hash of the /24 or /48; the key changes every day


NOWHERE = Place()


class _Table(Protocol):
    def get(self, ip_address: str) -> object: ...


class GeoError(Exception):
    """A database that is there and cannot be read; the text is a sentence."""


class Geo:
    """`country` and `asn` are database files; a missing one answers ZZ or 0. What a proxy in
    `trusted` says of where a caller came from is believed, and nobody else."""

    def __init__(
        self, country: Path, asn: Path, secret: bytes, trusted: Sequence[Network] = ()
    ) -> None:
        self._country = _open(country)
        self._asn = _open(asn)
        self._secret = secret
        self._trusted = trusted

    @property
    def missing(self) -> list[str]:
        """Which of the two answer nothing."""
        tables = (("country", self._country), ("asn", self._asn))
        return [name for name, table in tables if table is None]

    def locate(self, way: str, now_us: int) -> Place:
        """`way` is as `origin` takes it; without proxies the peer alone."""
        address = origin(way, self._trusted)
        if address is None:
            return NOWHERE
        text = str(address)
        return Place(
            country=_country_of(None if self._country is None else self._country.get(text)),
            asn=_asn_of(None if self._asn is None else self._asn.get(text)),
            prefix=self._prefix(address, now_us),
        )

    def _prefix(self, address: Address, now_us: int) -> str:
        network = ipaddress.ip_network((address, 24 if address.version == 4 else 48), strict=False)
        day = hmac.digest(self._secret, b"prefix day %d" % (now_us // DAY_US), hashlib.sha256)
        return hmac.digest(day, network.network_address.packed, hashlib.sha256)[:8].hex()


def origin(way: str, trusted: Sequence[Network]) -> Address | None:
    """The last address of `way` that is not one of our own proxies.

    `way` is what `X-Forwarded-For` says, then a comma and the peer itself. Whatever stands left of
    the first stranger, anybody could have written. None when a hop of ours names no address.
    """
    found = None
    for hop in reversed(way.rsplit(",", MAX_HOPS)):
        found = peer_address(hop.strip())
        if found is None or not any(found in network for network in trusted):
            return found
    return found


def peer_address(peer: str) -> Address | None:
    """Of gRPC's `ipv4:a:p` and `ipv6:[a]:p`, or a bare address. None for a Unix socket or anything
    else that names no host."""
    text = unquote(peer)
    if text.startswith(("ipv4:", "ipv6:")):
        text = text[5:].rpartition(":")[0]
    try:
        address = ipaddress.ip_address(text.strip("[]").partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _open(file: Path) -> _Table | None:
    """An mmdb file, or the table that `geo install` makes where `file` would be."""
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


def _country_of(found: object) -> str:
    """`country_code`, or the nested shape of the other usual makers; in a table the two letters."""
    if isinstance(found, int):
        found = {"country": found.to_bytes(4, "big")[2:].decode("ascii", "replace")}
    if not isinstance(found, dict):
        return "ZZ"
    code = found.get("country_code") or found.get("country")
    if isinstance(code, dict):
        code = code.get("iso_code")
    return code if isinstance(code, str) and len(code) == 2 and code.isupper() else "ZZ"


def _asn_of(found: object) -> int:
    if isinstance(found, dict):
        found = found.get("autonomous_system_number") or found.get("asn")
    if isinstance(found, str):
        found = found.removeprefix("AS")
        found = int(found) if found.isascii() and found.isdigit() else 0
    return found if isinstance(found, int) and 0 <= found < 2**32 else 0
