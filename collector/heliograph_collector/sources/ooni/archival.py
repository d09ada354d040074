"""OONI's archival rows as our observations: what every test's keys have in common.

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
from heliograph_collector.sources.ooni.failures import failure
from heliograph_collector.sources.ooni.http_facts import reply
from heliograph_collector.sources.ooni.values import (
    Json,
    binary,
    microseconds,
    obj,
    rows,
    text,
    whole,
)

ENGINES = {"udp": "udp", "tcp": "tcp", "dot": "dot", "doh": "doh", "doh3": "doh"}  # else the system
OWN_PROXY = ipaddress.ip_network("198.18.0.0/15")  # where local proxies invent addresses
MOST_CERTIFICATES = 10
MOST_ANSWERS = 64  # of one lookup
UNKEPT = Certificate(
    sha256="", spki_sha256="", subject="", issuer="", not_before_s=0, not_after_s=0
)


@dataclass(slots=True)
class Steps:
    """Collects observations under one label after another; `add` gives the index."""

    label: str = ""
    made: list[Observation] = field(default_factory=list)
    trusted: bool = True  # the probe brings its own list of authorities, as OONI's does
    _own: dict[tuple[str, str], int] = field(default_factory=dict)  # who gave an address
    _any: dict[tuple[str, str], int] = field(default_factory=dict)
    _read: int = 0  # so many of `made` are in the two
    _read_of: list[Observation] | None = None

    def add(self, seen: Observation, parent: int | None = None) -> int:
        self.made.append(replace(seen, endpoint=self.label, parent=parent))
        return len(self.made) - 1

    def here(self) -> list[Observation]:
        """What was made under the label of now."""
        return [x for x in self.made if x.endpoint == self.label]

    def lookup_of(self, address: str) -> int | None:
        """The lookup that gave this address, the system's first."""
        if self._read_of is not self.made or self._read > len(self.made):
            self._read_of, self._read, self._own, self._any = self.made, 0, {}, {}
        for index in range(self._read, len(self.made)):
            self._remember(index)
        self._read = len(self.made)
        key = (self.label, address)
        return self._own.get(key, self._any.get(key))

    def _remember(self, index: int) -> None:
        dns = self.made[index].dns
        for address in dns.addresses if dns else ():
            key = (self.made[index].endpoint, address)
            self._any.setdefault(key, index)
            if dns and dns.engine == "system":
                self._own.setdefault(key, index)


def step(operation: Operation, row: Json, word: Failure | None) -> Observation:
    """With the row's times, where it has any."""
    started, ended = microseconds(row.get("t0")), microseconds(row.get("t"))
    return Observation(
        operation=operation,
        started_us=started if row.get("t0") is not None else ended,
        duration_us=max(0, ended - started) if row.get("t0") is not None else 0,
        failure=word,
    )


def queries(row: Json, later: Sequence[Json] = ()) -> list[Observation]:
    """One row; two observations for getaddrinfo, which asks for A and AAAA at once.

    `later` are rows on further replies to the same query.
    """
    word = failure(row.get("failure"))
    kind = text(row.get("query_type"), 16).upper()
    answers = _answers(row)
    wanted = {"A": ("A",), "AAAA": ("AAAA",)}.get(kind, ("A", "AAAA"))
    made = []
    for record in wanted:
        own = tuple(a for a in answers if a.type in (record, "CNAME"))
        named = any(a.type == record for a in own)
        if len(wanted) == 2 and record == "AAAA" and not named:
            continue  # nobody can tell whether it was asked for
        if (
            len(wanted) == 2
            and not named
            and word is None
            and any(a.type == "AAAA" for a in answers)
        ):
            continue
        made.append(replace(step(Operation.RESOLVE, row, word), dns=_dns(row, record, own, later)))
    return made


def _dns(row: Json, record: str, answers: tuple[DnsAnswer, ...], later: Sequence[Json]) -> Dns:
    engine = ENGINES.get(text(row.get("engine"), 32), "system")
    rcode = row.get("rcode")
    return Dns(
        engine=engine,
        resolver="" if engine == "system" else text(row.get("resolver_address"), 256),
        name=host_name(text(row.get("hostname"), 256)),
        query_type=record,
        rcode=whole(rcode) if isinstance(rcode, int) else None,
        answers=answers,
        later=tuple(_later(again, row) for again in later),
    )


def _later(again: Json, row: Json) -> DnsReply:
    gap = microseconds(again.get("t")) - microseconds(row.get("t0"))
    denied = failure(again.get("failure")) is Failure.DNS_NXDOMAIN_ERROR
    return DnsReply(
        after_us=max(0, gap), rcode=whole(again.get("rcode"), 3 * denied), answers=_answers(again)
    )


def _answers(row: Json) -> tuple[DnsAnswer, ...]:
    found = []
    for answer in rows(row.get("answers"))[:MOST_ANSWERS]:
        for key, record in (("ipv4", "A"), ("ipv6", "AAAA"), ("hostname", "CNAME")):
            data = text(answer.get(key), 256)
            if data and (record == "CNAME" or is_address(data)):
                kind = record if record == "CNAME" else ("AAAA" if ":" in data else "A")
                found.append(
                    DnsAnswer(type=kind, data=data, ttl_s=max(0, whole(answer.get("ttl"))))
                )
    return tuple(found)


def connect(row: Json) -> Observation:
    status = obj(row.get("status"))
    word = failure(status.get("failure"))
    if word is None and status.get("success") is False:
        word = Failure.UNKNOWN_FAILURE
    if word is Failure.EOF_ERROR:
        word = Failure.CONNECTION_RESET  # it ended before it stood
    tcp = Tcp(address=text(row.get("ip"), 64), port=_port(row.get("port")))
    return replace(step(Operation.CONNECT, row, word), tcp=tcp)


def handshake(row: Json, *, trusted: bool) -> Observation:
    """`trusted`: a certificate that was shown and not kept is still known to be wrong.

    OONI's probe brings its own list of authorities, so the vantage's is no excuse; its clock may
    be.
    """
    word = failure(row.get("failure"))
    chain = certificates(row)
    if (
        not chain
        and trusted
        and word in (Failure.SSL_UNKNOWN_AUTHORITY, Failure.SSL_INVALID_HOSTNAME)
    ):
        chain = (UNKEPT,)
    tls = Tls(
        server_name=host_name(text(row.get("server_name"), 256)),
        version=text(row.get("tls_version"), 32),
        cipher=text(row.get("cipher_suite"), 64),
        alpn=text(row.get("negotiated_protocol"), 32),
        chain=chain,
        outer_name=text(row.get("outer_server_name"), 256),
    )
    return replace(step(Operation.TLS_HANDSHAKE, row, word), tls=tls)


def certificates(row: Json) -> tuple[Certificate, ...]:
    if row.get("x_peer_certificates"):
        return tuple(map(_named_certificate, rows(row.get("x_peer_certificates"))))
    listed = row.get("peer_certificates")
    found = listed[:MOST_CERTIFICATES] if isinstance(listed, list) else []
    return tuple(c for der in map(binary, found) if der and (c := certificate(der)) is not None)


def _named_certificate(row: Json) -> Certificate:
    """As our own export names it."""
    return Certificate(
        sha256=text(row.get("sha256"), 64),
        spki_sha256=text(row.get("spki_sha256"), 64),
        subject=text(row.get("subject"), 1024),
        issuer=text(row.get("issuer"), 1024),
        not_before_s=whole(row.get("not_before_s")),
        not_after_s=whole(row.get("not_after_s")),
    )


def certificate(der: bytes) -> Certificate | None:
    """None for what is no certificate."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    try:
        parsed = x509.load_der_x509_certificate(der)
        key = parsed.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        subject, issuer = parsed.subject.rfc4514_string(), parsed.issuer.rfc4514_string()
        begins, ends = parsed.not_valid_before_utc, parsed.not_valid_after_utc
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


def page(row: Json, url: str) -> list[Observation]:
    """The round trip and, where a reply came, its body."""
    word = failure(row.get("failure"))
    http = reply(obj(row.get("request")), obj(row.get("response")), url)
    if not http.status:
        blank = Http(method=http.method, url=url)
        return [replace(step(Operation.HTTP_ROUND_TRIP, row, word or _silent(row)), http=blank)]
    came = replace(step(Operation.HTTP_ROUND_TRIP, row, None), http=replace(http, body_bytes=0))
    if word in (Failure.UNKNOWN_FAILURE, Failure.HTTP_INVALID_REDIRECT_LOCATION_HOST):
        word = None  # told of the redirect that follows, and not of this page
    return [came, replace(step(Operation.READ_BODY, row, word), http=http)]


def _silent(row: Json) -> Failure | None:
    """Neither a reply nor a word of failure: nobody knows what happened."""
    return None if "failure" in row else Failure.UNKNOWN_FAILURE


def end(row: Json, port: int) -> Tcp:
    """The end that this row is about, if it is at this port."""
    return Tcp(address=text(row.get("ip"), 64), port=port)


def split(endpoint: object) -> tuple[str, int]:
    """`1.2.3.4:443` or `[::1]:443`; ("", 0) when it is neither."""
    address, _, port = text(endpoint, 128).rpartition(":")
    address = address.strip("[]")
    return (address, _port(port)) if is_address(address) else ("", 0)


def is_address(value: str) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True


def is_public(value: str) -> bool:
    """Whether something on the Internet, or a proxy of the vantage's own, can have this address."""
    address = ipaddress.ip_address(value)
    return address.is_global or (address.version == 4 and address in OWN_PROXY)


def host_name(name: str) -> str:
    """In lower case and as it goes over the wire, however it was written."""
    name = name.strip().rstrip(".").lower()
    if name.isascii():
        return name
    try:
        return name.encode("idna").decode("ascii")
    except UnicodeError:
        return name


def _port(value: object) -> int:
    number = (
        int(value) if isinstance(value, str) and value.isdecimal() and len(value) < 6 else value
    )
    found = whole(number)
    return found if 0 < found < 65536 else 0
