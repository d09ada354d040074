"""Observations in OONI's archival data formats; a control as test helper data."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from heliograph.failure import Operation
from heliograph.observation import Certificate, Http, Link, Measurement, Observation, Tcp, Tls
from heliograph_collector.http.api.measurement_json import build_observation
from heliograph_collector.model.records import ControlView

Json = dict[str, Any]
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


def build_test_keys(measurement: Measurement, control: ControlView | None) -> Json:
    observations = measurement.observations
    keys: Json = {
        "failure": None,
        "queries": [
            _build_query(observations, i) for i in _indexes_of(observations, Operation.RESOLVE)
        ],
        "tcp_connect": [
            _build_connect(observations, i) for i in _indexes_of(observations, Operation.CONNECT)
        ],
        "tls_handshakes": [
            _build_handshake(observations, i)
            for i in _indexes_of(observations, Operation.TLS_HANDSHAKE)
        ],
        "requests": [
            _build_request(observations, i)
            for i in _indexes_of(observations, Operation.HTTP_ROUND_TRIP)
        ][::-1],
        "x_dns_duplicate_responses": [
            r
            for i in _indexes_of(observations, Operation.RESOLVE)
            for r in _iter_later_replies(observations, i)
        ],
        "x_heliograph_observations": [
            build_observation(o) for o in observations if o.operation not in EXPORTED_STEPS
        ],
    }
    if measurement.experiment == "web":
        keys |= _build_control(control)
    return keys


def _indexes_of(observations: Sequence[Observation], operation: Operation) -> Iterator[int]:
    return (i for i, o in enumerate(observations) if o.operation is operation)


def _shared_fields(observations: Sequence[Observation], index: int) -> Json:
    """Build the times, the connection's number and the position in the redirects."""
    o = observations[index]
    hop = _REDIRECT.fullmatch(o.endpoint)
    tags = [f"depth={hop.group(1) if hop else 0}"]
    return {
        "failure": o.failure.value if o.failure else None,
        "t0": o.started_us / 1e6,
        "t": (o.started_us + o.duration_us) / 1e6,
        "tags": [*tags, f"endpoint={o.endpoint}"] if o.endpoint and not hop else tags,
        "transaction_id": _find_root(observations, index) + 1,
    }


def _find_root(observations: Sequence[Observation], index: int) -> int:
    parent = observations[index].parent
    while parent is not None and 0 <= parent < index:
        if observations[parent].operation is Operation.RESOLVE:
            break
        index = parent
        parent = observations[parent].parent
    return index


def _find_tcp(observations: Sequence[Observation], index: int) -> Tcp | None:
    return observations[_find_root(observations, index)].tcp


def _format_address(observations: Sequence[Observation], index: int) -> str:
    tcp = _find_tcp(observations, index)
    if tcp is None or not tcp.address:
        return ""
    return f"[{tcp.address}]:{tcp.port}" if ":" in tcp.address else f"{tcp.address}:{tcp.port}"


def _build_query(observations: Sequence[Observation], index: int) -> Json:
    d = observations[index].dns
    if d is None:
        return {
            "hostname": "",
            "query_type": "",
            "answers": None,
            **_shared_fields(observations, index),
        }
    return {
        "answers": [_build_answer(a.type, a.data, a.ttl_s) for a in d.answers] or None,
        "engine": ENGINES.get(d.engine, d.engine),
        "hostname": d.name,
        "query_type": d.query_type,
        "rcode": d.rcode,
        "resolver_address": d.resolver,
        **_shared_fields(observations, index),
    }


def _iter_later_replies(observations: Sequence[Observation], index: int) -> Iterator[Json]:
    """Yield replies after the first as separate rows."""
    d = observations[index].dns
    base = _build_query(observations, index)
    for reply in d.later if d else ():
        yield {
            **base,
            "answers": [_build_answer(a.type, a.data, a.ttl_s) for a in reply.answers] or None,
            "failure": "dns_nxdomain_error" if reply.rcode == 3 else None,
            "rcode": reply.rcode,
            "t": base["t0"] + reply.after_us / 1e6,
        }


def _build_answer(type_: str, data: str, ttl_s: int) -> Json:
    field = {"A": "ipv4", "AAAA": "ipv6", "CNAME": "hostname"}.get(type_, "x_data")
    return {"answer_type": type_, field: data, "ttl": ttl_s}


def _build_connect(observations: Sequence[Observation], index: int) -> Json:
    o = observations[index]
    shared = _shared_fields(observations, index)
    failure = shared.pop("failure")
    return {
        "ip": o.tcp.address if o.tcp else "",
        "port": o.tcp.port if o.tcp else 0,
        "status": {"success": failure is None, "failure": failure},
        **shared,
    }


def _build_handshake(observations: Sequence[Observation], index: int) -> Json:
    t = observations[index].tls
    row: Json = {
        "network": "tcp",
        "address": _format_address(observations, index),
        **_shared_fields(observations, index),
    }
    if t is None:
        return row
    return row | {
        "cipher_suite": t.cipher,
        "negotiated_protocol": t.alpn,
        "no_tls_verify": False,
        "server_name": t.server_name,
        "outer_server_name": t.outer_name,
        "tls_version": t.version,
        "peer_certificates": [],  # we keep names of certificates, not the certificates
        "x_peer_certificates": [_build_certificate(c) for c in t.chain],
    }


def _build_certificate(c: Certificate) -> Json:
    return {
        **asdict(c),
        "not_before": datetime.fromtimestamp(c.not_before_s, UTC).isoformat(),
        "not_after": datetime.fromtimestamp(c.not_after_s, UTC).isoformat(),
    }


def _build_request(observations: Sequence[Observation], index: int) -> Json:
    """Build a request; failure and size describe the body."""
    row = {
        "network": "tcp",
        "address": _format_address(observations, index),
        **_shared_fields(observations, index),
    }
    body = next(
        (o for o in observations if o.operation is Operation.READ_BODY and o.parent == index), None
    )
    h = body.http if body and body.http and body.http.status else observations[index].http
    if body is not None and body.failure is not None:
        row["failure"] = body.failure.value
    if h is None:
        return row
    headers = _build_headers(h)
    return row | {
        "request": {"method": h.method, "url": h.url, "headers": {}, "body": ""},
        "response": {
            "code": h.status,
            "headers": headers,
            "headers_list": [[name, value] for name, value in headers.items()],
            "body": "",  # never stored
            "body_is_truncated": h.truncated,
            "x_body_length": h.body_bytes,
            "x_body_sha256": h.body_sha256,
            "x_title": h.title,
            "x_text": h.text,
        },
    }


def _build_headers(h: Http) -> dict[str, str]:
    """Build the headers: names as received, and only two values, as stored."""
    kept_values = {"server": h.server, "location": h.location}
    names = dict.fromkeys(h.header_names, "")
    return names | {name: value for name, value in kept_values.items() if value}


def _build_control(control: ControlView | None) -> Json:
    """Build the control of a page as far as it goes; empty without a control."""
    m = control.measurement if control and control.link is Link.ONLINE else None
    if m is None:
        return {"control": None, "control_failure": "x_no_control_at_hand"}
    first = [o for o in m.observations if o.endpoint == ""]
    last = max((_redirect_depth(o) for o in m.observations), default=0)
    end = [o for o in m.observations if _redirect_depth(o) == last]
    return {
        "control_failure": None,
        "control": {
            "dns": _build_control_dns(first),
            "tcp_connect": dict(_iter_endpoints(m.observations, Operation.CONNECT)),
            "tls_handshake": dict(_iter_endpoints(m.observations, Operation.TLS_HANDSHAKE)),
            "http_request": _build_control_page(end),
        },
    }


def _redirect_depth(o: Observation) -> int:
    hop = _REDIRECT.fullmatch(o.endpoint)
    return int(hop.group(1)) if hop else 0


def _build_control_dns(observations: Sequence[Observation]) -> Json | None:
    system_queries = [o for o in observations if o.dns and o.dns.engine in ENGINES]
    if not system_queries:
        return None
    addresses = [a for o in system_queries if o.dns for a in o.dns.addresses]
    failures = [o.failure.value for o in system_queries if o.failure]
    return {"addrs": addresses, "failure": failures[0] if failures and not addresses else None}


def _iter_endpoints(
    observations: Sequence[Observation], operation: Operation
) -> Iterator[tuple[str, Json]]:
    for index in _indexes_of(observations, operation):
        end = _format_address(observations, index)
        o = observations[index]
        if end and o.endpoint == "":
            row: Json = {"status": o.failure is None, "failure": o.failure and o.failure.value}
            yield end, row | (_build_control_tls(o.tls) if o.tls else {})


def _build_control_tls(tls: Tls) -> Json:
    chain = [_build_certificate(c) for c in tls.chain]
    return {"server_name": tls.server_name, "x_peer_certificates": chain}


def _build_control_page(observations: Sequence[Observation]) -> Json | None:
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
        failure_code = failures[-1] if failures else "unknown_error"
        return {
            "failure": failure_code,
            "status_code": -1,
            "body_length": -1,
            "title": "",
            "headers": {},
        }
    return {
        "failure": None,
        "status_code": http.status,
        "body_length": http.body_bytes,
        "title": http.title,
        "headers": _build_headers(http),
    }
