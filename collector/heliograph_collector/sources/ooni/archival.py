"""Conversion of OONI's archival rows to observations, common to all tests.

Formats: df-001 (HTTP), df-002 (DNS), df-005 (TCP), df-006 (TLS), github.com/ooni/spec.
"""

import hashlib
import ipaddress
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from msgspec import UNSET, structs

from heliograph.address import FAKE_NETWORK
from heliograph.failure import Failure, Operation
from heliograph.host_name import encode_host
from heliograph.observation import (
    Certificate,
    Dns,
    DnsAnswer,
    DnsReply,
    Exchange,
    Http,
    Observation,
    Tcp,
    Tls,
    Udp,
)
from heliograph_collector.sources.ooni.document import (
    ConnectRow,
    HandshakeRow,
    HelperRow,
    QueryRow,
    RequestRow,
    Row,
    read_port,
)
from heliograph_collector.sources.ooni.http_facts import parse_reply

ENGINES = {"udp": "udp", "tcp": "tcp", "dot": "dot", "doh": "doh", "doh3": "doh"}  # else the system
ADDRESS_TYPES = {"A": ("A",), "AAAA": ("AAAA",)}  # that a query asks for, else both
MAX_CERTIFICATES = 10
CERTIFICATE_CACHE_SIZE = 1024  # chains of one service are the same for everybody; assumed
CACHE_SIZE = 4096  # names and addresses; measurements name the same ones again and again; assumed
UNKEPT_CERTIFICATE = Certificate(
    sha256="", spki_sha256="", subject="", issuer="", not_before_s=0, not_after_s=0
)


@dataclass(slots=True)
class Steps:
    """Collector of observations under a changing label; `add` returns the index."""

    label: str = ""
    observations: list[Observation] = field(default_factory=list)
    trusted: bool = True  # the probe has its own list of authorities, as OONI's has
    _system_lookups: dict[tuple[str, str], int] = field(default_factory=dict)  # by label, address
    _any_lookups: dict[tuple[str, str], int] = field(default_factory=dict)
    _indexed_count: int = 0  # observations that are in both indexes
    _indexed_list: list[Observation] | None = None

    def add(self, observation: Observation, parent: int | None = None) -> int:
        if observation.endpoint != self.label or observation.parent != parent:
            observation = replace(observation, endpoint=self.label, parent=parent)
        self.observations.append(observation)
        return len(self.observations) - 1

    def add_all(self, observations: Iterable[Observation]) -> None:
        for observation in observations:
            self.add(observation)

    def select_current(self) -> list[Observation]:
        """Return the observations under the present label."""
        return [x for x in self.observations if x.endpoint == self.label]

    def find_lookup(self, address: str) -> int | None:
        """Find the lookup that gave this address, the system's first."""
        if self._indexed_list is not self.observations or self._indexed_count > len(
            self.observations
        ):
            self._indexed_list = self.observations
            self._indexed_count = 0
            self._system_lookups = {}
            self._any_lookups = {}
        for index in range(self._indexed_count, len(self.observations)):
            self._remember(index)
        self._indexed_count = len(self.observations)
        key = (self.label, address)
        return self._system_lookups.get(key, self._any_lookups.get(key))

    def _remember(self, index: int) -> None:
        dns = self.observations[index].dns
        for address in dns.addresses if dns else ():
            key = (self.observations[index].endpoint, address)
            self._any_lookups.setdefault(key, index)
            if dns and dns.engine == "system":
                self._system_lookups.setdefault(key, index)


def build_step(
    operation: Operation,
    row: Row,
    failure_code: Failure | None,
    *,
    endpoint: str = "",
    parent: int | None = None,
    dns: Dns | None = None,
    tcp: Tcp | None = None,
    tls: Tls | None = None,
    http: Http | None = None,
) -> Observation:
    """Build an observation with the row's times, if it has any."""
    started_us = row.t if row.t0 is None else row.t0
    return Observation(
        operation=operation,
        started_us=started_us,
        duration_us=max(0, row.t - started_us),
        failure=failure_code,
        parent=parent,
        endpoint=endpoint,
        dns=dns,
        tcp=tcp,
        tls=tls,
        http=http,
    )


def presume_step(
    operation: Operation,
    failure_code: Failure | None = None,
    *,
    dns: Dns | None = None,
    tcp: Tcp | None = None,
    tls: Tls | None = None,
    http: Http | None = None,
    exchange: Exchange | None = None,
    udp: Udp | None = None,
) -> Observation:
    """Build a step that no row records, without times."""
    return Observation(
        operation=operation,
        started_us=0,
        duration_us=0,
        failure=failure_code,
        dns=dns,
        tcp=tcp,
        tls=tls,
        http=http,
        exchange=exchange,
        udp=udp,
    )


def presume_lookup(
    host: str,
    failure_code: Failure | None = None,
    addresses: Iterable[str] = (),
    record: str = "A",
) -> Observation:
    """Build a lookup by the system that no row records."""
    answers = tuple(DnsAnswer(type="AAAA" if ":" in a else "A", data=a) for a in addresses)
    dns = Dns(engine="system", resolver="", name=host, query_type=record, answers=answers)
    return presume_step(Operation.RESOLVE, failure_code, dns=dns)


def parse_queries(
    row: QueryRow, later: Sequence[QueryRow] = (), endpoint: str = ""
) -> list[Observation]:
    """Parse a DNS row; getaddrinfo gives two observations, for A and AAAA.

    `later` are rows of further replies to the same query.
    """
    kind = row.query_type.upper()
    answers = _parse_answers(row)
    if kind in ("A", "AAAA"):
        record_types = [kind]
    else:  # a query for AAAA is recorded by its answers only
        has_ipv6 = any(a.type == "AAAA" for a in answers)
        has_ipv4 = any(a.type == "A" for a in answers)
        record_types = ["A"] if has_ipv4 or row.failure or not has_ipv6 else []
        record_types += ["AAAA"] if has_ipv6 else []
    return [
        build_step(
            Operation.RESOLVE,
            row,
            row.failure,
            endpoint=endpoint,
            dns=_parse_dns(row, record, answers, later),
        )
        for record in record_types
    ]


def list_addresses(rows: Iterable[QueryRow]) -> set[str]:
    """List the addresses that the lookups gave."""
    return {
        answer.data
        for row in rows
        for answer in _parse_answers(row)
        if answer.type in ADDRESS_TYPES.get(row.query_type.upper(), ("A", "AAAA"))
    }


def _parse_dns(
    row: QueryRow, record: str, answers: Sequence[DnsAnswer], later: Sequence[QueryRow]
) -> Dns:
    engine = ENGINES.get(row.engine, "system")
    return Dns(
        engine=engine,
        resolver="" if engine == "system" else row.resolver_address or row.resolver_hostname,
        name=normalize_host(row.hostname),
        query_type=record,
        rcode=row.rcode,
        answers=tuple(a for a in answers if a.type in (record, "CNAME")),
        later=tuple(_parse_later_reply(reply_row, row) for reply_row in later),
    )


def _parse_later_reply(reply_row: QueryRow, row: QueryRow) -> DnsReply:
    is_denied = reply_row.failure is Failure.DNS_NXDOMAIN_ERROR
    return DnsReply(
        after_us=max(0, reply_row.t - (row.t0 or 0)),
        rcode=3 * is_denied if reply_row.rcode is None else reply_row.rcode,
        answers=_parse_answers(reply_row),
    )


def _parse_answers(row: QueryRow) -> tuple[DnsAnswer, ...]:
    answers = []
    for answer in row.answers:
        ttl_s = max(0, answer.ttl)
        for address in filter(is_address, (answer.ipv4, answer.ipv6)):
            kind = "AAAA" if ":" in address else "A"
            answers.append(DnsAnswer(type=kind, data=address, ttl_s=ttl_s))
        if answer.hostname:
            answers.append(DnsAnswer(type="CNAME", data=answer.hostname, ttl_s=ttl_s))
    return tuple(answers)


def parse_connect(row: ConnectRow, endpoint: str = "", parent: int | None = None) -> Observation:
    failure_code = row.status.failure
    if failure_code is None and row.status.success is False:
        failure_code = Failure.UNKNOWN_FAILURE
    if failure_code is Failure.EOF_ERROR:
        failure_code = Failure.CONNECTION_RESET  # the connection ended before it was established
    tcp = Tcp(address=row.ip, port=row.port)
    return build_step(
        Operation.CONNECT, row, failure_code, endpoint=endpoint, parent=parent, tcp=tcp
    )


def parse_handshake(row: HandshakeRow, *, trusted: bool) -> Observation:
    """Parse a TLS row.

    With `trusted`, an untrusted certificate counts as wrong even if it was not kept: OONI's probe
    brings its own list of authorities, so the vantage's is not at fault. Its clock still may be.
    """
    chain = parse_certificates(row)
    is_untrusted = row.failure in (Failure.SSL_UNKNOWN_AUTHORITY, Failure.SSL_INVALID_HOSTNAME)
    if not chain and trusted and is_untrusted:
        chain = (UNKEPT_CERTIFICATE,)
    tls = Tls(
        server_name=normalize_host(row.server_name),
        version=row.tls_version,
        cipher=row.cipher_suite,
        alpn=row.negotiated_protocol,
        chain=chain,
        outer_name=row.outer_server_name,
    )
    # a certificate that was not verified shows nothing
    is_unverified = row.no_tls_verify is True and row.failure is None
    failure_code = Failure.UNKNOWN_FAILURE if is_unverified else row.failure
    return build_step(Operation.TLS_HANDSHAKE, row, failure_code, tls=tls)


def parse_certificates(row: HandshakeRow | HelperRow) -> tuple[Certificate, ...]:
    if row.x_peer_certificates:
        return tuple(Certificate(**structs.asdict(c)) for c in row.x_peer_certificates)
    parsed = map(parse_certificate, row.peer_certificates[:MAX_CERTIFICATES])
    return tuple(certificate for certificate in parsed if certificate is not None)


@lru_cache(CERTIFICATE_CACHE_SIZE)
def parse_certificate(der: bytes) -> Certificate | None:
    """Parse a DER certificate, None if invalid; hide the parser's warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _parse_der(der)


def _parse_der(der: bytes) -> Certificate | None:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    try:
        parsed = x509.load_der_x509_certificate(der)
        key = parsed.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        subject = parsed.subject.rfc4514_string()
        issuer = parsed.issuer.rfc4514_string()
        begins = parsed.not_valid_before_utc
        ends = parsed.not_valid_after_utc
    except Exception:  # noqa: BLE001 - a parser of hostile bytes: whatever it says, it is no certificate
        return None
    return Certificate(
        sha256=hashlib.sha256(der).hexdigest(),
        spki_sha256=hashlib.sha256(key).hexdigest(),
        subject=subject[:1024],
        issuer=issuer[:1024],
        not_before_s=int(begins.timestamp()),
        not_after_s=int(ends.timestamp()),
    )


def parse_page(row: RequestRow, url: str) -> list[Observation]:
    """Parse an HTTP row to a round trip and, after a reply, the body."""
    failure_code = row.failure or None
    http = parse_reply(row, url)
    if not http.status:
        if row.failure is UNSET:  # neither a reply nor a failure
            failure_code = Failure.UNKNOWN_FAILURE
        unanswered = Http(method=http.method, url=url)
        return [build_step(Operation.HTTP_ROUND_TRIP, row, failure_code, http=unanswered)]
    round_trip = build_step(Operation.HTTP_ROUND_TRIP, row, None, http=replace(http, body_bytes=0))
    if failure_code in (Failure.UNKNOWN_FAILURE, Failure.HTTP_INVALID_REDIRECT_LOCATION_HOST):
        failure_code = None  # it refers to the redirect that follows and not to this page
    return [round_trip, build_step(Operation.READ_BODY, row, failure_code, http=http)]


def split_endpoint(endpoint: str) -> tuple[str, int]:
    """Split `1.2.3.4:443` or `[::1]:443`; return ("", 0) for anything else."""
    address, _, port = endpoint.rpartition(":")
    address = address.strip("[]")
    return (address, read_port(port)) if is_address(address) else ("", 0)


@lru_cache(CACHE_SIZE)
def is_address(value: str) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True


@lru_cache(CACHE_SIZE)
def is_public(value: str) -> bool:
    """Return whether a public host, or a local proxy, can have this address."""
    address = ipaddress.ip_address(value)
    return address.is_global or (address.version == 4 and address in FAKE_NETWORK)


@lru_cache(CACHE_SIZE)
def normalize_host(name: str) -> str:
    """Convert a host name to lower case and to its IDNA form."""
    name = name.strip().rstrip(".").lower()
    return name if name.isascii() else encode_host(name) or name
