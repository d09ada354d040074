"""Observations in OONI's archival data formats; a control as test helper data."""

import hashlib
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TypedDict

from msgspec.structs import replace

from heliograph.failure import Operation
from heliograph.observation import (
    Certificate,
    DnsAnswer,
    Http,
    Link,
    Measurement,
    Observation,
    Tls,
)
from heliograph_collector.http.api.measurement_json import build_observation
from heliograph_collector.http.api.ooni_document import (
    OoniAnswer,
    OoniBinary,
    OoniCertificate,
    OoniConnect,
    OoniConnectStatus,
    OoniControl,
    OoniControlDns,
    OoniControlEndpoint,
    OoniControlPage,
    OoniHandshake,
    OoniHttpRequest,
    OoniHttpResponse,
    OoniQuery,
    OoniRelay,
    OoniRequest,
    OoniTestKeys,
)
from heliograph_collector.model.records import ControlView

ENGINES = {"system": "getaddrinfo", "hosts": "getaddrinfo"}  # OONI's names of the system's resolver
EXPORTED_STEPS = frozenset(
    (
        Operation.RESOLVE,
        Operation.CONNECT,
        Operation.TLS_HANDSHAKE,
        Operation.HTTP_ROUND_TRIP,
        Operation.READ_BODY,
    )
)
_REDIRECT = re.compile(r"redirect-(\d{1,2})")


def build_test_keys(measurement: Measurement, control: ControlView | None) -> OoniTestKeys:
    steps = _OoniSteps(measurement.observations, measurement.certificates)
    keys = OoniTestKeys(
        queries=[steps.build_query(i) for i in steps.indexes_of(Operation.RESOLVE)],
        tcp_connect=[steps.build_connect(i) for i in steps.indexes_of(Operation.CONNECT)],
        tls_handshakes=[
            steps.build_handshake(i) for i in steps.indexes_of(Operation.TLS_HANDSHAKE)
        ],
        requests=[
            steps.build_request(i) for i in reversed(steps.indexes_of(Operation.HTTP_ROUND_TRIP))
        ],
        x_dns_duplicate_responses=[
            reply
            for i in steps.indexes_of(Operation.RESOLVE)
            for reply in steps.iter_later_replies(i)
        ],
        x_heliograph_observations=[
            build_observation(o)
            for o in measurement.observations
            if o.operation not in EXPORTED_STEPS
        ],
    )
    if measurement.experiment == "web":
        keys.control = _build_control(control)
        keys.control_failure = None if keys.control else "x_no_control_at_hand"
    if measurement.experiment == "tor":
        keys.targets = _group_relays(keys)
    return keys


class _SharedFields(TypedDict):
    t0: float
    t: float
    tags: list[str]
    transaction_id: int


class _OoniSteps:
    def __init__(
        self, observations: Sequence[Observation], certificates: Sequence[bytes] = ()
    ) -> None:
        self._observations = observations
        self._certificates = {hashlib.sha256(der).hexdigest(): der for der in certificates}

    def indexes_of(self, operation: Operation) -> list[int]:
        return [i for i, o in enumerate(self._observations) if o.operation is operation]

    def build_query(self, index: int) -> OoniQuery:
        failure = _failure_code(self._observations[index])
        shared = self._shared_fields(index)
        dns = self._observations[index].dns
        if dns is None:
            return OoniQuery(hostname="", query_type="", answers=None, failure=failure, **shared)
        return OoniQuery(
            answers=_build_answers(dns.answers),
            engine=ENGINES.get(dns.engine, dns.engine),
            hostname=dns.name,
            query_type=dns.query_type,
            rcode=dns.rcode,
            resolver_address="" if dns.engine == "system" else dns.resolver,
            failure=failure,
            **shared,
        )

    def iter_later_replies(self, index: int) -> Iterator[OoniQuery]:
        """Yield replies after the first as separate rows."""
        dns = self._observations[index].dns
        query = self.build_query(index)
        for reply in dns.later if dns else ():
            yield replace(
                query,
                answers=_build_answers(reply.answers),
                failure="dns_nxdomain_error" if reply.rcode == 3 else None,
                rcode=reply.rcode,
                t=query.t0 + reply.after_us / 1e6,
            )

    def build_connect(self, index: int) -> OoniConnect:
        o = self._observations[index]
        failure = _failure_code(o)
        return OoniConnect(
            ip=o.tcp.address if o.tcp else "",
            port=o.tcp.port if o.tcp else 0,
            status=OoniConnectStatus(success=failure is None, failure=failure),
            **self._shared_fields(index),
        )

    def build_handshake(self, index: int) -> OoniHandshake:
        o = self._observations[index]
        row = OoniHandshake(
            network="tcp",
            address=self.format_address(index),
            failure=_failure_code(o),
            **self._shared_fields(index),
        )
        if o.tls is None:
            return row
        return replace(
            row,
            cipher_suite=o.tls.cipher,
            negotiated_protocol=o.tls.alpn,
            no_tls_verify=False,
            server_name=o.tls.server_name,
            outer_server_name=o.tls.outer_name,
            tls_version=o.tls.version,
            peer_certificates=self._list_certificates(o.tls),
            x_peer_certificates=[_build_certificate(c) for c in o.tls.chain],
        )

    def _list_certificates(self, tls: Tls) -> list[OoniBinary]:
        """List the certificates of a failed chain, if all of them were stored."""
        certificates = [
            self._certificates[c.sha256] for c in tls.chain if c.sha256 in self._certificates
        ]
        is_whole = len(certificates) == len(tls.chain)
        return (
            [OoniBinary(data=b64encode(der).decode()) for der in certificates] if is_whole else []
        )

    def build_request(self, index: int) -> OoniRequest:
        """Build a request; failure and size describe the body."""
        observations = self._observations
        body = next(
            (o for o in observations if o.operation is Operation.READ_BODY and o.parent == index),
            None,
        )
        failure = _failure_code(body) if body else None
        row = OoniRequest(
            network="tcp",
            address=self.format_address(index),
            failure=failure or _failure_code(observations[index]),
            **self._shared_fields(index),
        )
        http = body.http if body and body.http and body.http.status else observations[index].http
        if http is None:
            return row
        return replace(
            row,
            request=OoniHttpRequest(method=http.method, url=http.url, headers={}, body=""),
            response=_build_response(http),
        )

    def format_address(self, index: int) -> str:
        tcp = self._observations[self._find_root(index)].tcp
        if tcp is None or not tcp.address:
            return ""
        return f"[{tcp.address}]:{tcp.port}" if ":" in tcp.address else f"{tcp.address}:{tcp.port}"

    def _shared_fields(self, index: int) -> _SharedFields:
        """Build the times, the connection's number and the position in the redirects."""
        o = self._observations[index]
        hop = _REDIRECT.fullmatch(o.endpoint)
        tags = [f"depth={_redirect_depth(o)}"]
        return {
            "t0": o.started_us / 1e6,
            "t": (o.started_us + o.duration_us) / 1e6,
            "tags": [*tags, f"endpoint={o.endpoint}"] if o.endpoint and not hop else tags,
            "transaction_id": self._find_root(index) + 1,
        }

    def _find_root(self, index: int) -> int:
        observations = self._observations
        parent = observations[index].parent
        while parent is not None and 0 <= parent < index:
            if observations[parent].operation is Operation.RESOLVE:
                break
            index = parent
            parent = observations[parent].parent
        return index


def _failure_code(o: Observation) -> str | None:
    return o.failure.value if o.failure else None


def _redirect_depth(o: Observation) -> int:
    hop = _REDIRECT.fullmatch(o.endpoint)
    return int(hop.group(1)) if hop else 0


def _build_answers(answers: Iterable[DnsAnswer]) -> list[OoniAnswer] | None:
    fields = {"A": "ipv4", "AAAA": "ipv6", "CNAME": "hostname"}
    return [
        OoniAnswer(answer_type=a.type, ttl=a.ttl_s, **{fields.get(a.type, "x_data"): a.data})
        for a in answers
    ] or None


def _build_certificate(certificate: Certificate) -> OoniCertificate:
    return OoniCertificate(
        **asdict(certificate),
        not_before=datetime.fromtimestamp(certificate.not_before_s, UTC).isoformat(),
        not_after=datetime.fromtimestamp(certificate.not_after_s, UTC).isoformat(),
    )


def _build_response(http: Http) -> OoniHttpResponse:
    headers = _build_headers(http)
    return OoniHttpResponse(
        code=http.status,
        headers=headers,
        headers_list=list(headers.items()),
        body="",  # never stored
        body_is_truncated=http.truncated,
        x_body_length=http.body_bytes,
        x_body_sha256=http.body_sha256,
        x_title=http.title,
        x_text=http.text,
        x_references=[(r.element, r.address) for r in http.references],
    )


def _build_headers(http: Http) -> dict[str, str]:
    """Build the headers: names as received, and only two values, as stored."""
    kept_values = {"server": http.server, "location": http.location}
    names = dict.fromkeys(http.header_names, "")
    return names | {name: value for name, value in kept_values.items() if value}


def _group_relays(keys: OoniTestKeys) -> dict[str, OoniRelay]:
    """Group the steps by relay, as OONI's tor test does."""
    relays: dict[str, OoniRelay] = {}
    for row in keys.tcp_connect:
        name = next(tag.partition("=")[2] for tag in row.tags if tag.startswith("endpoint="))
        address = f"{row.ip}:{row.port}"
        relay = OoniRelay(
            target_address=address,
            target_protocol=name.partition("-")[0],
            target_name=name,
            failure=row.status.failure,
            tcp_connect=[row],
            tls_handshakes=[h for h in keys.tls_handshakes if f"endpoint={name}" in h.tags],
        )
        relays.setdefault(address, relay)
    return relays


def _build_control(control: ControlView | None) -> OoniControl | None:
    """Build the control of a page as far as it goes; None without a control."""
    measurement = control.measurement if control and control.link is Link.ONLINE else None
    if measurement is None:
        return None
    observations = measurement.observations
    last_depth = max(map(_redirect_depth, observations), default=0)
    return OoniControl(
        dns=_build_control_dns([o for o in observations if o.endpoint == ""]),
        tcp_connect=_build_control_endpoints(observations, Operation.CONNECT),
        tls_handshake=_build_control_endpoints(observations, Operation.TLS_HANDSHAKE),
        http_request=_build_control_page(
            [o for o in observations if _redirect_depth(o) == last_depth]
        ),
    )


def _build_control_dns(observations: Sequence[Observation]) -> OoniControlDns | None:
    system_queries = [o for o in observations if o.dns and o.dns.engine in ENGINES]
    if not system_queries:
        return None
    addresses = [a for o in system_queries if o.dns for a in o.dns.addresses]
    failures = [o.failure.value for o in system_queries if o.failure]
    return OoniControlDns(
        addrs=addresses, failure=failures[0] if failures and not addresses else None
    )


def _build_control_endpoints(
    observations: Sequence[Observation], operation: Operation
) -> dict[str, OoniControlEndpoint]:
    steps = _OoniSteps(observations)
    endpoints = {}
    for index in steps.indexes_of(operation):
        o = observations[index]
        address = steps.format_address(index)
        if address and o.endpoint == "":
            row = OoniControlEndpoint(status=o.failure is None, failure=_failure_code(o))
            if o.tls:
                row.server_name = o.tls.server_name
                row.x_peer_certificates = [_build_certificate(c) for c in o.tls.chain]
            endpoints[address] = row
    return endpoints


def _build_control_page(observations: Sequence[Observation]) -> OoniControlPage | None:
    """Build the control's page; None if it was only to connect, and did."""
    body = next(
        (o.http for o in observations if o.operation is Operation.READ_BODY and o.http), None
    )
    round_trip = next((o for o in observations if o.operation is Operation.HTTP_ROUND_TRIP), None)
    http = body or (round_trip.http if round_trip else None)
    failures = [o.failure.value for o in observations if o.failure]
    if round_trip is None and not failures:
        return None
    if http is None or not http.status:
        return OoniControlPage(
            failure=failures[-1] if failures else "unknown_error",
            status_code=-1,
            body_length=-1,
            title="",
            headers={},
        )
    return OoniControlPage(
        failure=None,
        status_code=http.status,
        body_length=http.body_bytes,
        title=http.title,
        headers=_build_headers(http),
    )
