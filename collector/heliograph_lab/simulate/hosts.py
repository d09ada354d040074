"""Simulated hosts, each derived from the SHA-256 of its name. Pure.

Sizes and variety are like those of real hosts. Addresses are in the networks of example.com,
because the judge treats addresses reserved for documentation as forged.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from heliograph.observation import Certificate, DnsAnswer

_CACHE_SIZE = 4_096
_SINGLE_IPV4 = 150  # of 256 names have one IPv4 address, the others two
_WITH_IPV6 = 130  # of 256 names have an IPv6 address
_SINGLE_INTERMEDIATE = 90  # of 256 servers send one intermediate, the others two
_ISSUERS = (
    "CN=R11,O=Let's Encrypt,C=US",
    "CN=WE1,O=Google Trust Services,C=US",
    "CN=DigiCert Global G2 TLS RSA SHA256 2020 CA1,O=DigiCert Inc,C=US",
    "CN=GeoTrust TLS RSA CA G1,OU=www.digicert.com,O=DigiCert Inc,C=US",
)
_ROOT = "CN=DigiCert Global Root G2,OU=www.digicert.com,O=DigiCert Inc,C=US"
_SERVERS = ("nginx", "cloudflare", "gws", "openresty", "Apache/2.4.62 (Debian)")
_HEADERS = (
    "accept-ranges",
    "age",
    "alt-svc",
    "cache-control",
    "content-length",
    "content-security-policy",
    "content-type",
    "cross-origin-opener-policy",
    "date",
    "etag",
    "expires",
    "last-modified",
    "referrer-policy",
    "server",
    "set-cookie",
    "strict-transport-security",
    "vary",
    "x-content-type-options",
    "x-frame-options",
    "x-xss-protection",
)
_OLDEST_START_S = 1_735_689_600  # not_before of the oldest certificates
_QUARTER_S = 90 * 86_400


@dataclass(frozen=True, slots=True)
class SimulatedHost:
    """The addresses of a name and the server behind them."""

    ipv4: tuple[str, ...]
    ipv6: tuple[str, ...]
    chain: tuple[Certificate, ...]  # leaf first
    server: str
    header_names: tuple[str, ...]
    page_bytes: int
    page_sha256: str

    def build_answers(self, query_type: str, ttl_s: int) -> tuple[DnsAnswer, ...]:
        """Build the answers of a lookup, empty without an address of that family."""
        addresses = self.ipv6 if query_type == "AAAA" else self.ipv4
        return tuple(DnsAnswer(type=query_type, data=data, ttl_s=ttl_s) for data in addresses)


@lru_cache(_CACHE_SIZE)
def derive_host(name: str) -> SimulatedHost:
    """Derive the host of a name; equal names give equal hosts."""
    digest = hashlib.sha256(name.encode()).digest()
    page_digest = hashlib.sha256(digest)
    return SimulatedHost(
        ipv4=tuple(_derive_ipv4(digest[2:], 1 if digest[0] < _SINGLE_IPV4 else 2)),
        ipv6=tuple(_derive_ipv6(digest[8:], 1 if digest[1] < _WITH_IPV6 else 0)),
        chain=tuple(_derive_chain(name, digest)),
        server=_SERVERS[digest[12] % len(_SERVERS)],
        header_names=tuple(sorted(_derive_header_names(digest))),
        page_bytes=8_000 + 512 * digest[13],
        page_sha256=page_digest.hexdigest(),
    )


def _derive_ipv4(digest: bytes, count: int) -> Iterator[str]:
    for number in range(count):
        yield f"93.184.{208 + digest[2 * number] % 16}.{1 + digest[2 * number + 1] % 254}"


def _derive_ipv6(digest: bytes, count: int) -> Iterator[str]:
    for number in range(count):
        yield f"2606:2800:21f:cb07::{digest[2 * number]:x}:{1 + digest[2 * number + 1]:x}"


def _derive_chain(name: str, digest: bytes) -> Iterator[Certificate]:
    issuer = _ISSUERS[digest[14] % len(_ISSUERS)]
    not_before_s = _OLDEST_START_S + digest[15] % 4 * _QUARTER_S
    yield _build_certificate(name, f"CN={name}", issuer, not_before_s, 4 * _QUARTER_S)
    yield _build_certificate(issuer, issuer, _ROOT, _OLDEST_START_S, 20 * _QUARTER_S)
    if digest[16] >= _SINGLE_INTERMEDIATE:
        yield _build_certificate(_ROOT, _ROOT, _ROOT, _OLDEST_START_S, 80 * _QUARTER_S)


def _build_certificate(
    key: str, subject: str, issuer: str, not_before_s: int, lifetime_s: int
) -> Certificate:
    return Certificate(
        sha256=hashlib.sha256(f"certificate {key}".encode()).hexdigest(),
        spki_sha256=hashlib.sha256(f"key {key}".encode()).hexdigest(),
        subject=subject,
        issuer=issuer,
        not_before_s=not_before_s,
        not_after_s=not_before_s + lifetime_s,
    )


def _derive_header_names(digest: bytes) -> Iterator[str]:
    """Yield the headers of every reply and two thirds of the others."""
    for number, name in enumerate(_HEADERS):
        if name in ("content-type", "date", "server") or digest[(17 + number) % 32] < 170:
            yield name
