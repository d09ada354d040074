"""A measurement in OONI's base data format 0.2.0, so that their tools can read it.

Field names are those of OONI's df-000 (base), df-001 (HTTP), df-002 (DNS), df-006 (TLS).
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from heliograph import __version__
from heliograph.failure import Operation
from heliograph.observation import Observation
from heliograph_collector.store.rows import State, Taken, Verdict

Json = dict[str, Any]
_NAMES = {"web": "web_connectivity"}  # ours → OONI's, where the test is the same


def document(taken: Taken, verdicts: Sequence[Verdict]) -> Json:
    m = taken.measurement
    started = _moment(taken.started_us)
    asn = f"AS{taken.vantage.asn}"
    return {
        "annotations": {"heliograph_id": taken.id, "network_type": str(taken.vantage.access)},
        "data_format_version": "0.2.0",
        "id": taken.id,
        "input": m.target or None,
        "measurement_start_time": started,
        "probe_asn": asn,
        "probe_cc": taken.vantage.country,
        "probe_ip": "127.0.0.1",
        "report_id": "",
        "resolver_asn": "AS0",
        "resolver_ip": "127.0.0.2",
        "resolver_network_name": "",
        "software_name": "heliograph",
        "software_version": __version__,
        "test_helpers": {},
        "test_keys": _test_keys(m.observations, verdicts),
        "test_name": _NAMES.get(m.experiment, m.experiment),
        "test_runtime": m.runtime_us / 1e6,
        "test_start_time": started,
        "test_version": f"0.{m.experiment_version}.0",
    }


def _moment(us: int) -> str:
    return datetime.fromtimestamp(us // 1_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _test_keys(observations: Sequence[Observation], verdicts: Sequence[Verdict]) -> Json:
    whole = next((v for v in verdicts if v.endpoint == ""), None)
    return {
        "failure": None,
        "queries": list(_steps(observations, Operation.RESOLVE, _query)),
        "tcp_connect": list(_steps(observations, Operation.CONNECT, _connect)),
        "tls_handshakes": list(_steps(observations, Operation.TLS_HANDSHAKE, _handshake)),
        "requests": list(_steps(observations, Operation.HTTP_ROUND_TRIP, _request)),
        "accessible": None if whole is None else whole.state is State.REACHABLE,
        "blocking": _blocking(whole),
        "x_heliograph_rule": whole.rule if whole else None,
    }


def _steps(observations: Iterable[Observation], operation: Operation, shape: Any) -> Iterable[Json]:
    for number, o in enumerate(observations):
        if o.operation is operation:
            yield {**shape(o), "failure": o.failure, **_times(o), "transaction_id": number}


def _times(o: Observation) -> Json:
    return {"t0": o.started_us / 1e6, "t": (o.started_us + o.duration_us) / 1e6}


def _blocking(whole: Verdict | None) -> str | bool | None:
    """Their words: dns, tcp_ip, http-failure, False, or None when nobody can say."""
    if whole is None or whole.state is State.UNKNOWN:
        return None
    if whole.state is not State.BLOCKED:
        return False
    return {"dns": "dns", "tcp": "tcp_ip"}.get(whole.layer, "http-failure")


def _query(o: Observation) -> Json:
    d = o.dns
    if d is None:
        return {"answers": None}
    return {
        "answers": [_answer(a.type, a.data, a.ttl_s) for a in d.answers] or None,
        "engine": d.engine,
        "hostname": d.name,
        "query_type": d.query_type,
        "rcode": d.rcode,
        "resolver_address": d.resolver,
    }


def _answer(type_: str, data: str, ttl_s: int) -> Json:
    field = {"A": "ipv4", "AAAA": "ipv6", "CNAME": "hostname"}.get(type_, "data")
    return {"answer_type": type_, field: data, "ttl": ttl_s}


def _connect(o: Observation) -> Json:
    if o.tcp is None:
        return {"status": {"success": o.failure is None, "failure": o.failure}}
    return {
        "ip": o.tcp.address,
        "port": o.tcp.port,
        "status": {"success": o.failure is None, "failure": o.failure},
    }


def _handshake(o: Observation) -> Json:
    t = o.tls
    if t is None:
        return {}
    return {
        "cipher_suite": t.cipher,
        "negotiated_protocol": t.alpn,
        "server_name": t.server_name,
        "tls_version": t.version,
        "peer_certificates": [],  # we keep hashes, not certificates
        "x_peer_certificates_sha256": [c.sha256 for c in t.chain],
    }


def _request(o: Observation) -> Json:
    h = o.http
    if h is None:
        return {}
    return {
        "request": {"method": h.method, "url": h.url, "headers": {}, "body": ""},
        "response": {
            "code": h.status,
            "headers": {"Location": h.location} if h.location else {},
            "body": "",
            "body_is_truncated": h.truncated,
            "x_body_bytes": h.body_bytes,
            "x_body_sha256": h.body_sha256,
        },
    }
