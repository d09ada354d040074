"""Conversion of OONI's archival rows to observations, common to all tests.

Formats: df-001 (HTTP), df-002 (DNS), df-005 (TCP), df-006 (TLS), github.com/ooni/spec.
"""

import hashlib
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from heliograph.failure import Failure, Operation
from heliograph.observation import (
    Certificate,
    Dns,
    DnsAnswer,
    DnsReply,
    Http,
    Observation,
    Tcp,
    Tls,
)
from heliograph_collector.sources.ooni.failures import parse_failure
from heliograph_collector.sources.ooni.http_facts import parse_reply
from heliograph_collector.sources.ooni.values import (
    Json,
    as_bytes,
    as_integer,
    as_microseconds,
    as_object,
    as_rows,
    as_text,
)

ENGINES = {"udp": "udp", "tcp": "tcp", "dot": "dot", "doh": "doh", "doh3": "doh"}  # else the system
OWN_PROXY = ipaddress.ip_network("198.18.0.0/15")  # RFC 2544; local proxies use it
MAX_CERTIFICATES = 10
MAX_ANSWERS = 64  # per lookup
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
        self.observations.append(replace(observation, endpoint=self.label, parent=parent))
        return len(self.observations) - 1

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


def build_step(operation: Operation, row: Json, failure_code: Failure | None) -> Observation:
    """Build an observation with the row's times, if it has any."""
    started = as_microseconds(row.get("t0"))
    ended = as_microseconds(row.get("t"))
    return Observation(
        operation=operation,
        started_us=started if row.get("t0") is not None else ended,
        duration_us=max(0, ended - started) if row.get("t0") is not None else 0,
        failure=failure_code,
    )


def parse_queries(row: Json, later: Sequence[Json] = ()) -> list[Observation]:
    """Parse a DNS row; getaddrinfo gives two observations, for A and AAAA.

    `later` are rows of further replies to the same query.
    """
    failure_code = parse_failure(row.get("failure"))
    kind = as_text(row.get("query_type"), 16).upper()
    answers = _parse_answers(row)
    record_types = {"A": ("A",), "AAAA": ("AAAA",)}.get(kind, ("A", "AAAA"))
    observations = []
    for record in record_types:
        record_answers = tuple(a for a in answers if a.type in (record, "CNAME"))
        has_record = any(a.type == record for a in record_answers)
        if len(record_types) == 2 and record == "AAAA" and not has_record:
            continue  # the query for AAAA is not recorded
        if (
            len(record_types) == 2
            and not has_record
            and failure_code is None
            and any(a.type == "AAAA" for a in answers)
        ):
            continue
        observations.append(
            replace(
                build_step(Operation.RESOLVE, row, failure_code),
                dns=_parse_dns(row, record, record_answers, later),
            )
        )
    return observations


def _parse_dns(
    row: Json, record: str, answers: tuple[DnsAnswer, ...], later: Sequence[Json]
) -> Dns:
    engine = ENGINES.get(as_text(row.get("engine"), 32), "system")
    rcode = row.get("rcode")
    return Dns(
        engine=engine,
        resolver="" if engine == "system" else as_text(row.get("resolver_address"), 256),
        name=normalize_host(as_text(row.get("hostname"), 256)),
        query_type=record,
        rcode=as_integer(rcode) if isinstance(rcode, int) else None,
        answers=answers,
        later=tuple(_parse_later_reply(reply_row, row) for reply_row in later),
    )


def _parse_later_reply(reply_row: Json, row: Json) -> DnsReply:
    gap = as_microseconds(reply_row.get("t")) - as_microseconds(row.get("t0"))
    denied = parse_failure(reply_row.get("failure")) is Failure.DNS_NXDOMAIN_ERROR
    return DnsReply(
        after_us=max(0, gap),
        rcode=as_integer(reply_row.get("rcode"), 3 * denied),
        answers=_parse_answers(reply_row),
    )


def _parse_answers(row: Json) -> tuple[DnsAnswer, ...]:
    answers = []
    for answer in as_rows(row.get("answers"))[:MAX_ANSWERS]:
        for key, record in (("ipv4", "A"), ("ipv6", "AAAA"), ("hostname", "CNAME")):
            data = as_text(answer.get(key), 256)
            if data and (record == "CNAME" or is_address(data)):
                kind = record if record == "CNAME" else ("AAAA" if ":" in data else "A")
                answers.append(
                    DnsAnswer(type=kind, data=data, ttl_s=max(0, as_integer(answer.get("ttl"))))
                )
    return tuple(answers)


def parse_connect(row: Json) -> Observation:
    status = as_object(row.get("status"))
    failure_code = parse_failure(status.get("failure"))
    if failure_code is None and status.get("success") is False:
        failure_code = Failure.UNKNOWN_FAILURE
    if failure_code is Failure.EOF_ERROR:
        failure_code = Failure.CONNECTION_RESET  # the connection ended before it was established
    tcp = Tcp(address=as_text(row.get("ip"), 64), port=_parse_port(row.get("port")))
    return replace(build_step(Operation.CONNECT, row, failure_code), tcp=tcp)


def parse_handshake(row: Json, *, trusted: bool) -> Observation:
    """Parse a TLS row.

    With `trusted`, an untrusted certificate counts as wrong even if it was not kept: OONI's probe
    brings its own list of authorities, so the vantage's is not at fault. Its clock still may be.
    """
    failure_code = parse_failure(row.get("failure"))
    chain = parse_certificates(row)
    if (
        not chain
        and trusted
        and failure_code in (Failure.SSL_UNKNOWN_AUTHORITY, Failure.SSL_INVALID_HOSTNAME)
    ):
        chain = (UNKEPT_CERTIFICATE,)
    tls = Tls(
        server_name=normalize_host(as_text(row.get("server_name"), 256)),
        version=as_text(row.get("tls_version"), 32),
        cipher=as_text(row.get("cipher_suite"), 64),
        alpn=as_text(row.get("negotiated_protocol"), 32),
        chain=chain,
        outer_name=as_text(row.get("outer_server_name"), 256),
    )
    return replace(build_step(Operation.TLS_HANDSHAKE, row, failure_code), tls=tls)


def parse_certificates(row: Json) -> tuple[Certificate, ...]:
    if row.get("x_peer_certificates"):
        return tuple(map(_parse_named_certificate, as_rows(row.get("x_peer_certificates"))))
    raw_chain = row.get("peer_certificates")
    encoded_chain = raw_chain[:MAX_CERTIFICATES] if isinstance(raw_chain, list) else []
    return tuple(
        c
        for der in map(as_bytes, encoded_chain)
        if der and (c := parse_certificate(der)) is not None
    )


def _parse_named_certificate(row: Json) -> Certificate:
    """Parse a certificate as our own export writes it."""
    return Certificate(
        sha256=as_text(row.get("sha256"), 64),
        spki_sha256=as_text(row.get("spki_sha256"), 64),
        subject=as_text(row.get("subject"), 1024),
        issuer=as_text(row.get("issuer"), 1024),
        not_before_s=as_integer(row.get("not_before_s")),
        not_after_s=as_integer(row.get("not_after_s")),
    )


def parse_certificate(der: bytes) -> Certificate | None:
    """Parse a DER certificate, None if invalid."""
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


def parse_page(row: Json, url: str) -> list[Observation]:
    """Parse an HTTP row to a round trip and, after a reply, the body."""
    failure_code = parse_failure(row.get("failure"))
    http = parse_reply(as_object(row.get("request")), as_object(row.get("response")), url)
    if not http.status:
        blank = Http(method=http.method, url=url)
        return [
            replace(
                build_step(
                    Operation.HTTP_ROUND_TRIP, row, failure_code or _find_missing_failure(row)
                ),
                http=blank,
            )
        ]
    round_trip = replace(
        build_step(Operation.HTTP_ROUND_TRIP, row, None), http=replace(http, body_bytes=0)
    )
    if failure_code in (Failure.UNKNOWN_FAILURE, Failure.HTTP_INVALID_REDIRECT_LOCATION_HOST):
        failure_code = None  # it refers to the redirect that follows and not to this page
    return [round_trip, replace(build_step(Operation.READ_BODY, row, failure_code), http=http)]


def _find_missing_failure(row: Json) -> Failure | None:
    """Return UNKNOWN_FAILURE for a row with neither a reply nor a failure."""
    return None if "failure" in row else Failure.UNKNOWN_FAILURE


def build_tcp(row: Json, port: int) -> Tcp:
    """Build the TCP endpoint of the row's address and this port."""
    return Tcp(address=as_text(row.get("ip"), 64), port=port)


def split_endpoint(endpoint: object) -> tuple[str, int]:
    """Split `1.2.3.4:443` or `[::1]:443`; return ("", 0) for anything else."""
    address, _, port = as_text(endpoint, 128).rpartition(":")
    address = address.strip("[]")
    return (address, _parse_port(port)) if is_address(address) else ("", 0)


def is_address(value: str) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True


def is_public(value: str) -> bool:
    """Return whether a public host, or a local proxy, can have this address."""
    address = ipaddress.ip_address(value)
    return address.is_global or (address.version == 4 and address in OWN_PROXY)


def normalize_host(name: str) -> str:
    """Convert a host name to lower case and to its IDNA form."""
    name = name.strip().rstrip(".").lower()
    if name.isascii():
        return name
    try:
        return name.encode("idna").decode("ascii")
    except UnicodeError:
        return name


def _parse_port(value: object) -> int:
    number = (
        int(value) if isinstance(value, str) and value.isdecimal() and len(value) < 6 else value
    )
    port = as_integer(number)
    return port if 0 < port < 65536 else 0
