"""The shared parts of OONI documents: the base format, rows of one operation.

Sources: ooni/spec data-formats df-000 to df-006, nettests/ts-017 (2025-06), and probe-cli.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from support.honest.case import Page

Json: TypeAlias = dict[str, Any]
RESOLVERS = {
    "system": ("getaddrinfo", ""), "udp": ("udp", "1.1.1.1:53"),
    "doh": ("doh", "https://dns.google/dns-query"),
}  # fmt: skip


def frame_document(test_name: str, cc: str, asn: int, time: str, keys: Json, **more: Any) -> Json:
    """Wrap test keys in the base format 0.2.0 (df-000)."""
    return {
        "annotations": {"network_type": "wifi", "platform": "linux"},
        "data_format_version": "0.2.0",
        "input": None,
        "measurement_start_time": time,
        "probe_asn": f"AS{asn}",
        "probe_cc": cc,
        "probe_ip": "127.0.0.1",
        "probe_network_name": "",
        "report_id": f"{time[:10].replace('-', '')}T000000Z_{test_name}_{cc}_{asn}_n1_x",
        "resolver_asn": f"AS{asn}",
        "resolver_ip": "127.0.0.2",
        "resolver_network_name": "",
        "software_name": "ooniprobe-cli",
        "software_version": "3.22.0",
        "test_helpers": {},
        "test_keys": keys,
        "test_name": test_name,
        "test_runtime": 3.5,
        "test_start_time": time,
        "test_version": "0.1.0",
        **more,
    }


def is_failure(outcome: str) -> bool:
    """Return whether a lookup's outcome is a word of df-007 rather than addresses."""
    return "_" in outcome or outcome == "interrupted"


def host_of(url: str) -> str:
    return urlsplit(url).hostname or ""


def make_lookup(engine: str, host: str, outcome: str, asns: Mapping[str, int]) -> list[Json]:
    """Return the rows of a lookup: one of getaddrinfo, or one of A and one of AAAA."""
    if engine == "system":
        return [_make_query(engine, host, "ANY", outcome, asns)]
    if is_failure(outcome):
        return [_make_query(engine, host, kind, outcome, asns) for kind in ("A", "AAAA")]
    rows = []
    for kind in ("A", "AAAA"):
        own = [a for a in outcome.split() if (":" in a) == (kind == "AAAA")]
        rows.append(_make_query(engine, host, kind, " ".join(own) or "dns_no_answer", asns))
    return rows


def _make_query(engine: str, host: str, kind: str, outcome: str, asns: Mapping[str, int]) -> Json:
    engine_name, resolver = RESOLVERS[engine]
    failed = is_failure(outcome)
    answers = None if failed else [_make_answer(a, asns.get(a)) for a in outcome.split()]
    return {
        "answers": answers, "engine": engine_name, "failure": outcome if failed else None,
        "hostname": host, "query_type": kind, "resolver_address": resolver,
        "resolver_hostname": None, "resolver_port": None, "t0": 0.01, "t": 0.05,
    }  # fmt: skip


def _make_answer(address: str, asn: int | None) -> Json:
    kind, field = ("AAAA", "ipv6") if ":" in address else ("A", "ipv4")
    network = {"asn": asn, "as_org_name": ""} if asn else {}
    return {"answer_type": kind, field: address, "ttl": None, "hostname": "", **network}


def make_connect(end: str, failure: str | None) -> Json:
    address, _, port = end.rpartition(":")
    status = {"success": failure is None, "failure": failure}
    return {"ip": address.strip("[]"), "port": int(port), "status": status, "t0": 0.1, "t": 0.2}


def make_handshake(end: str, host: str, failure: str | None, chain: Sequence[Json] = ()) -> Json:
    passed = failure is None
    return {
        "address": end, "network": "tcp", "server_name": host, "failure": failure,
        "no_tls_verify": False, "peer_certificates": list(chain),
        "cipher_suite": "TLS_AES_128_GCM_SHA256" if passed else "",
        "negotiated_protocol": "h2" if passed else "",
        "tls_version": "TLSv1.3" if passed else "", "t0": 0.2, "t": 0.3,
    }  # fmt: skip


def make_request(url: str, page: Page | str, end: str = "", method: str = "GET") -> Json:
    """Return a transaction (df-001) with a page, or with the failure to get one."""
    answered = isinstance(page, Page)
    headers = dict(page.headers) if isinstance(page, Page) else {}
    return {
        "address": end, "network": "tcp", "failure": None if answered else page,
        "request": {
            "body": "", "body_is_truncated": False, "headers": {}, "headers_list": [],
            "method": method, "tor": {"exit_ip": None, "exit_name": None, "is_tor": False},
            "url": url, "x_transport": "tcp",
        },
        "response": {
            "body": write_body(page) if isinstance(page, Page) else "",
            "body_is_truncated": False, "code": page.status if isinstance(page, Page) else 0,
            "headers": headers, "headers_list": [[k, v] for k, v in headers.items()],
        },
        "t0": 0.3, "t": 0.6,
    }  # fmt: skip


def write_body(page: Page) -> str:
    """Return HTML with the title and text, filled to the length."""
    if not (page.title or page.text or page.bytes):
        return ""
    title = f"<title>{page.title}</title>" if page.title else ""
    start = f"<!DOCTYPE html><html><head>{title}</head><body>{page.text}"
    end = "</body></html>"
    return start + "." * max(0, page.bytes - len(start) - len(end)) + end
