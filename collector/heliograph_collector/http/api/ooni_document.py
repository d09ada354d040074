"""Types of OONI's archival data formats, as far as we write them.

https://github.com/ooni/spec/tree/master/data-formats describes the fields. Names that begin with
`x_` are our own.
"""

from msgspec import UNSET, Struct, UnsetType

from heliograph_collector.model.published.measurement import ObservationDocument


class OoniStep(Struct, kw_only=True):
    """Times in seconds, the connection's number, and the position in the redirects."""

    failure: str | None
    t0: float
    t: float
    tags: list[str]
    transaction_id: int


class OoniAnswer(Struct, kw_only=True):
    """One DNS record; the field of its data depends on the type."""

    answer_type: str
    ttl: int
    ipv4: str | UnsetType = UNSET
    ipv6: str | UnsetType = UNSET
    hostname: str | UnsetType = UNSET
    x_data: str | UnsetType = UNSET


class OoniQuery(OoniStep, kw_only=True):
    """df-002-dnst: one DNS query."""

    hostname: str
    query_type: str
    answers: list[OoniAnswer] | None
    engine: str | UnsetType = UNSET
    rcode: int | UnsetType | None = UNSET
    resolver_address: str | UnsetType = UNSET


class OoniConnectStatus(Struct, kw_only=True):
    success: bool
    failure: str | None


class OoniConnect(Struct, kw_only=True):
    """df-005-tcpconnect: one TCP connection."""

    ip: str
    port: int
    status: OoniConnectStatus
    t0: float
    t: float
    tags: list[str]
    transaction_id: int


class OoniBinary(Struct, kw_only=True):
    """Bytes, as df-006 of OONI's specification has them."""

    data: str
    format: str = "base64"


class OoniCertificate(Struct, kw_only=True):
    """The names of a certificate, as the agent read them."""

    sha256: str
    spki_sha256: str
    subject: str
    issuer: str
    not_before_s: int
    not_after_s: int
    not_before: str
    not_after: str


class OoniHandshake(OoniStep, kw_only=True):
    """df-006-tlshandshake: one TLS handshake."""

    network: str
    address: str
    cipher_suite: str | UnsetType = UNSET
    negotiated_protocol: str | UnsetType = UNSET
    no_tls_verify: bool | UnsetType = UNSET
    server_name: str | UnsetType = UNSET
    outer_server_name: str | UnsetType = UNSET
    tls_version: str | UnsetType = UNSET
    peer_certificates: list[OoniBinary] | UnsetType = UNSET
    x_peer_certificates: list[OoniCertificate] | UnsetType = UNSET


class OoniHttpRequest(Struct, kw_only=True):
    method: str
    url: str
    headers: dict[str, str]
    body: str


class OoniHttpResponse(Struct, kw_only=True):
    code: int
    headers: dict[str, str]
    headers_list: list[tuple[str, str]]
    body: str
    body_is_truncated: bool
    x_body_length: int
    x_body_sha256: str
    x_title: str
    x_text: str
    x_references: list[tuple[str, str]]  # elements and addresses


class OoniRequest(OoniStep, kw_only=True):
    """df-001-httpt: one HTTP round trip."""

    network: str
    address: str
    request: OoniHttpRequest | UnsetType = UNSET
    response: OoniHttpResponse | UnsetType = UNSET


class OoniControlDns(Struct, kw_only=True):
    addrs: list[str]
    failure: str | None


class OoniControlEndpoint(Struct, kw_only=True):
    status: bool
    failure: str | None
    server_name: str | UnsetType = UNSET
    x_peer_certificates: list[OoniCertificate] | UnsetType = UNSET


class OoniControlPage(Struct, kw_only=True):
    failure: str | None
    status_code: int
    body_length: int
    title: str
    headers: dict[str, str]


class OoniControl(Struct, kw_only=True):
    """The control's results, in the form of OONI's test helper."""

    dns: OoniControlDns | None
    tcp_connect: dict[str, OoniControlEndpoint]
    tls_handshake: dict[str, OoniControlEndpoint]
    http_request: OoniControlPage | None


class OoniRelay(Struct, kw_only=True):
    """One relay or directory, as in OONI's tor test."""

    target_address: str
    target_protocol: str
    target_name: str
    failure: str | None
    tcp_connect: list[OoniConnect]
    tls_handshakes: list[OoniHandshake]


class OoniTestKeys(Struct, kw_only=True):
    """The steps of a measurement and the conclusion."""

    failure: str | None = None
    queries: list[OoniQuery]
    tcp_connect: list[OoniConnect]
    tls_handshakes: list[OoniHandshake]
    requests: list[OoniRequest]
    x_dns_duplicate_responses: list[OoniQuery]
    x_heliograph_observations: list[ObservationDocument]
    control: OoniControl | UnsetType | None = UNSET
    control_failure: str | UnsetType | None = UNSET
    targets: dict[str, OoniRelay] | UnsetType = UNSET
    accessible: bool | None = None
    blocking: str | bool | None = None
    x_heliograph_rule: str | None = None
    x_heliograph_fingerprint: str | None = None
    x_heliograph_confirmed: bool | None = None
    x_heliograph_state: str | None = None
    x_heliograph_method: str | None = None
    x_heliograph_link: str = ""


class OoniAnnotations(Struct, kw_only=True):
    heliograph_id: str
    network_type: str


class OoniMeasurement(Struct, kw_only=True):
    """df-000-base: one measurement."""

    annotations: OoniAnnotations
    data_format_version: str = "0.2.0"
    extensions: dict[str, int]
    id: str
    input: str | None
    input_hashes: list[str] = []
    measurement_start_time: str
    options: list[str] = []
    probe_asn: str
    probe_cc: str
    probe_city: str | None = None
    probe_ip: str = "127.0.0.1"
    probe_network_name: str = ""
    report_id: str = ""
    resolver_asn: str = "AS0"
    resolver_ip: str = "127.0.0.2"
    resolver_network_name: str = ""
    software_name: str = "heliograph"
    software_version: str
    test_helpers: dict[str, str] = {}
    test_keys: OoniTestKeys
    test_name: str
    test_runtime: float
    test_start_time: str
    test_version: str
