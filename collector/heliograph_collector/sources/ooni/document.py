"""OONI's documents: the fields of a measurement that this import reads.

Formats: df-000 (base), df-001 (HTTP), df-002 (DNS), df-005 (TCP), df-006 (TLS), and the page of
each test; github.com/ooni/spec. Conclusions of OONI's probe are no fields, unless they are all
that it recorded. Numbers and rows are irregular, so `read_struct` reads them.

Example:
    measurement = read_struct(OoniDocument, json.loads(line))
    measurement.test_keys.queries[0].hostname
"""

from collections.abc import Mapping
from functools import partial
from typing import Annotated

import msgspec

from heliograph.failure import Failure
from heliograph_collector.sources.ooni.failures import parse_failure
from heliograph_collector.sources.typed_reader import (
    Microseconds,
    Text32,
    Text64,
    Text256,
    as_bytes,
    as_integer,
    as_microseconds,
    as_text,
    cut_list,
    read_struct,
)

MAX_LOG = 1 << 16  # characters; assumed
_MAX_TAG_CHARS = 3  # of a depth; longer numbers are none


def _read_start(value: object) -> int | None:
    return None if value is None else as_microseconds(value)


def read_port(value: object) -> int:
    if isinstance(value, str) and value.isdecimal() and len(value) < 6:
        value = int(value)
    port = as_integer(value)
    return port if 0 < port < 65536 else 0


def _read_rcode(value: object) -> int | None:
    return as_integer(value) if isinstance(value, int) else None


def _read_asn(value: object) -> str:
    return as_text(value, 16) or str(as_integer(value) or "")


def _read_texts(value: object) -> list[str] | None:
    items = cut_list(value) if isinstance(value, list) else []
    return None if value is None else [as_text(item) for item in items if isinstance(item, str)]


def _read_flags(value: object) -> dict[str, bool]:
    entries = value.items() if isinstance(value, Mapping) else ()
    return {str(name): flag for name, flag in entries if isinstance(flag, bool)}


def _read_tampering(value: object) -> dict[str, bool]:
    """Read the flags; the one list among them is true if it names a header."""
    names = value.get("header_name_diff") if isinstance(value, Mapping) else None
    flags = _read_flags(value)
    return (
        flags | {"header_name_diff": bool(_read_texts(names))} if isinstance(names, list) else flags
    )


def _read_keys(value: object) -> "OoniKeys":
    keys = read_struct(OoniKeys, value)
    if not isinstance(value, Mapping) or "target" not in value:
        return msgspec.structs.replace(keys, flags=_read_flags(value))
    neutral = value.get("control")
    return msgspec.structs.replace(
        keys,
        flags=_read_flags(value),
        neutral=read_struct(NameResult, neutral),
        plain=read_struct(HandshakeRow, neutral),
        hidden=read_struct(HandshakeRow, value["target"]),
    )


Port = Annotated[int, read_port]
FailureCode = Annotated[Failure | None, parse_failure]
# UNSET where the probe did not write the key: null means success, and no key that nothing is known
RecordedFailure = Annotated[Failure | msgspec.UnsetType | None, parse_failure]


def _read_headers(value: object) -> dict[str, bytes]:
    """Read headers; ooniprobe 1.x wrote lists of values, or pairs."""
    entries = value.items() if isinstance(value, Mapping) else _read_pairs(value)
    return {str(name): as_bytes(_get_first(text)) for name, text in entries}


def _read_pairs(value: object) -> list[tuple[str, object]]:
    pairs = cut_list(value) if isinstance(value, list) else []
    return [(as_text(p[0]), p[1]) for p in pairs if isinstance(p, list) and len(p) == 2]


def _get_first(value: object) -> object:
    return value[0] if isinstance(value, list) and value else value


def _read_lines(value: object) -> list[str]:
    """Read lines of a log, which vanilla_tor before 2022 wrote as one text."""
    return value[:MAX_LOG].splitlines() if isinstance(value, str) else _read_texts(value) or []


class Row(msgspec.Struct, frozen=True):
    """Fields that order a row and place it on its page."""

    t0: Annotated[int | None, _read_start] = None
    t: Microseconds = 0
    tags: list[str] = []
    transaction_id: int = 0
    hostname: Text256 = ""
    server_name: Text256 = ""
    ip: Text64 = ""

    @property
    def depth(self) -> int | None:
        """Return the depth in the redirect chain; None before web_connectivity 0.5."""
        for tag in self.tags:
            name, _, number = tag.partition("=")
            if name == "depth" and number.isdecimal() and len(number) <= _MAX_TAG_CHARS:
                return int(number)
        return None


class Answer(msgspec.Struct, frozen=True):
    ipv4: Text256 = ""
    ipv6: Text256 = ""
    hostname: Text256 = ""
    ttl: int = 0
    asn: int = 0


class QueryRow(Row, frozen=True):
    failure: FailureCode = None
    engine: Text32 = ""
    query_type: Annotated[str, partial(as_text, limit=16)] = ""
    resolver_address: Text256 = ""
    resolver_hostname: Text256 = ""  # before 2019, with resolver_port
    rcode: Annotated[int | None, _read_rcode] = None
    answers: list[Answer] = []


class ConnectStatus(msgspec.Struct, frozen=True):
    failure: FailureCode = None
    success: bool | None = None


class ConnectRow(Row, frozen=True):
    port: Port = 0
    status: ConnectStatus = ConnectStatus()


class NamedCertificate(msgspec.Struct, frozen=True):
    """A certificate as our own export writes it."""

    sha256: Text64 = ""
    spki_sha256: Text64 = ""
    subject: Annotated[str, partial(as_text, limit=1024)] = ""
    issuer: Annotated[str, partial(as_text, limit=1024)] = ""
    not_before_s: int = 0
    not_after_s: int = 0


class HandshakeRow(Row, frozen=True):
    failure: FailureCode = None
    address: Text256 = ""
    outer_server_name: Text256 = ""
    echconfig: Text256 = ""
    no_tls_verify: bool | None = None
    tls_version: Text32 = ""
    cipher_suite: Text64 = ""
    negotiated_protocol: Text32 = ""
    peer_certificates: list[bytes] = []
    x_peer_certificates: list[NamedCertificate] = []


class TorUse(msgspec.Struct, frozen=True):
    is_tor: bool | None = None


class RequestFacts(msgspec.Struct, frozen=True):
    tor: TorUse = TorUse()
    method: Annotated[str, partial(as_text, limit=16)] = ""
    url: str = ""


class Response(msgspec.Struct, frozen=True):
    code: int = 0
    body: bytes = b""
    body_is_truncated: bool | None = None
    headers: Annotated[dict[str, bytes], _read_headers] = {}
    headers_list: list[list[bytes]] = []  # pairs
    x_body_sha256: Text64 = ""
    x_body_length: int = 0
    x_title: Text256 = ""
    x_text: str = ""
    x_references: list[list[str]] = []  # pairs of element and address


class RequestRow(Row, frozen=True):
    failure: RecordedFailure = msgspec.UNSET
    address: Text256 = ""
    request: RequestFacts = RequestFacts()
    response: Response = Response()


class HelperDns(msgspec.Struct, frozen=True):
    failure: FailureCode = None
    addrs: Annotated[list[str] | None, _read_texts] = None


class HelperRow(msgspec.Struct, frozen=True):
    """The helper's result at one endpoint."""

    failure: FailureCode = None
    status: bool | None = None
    server_name: Text256 = ""
    peer_certificates: list[bytes] = []
    x_peer_certificates: list[NamedCertificate] = []


class HelperPage(msgspec.Struct, frozen=True):
    failure: RecordedFailure = msgspec.UNSET
    status_code: int = 0
    title: Text256 = ""
    body_length: int = 0
    headers: dict[str, bytes] = {}


class Control(msgspec.Struct, frozen=True):
    """The test helper's answer; a part is None if it is empty."""

    dns: HelperDns | None = None
    http_request: HelperPage | None = None
    tcp_connect: dict[str, HelperRow] = {}
    tls_handshake: dict[str, HelperRow] = {}


class ControlRequest(msgspec.Struct, frozen=True):
    http_request: str = ""


class Bootstrap(msgspec.Struct, frozen=True):
    queries: list[QueryRow] = []


class ResolverResult(msgspec.Struct, frozen=True):
    """The result of dnscheck at one resolver."""

    failure: FailureCode = None
    tcp_connect: list[ConnectRow] = []
    tls_handshakes: list[HandshakeRow] = []


class TorTarget(msgspec.Struct, frozen=True):
    failure: FailureCode = None
    target_protocol: Text32 = ""
    target_address: Text256 = ""
    tcp_connect: list[ConnectRow] = []


class OpenvpnRow(Row, frozen=True):
    failure: FailureCode = None
    port: Port = 0
    transport: Text32 = ""


class NameResult(msgspec.Struct, frozen=True):
    """One side of sni_blocking: a name at the test helper; of echcheck: one handshake."""

    failure: RecordedFailure = msgspec.UNSET
    sni: Text256 = ""
    queries: list[QueryRow] = []
    tcp_connect: list[ConnectRow] = []
    tls_handshakes: list[HandshakeRow] = []


class OoniKeys(msgspec.Struct, frozen=True):
    """The `test_keys` of all tests; each test writes its own ones."""

    flags: dict[str, bool] = {}  # those that are true or false, by name

    queries: list[QueryRow] = []
    x_dns_duplicate_responses: list[QueryRow] = []
    tcp_connect: list[ConnectRow] = []
    tls_handshakes: list[HandshakeRow] = []
    requests: list[RequestRow] = []
    failure: RecordedFailure = msgspec.UNSET
    failed_operation: Text32 = ""
    # web_connectivity
    control: Control = Control()
    control_failure: FailureCode = None
    x_control_request: ControlRequest = ControlRequest()
    dns_experiment_failure: FailureCode = None
    dns_consistency: Text32 = ""
    # telegram, whatsapp, signal
    telegram_web_failure: RecordedFailure = msgspec.UNSET
    telegram_web_status: Text32 = ""
    registration_server_failure: RecordedFailure = msgspec.UNSET
    registration_server_status: Text32 = ""
    whatsapp_web_failure: RecordedFailure = msgspec.UNSET
    whatsapp_web_status: Text32 = ""
    whatsapp_endpoints_status: Text32 = ""
    signal_backend_failure: RecordedFailure = msgspec.UNSET
    signal_backend_status: Text32 = ""
    # dnscheck, stunreachability, tor
    bootstrap: Bootstrap = Bootstrap()
    bootstrap_failure: FailureCode = None
    lookups: dict[str, ResolverResult] = {}
    endpoint: Text256 = ""
    targets: dict[str, TorTarget] = {}
    # the two middlebox tests
    tampering: Annotated[dict[str, bool], _read_tampering] = {}
    sent: list[bytes] = []
    received: list[bytes] = []
    failure_list: list[FailureCode] = []
    # tunnels
    bootstrap_time: Microseconds = 0
    error: Text64 = ""
    tor_progress: int = 0
    tor_log: Annotated[list[str], _read_lines] = []
    tor_logs: Annotated[list[str], _read_lines] = []
    tunnel: Text32 = ""
    openvpn_handshake: list[OpenvpnRow] = []
    # sni_blocking, and echcheck before 0.2.0; `neutral` and `plain` are its `control`
    target: NameResult = NameResult()
    neutral: NameResult = NameResult()
    plain: HandshakeRow = HandshakeRow()
    hidden: HandshakeRow = HandshakeRow()
    start_time: Microseconds = 0  # Unix time, before 2016
    # dns_consistency, browser_web
    control_resolver: Text64 = ""
    result: Text32 = ""


class Annotations(msgspec.Struct, frozen=True):
    network_type: Text32 = ""


class OoniDocument(msgspec.Struct, frozen=True):
    test_name: Text64 = ""
    input: str = ""
    id: str = ""
    measurement_uid: str = ""
    report_id: Text256 = ""
    probe_id: Text256 = ""
    probe_asn: Annotated[str, _read_asn] = ""
    resolver_asn: Annotated[str, _read_asn] = ""
    probe_network_name: Text256 = ""
    resolver_network_name: Text256 = ""
    probe_cc: Annotated[str, partial(as_text, limit=2)] = ""
    annotations: Annotations = Annotations()
    software_name: Text64 = ""
    measurement_start_time: Text32 = ""
    test_start_time: Text32 = ""
    test_runtime: Microseconds = 0
    test_keys: Annotated[OoniKeys, _read_keys] = OoniKeys()
    cut_rows: int = 0  # rows that were too many to be read; set by the reader
