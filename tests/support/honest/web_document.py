"""Write web_connectivity documents of probes 0.4 and 0.5 and of both helpers.

The helper visits the addresses of probe and own lookup, special-purpose ones left out, at port 443
and for http:// also at 80; it renames failures (probe-cli, internal/oohelperd: ipinfo.go,
tcptls.go, dns.go, http.go). Before October 2022 it tested only the probe's endpoints, by TCP.
"""

from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

from support.honest.case import Control, Hop, Page, Web
from support.honest.certificates import encode_chain
from support.honest.ooni_frame import (
    Json,
    frame_document,
    host_of,
    is_failure,
    make_connect,
    make_handshake,
    make_lookup,
    make_request,
    write_body,
)

BENCHMARK = ip_network("198.18.0.0/15")  # RFC 2544; fake addresses of tunnels
TCP_NAMES = {"connection_refused": "connection_refused_error"}
DNS_NAMES = {"dns_nxdomain_error": "dns_name_error", "dns_no_answer": None}
HTTP_NAMES = {"connection_refused": "connection_refused_error"}
KEPT_HTTP = ("dns_lookup_error", "generic_timeout_error", "connection_refused_error")


def write_document(web: Web) -> Json:
    keys: Json = {"network_events": None, "queries": [], "tcp_connect": [], "tls_handshakes": []}
    keys["requests"] = []
    first_failure = None
    for depth, hop in enumerate((web, *web.then)):
        failure = _add_hop(keys, hop, web, depth)
        first_failure = first_failure or failure
    keys["requests"].reverse()  # the last one first, by both probes
    if web.probe == "0.4":
        _shape_old(keys)
    keys |= {
        "agent": "redirect", "client_resolver": "127.0.0.2", "retries": None, "socksproxy": None,
        "dns_experiment_failure": _find_dns_failure(keys["queries"]),
        "http_experiment_failure": first_failure, "accessible": None, "blocking": None,
        **_write_control(web),
    }  # fmt: skip
    more = {"input": web.url, "test_version": "0.5.28" if web.probe == "0.5" else "0.4.2"}
    if web.real_day:
        more["report_id"] = f"{web.real_day.replace('-', '')}T100000Z_webconnectivity_{web.cc}_n1_x"
    if web.resolver_asn:
        more["resolver_asn"] = f"AS{web.resolver_asn}"
    return frame_document("web_connectivity", web.cc, web.asn, web.time, keys, **more)


def _add_hop(keys: Json, hop: Hop, web: Web, depth: int) -> str | None:
    """Add the hop's rows and return the failure that ended it, if one did."""
    host = host_of(hop.url)
    tags = [f"depth={depth}", "fetch_body=true"]
    failure = _add_lookups(keys, hop, web, tags)
    fetched = False
    for number, (end, outcome) in enumerate(list_ends(hop, web), 1):
        shared = {"tags": tags, "transaction_id": 100 * (depth + 1) + number}
        step, _, word = outcome.partition(" ")
        keys["tcp_connect"].append(make_connect(end, word if step == "tcp" else None) | shared)
        is_tls = end.endswith(":443")
        if is_tls and step != "tcp":
            chain = encode_chain(hop.cert, host) if hop.cert else ()
            tls_failure = word if step == "tls" else None
            keys["tls_handshakes"].append(make_handshake(end, host, tls_failure, chain) | shared)
        if step in ("tcp", "tls"):
            failure = failure or word
        elif not fetched and is_tls == (urlsplit(hop.url).scheme == "https"):
            fetched = True
            page = word if step == "http" else page_of(hop.page)
            keys["requests"].append(make_request(hop.url, page, end) | shared)
            failure = word if step == "http" else None
    if not fetched and failure and web.probe == "0.4":
        keys["requests"].append(make_request(hop.url, failure))
    return None if fetched and failure is None else failure


def _add_lookups(keys: Json, hop: Hop, web: Web, tags: list[str]) -> str | None:
    """Add the lookups and return the system's failure."""
    engines = ("system", "udp", "doh") if web.probe == "0.5" else ("system",)
    lookups = hop.dns if isinstance(hop.dns, Mapping) else dict.fromkeys(engines, hop.dns)
    for number, (engine, outcome) in enumerate(lookups.items(), 1):
        if engine in engines and outcome:
            rows = make_lookup(engine, host_of(hop.url), outcome, web.asns)
            keys["queries"] += [row | {"tags": tags, "transaction_id": number} for row in rows]
    system = lookups.get("system", "")
    return system if is_failure(system) else None


def list_ends(hop: Hop, web: Web) -> list[tuple[str, str]]:
    """Expand the endpoints; an address without a port means those the probe visits."""
    ends = hop.ends or dict.fromkeys(_list_answers(hop), "ok")
    expanded: dict[str, str] = {}
    for end, outcome in ends.items():
        if _has_port(end):
            expanded[end] = outcome
            continue
        for port in _list_ports(hop.url, web.probe):
            expanded[_join(end, port)] = outcome
    return list(expanded.items())


def _list_answers(hop: Hop) -> list[str]:
    lookups = hop.dns.values() if isinstance(hop.dns, Mapping) else [hop.dns]
    answers = (a for outcome in lookups if not is_failure(outcome) for a in outcome.split())
    return list(dict.fromkeys(answers))


def _list_ports(url: str, probe: str) -> list[int]:
    parts = urlsplit(url)
    if parts.port:
        return [parts.port]
    if parts.scheme == "https":
        return [443]
    return [80, 443] if probe == "0.5" else [80]


def _has_port(end: str) -> bool:
    return "]:" in end or end.count(":") == 1


def _join(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def page_of(page: int | Page) -> Page:
    if isinstance(page, Page):
        return page
    return Page(status=page, title="Welcome", bytes=5_000 if page == 200 else 0)


def _shape_old(keys: Json) -> None:
    """Reshape rows for 0.4: no numbers, no tags, operations of the first page only."""
    for name in ("queries", "tcp_connect", "tls_handshakes"):
        keys[name] = [row for row in keys[name] if "depth=0" in row["tags"]]
    for row in (row for rows in keys.values() for row in rows or ()):
        row.pop("tags", None)
        row.pop("transaction_id", None)
    for row in keys["requests"]:
        del row["address"], row["network"]


def _find_dns_failure(queries: list[Json]) -> str | None:
    return next((str(q["failure"]) for q in queries[:1] if q["failure"]), None)


def _write_control(web: Web) -> Json:
    if web.control is None:
        failure = web.helper if web.helper not in ("new", "old") else "generic_timeout_error"
        return {"control": None, "control_failure": failure}
    body: Json = {
        "dns": _write_control_dns(web.control.dns),
        "http_request": _write_control_page(web.control),
        "tcp_connect": {},
    }
    if web.helper == "new":
        body["tls_handshake"] = {}
        body["ip_info"] = _write_ip_info(web)
    for end in _list_control_ends(web):
        _add_control_end(body, end, web)
    return {"control": body, "control_failure": None}


def _add_control_end(body: Json, end: str, web: Web) -> None:
    assert web.control is not None
    address = end.rpartition(":")[0].strip("[]")
    known = web.control.ends
    outcome = known.get(end) or known.get(address) or known.get("*", "ok")
    step, _, word = outcome.partition(" ")
    failure = TCP_NAMES.get(word, "connect_error") if step == "tcp" else None
    if failure and word == "generic_timeout_error":
        failure = word
    body["tcp_connect"][end] = {"status": failure is None, "failure": failure}
    if failure is None and end.endswith(":443") and "tls_handshake" in body:
        state = {"status": step != "tls", "failure": word if step == "tls" else None}
        body["tls_handshake"][end] = {"server_name": host_of(web.url), **state}


def _list_control_ends(web: Web) -> list[str]:
    if web.helper == "old":
        return [end for end, _ in list_ends(web, web) if not _is_special(end)]
    ports = _list_ports(web.url, "0.5")
    return [_join(a, port) for a in _list_met(web) if not is_bogon(a) for port in ports]


def _list_met(web: Web) -> list[str]:
    """Return the addresses of the probe's first page and of the helper's own lookup."""
    assert web.control is not None
    ends = [end.rpartition(":")[0].strip("[]") for end, _ in list_ends(web, web)]
    own = [] if is_failure(web.control.dns) else web.control.dns.split()
    return list(dict.fromkeys([*ends, *own]))


def _is_special(end: str) -> bool:
    return is_bogon(end.rpartition(":")[0].strip("[]"))


def is_bogon(address: str) -> bool:
    one = ip_address(address)
    return not one.is_global or one in BENCHMARK


def _write_ip_info(web: Web) -> Json:
    """Write ip_info; flags: 1 probe, 2 helper, 4 special-purpose (probe-cli, th.go)."""
    assert web.control is not None
    own = web.control.dns.split()
    met = {end.rpartition(":")[0].strip("[]") for end, _ in list_ends(web, web)}
    info = {}
    for address in _list_met(web):
        flags = 1 * (address in met) | 2 * (address in own) | 4 * is_bogon(address)
        info[address] = {"asn": web.asns.get(address, 0), "flags": flags}
    return info


def _write_control_dns(outcome: str) -> Json:
    if not is_failure(outcome):
        return {"failure": None, "addrs": outcome.split()}
    return {"failure": DNS_NAMES.get(outcome, "dns_server_failure"), "addrs": []}


def _write_control_page(control: Control) -> Json:
    if isinstance(control.page, str):
        name = HTTP_NAMES.get(control.page, control.page)
        failure = name if name in KEPT_HTTP else "unknown_error"
        if control.page.startswith("dns_"):
            failure = "dns_lookup_error"
        none = {"body_length": -1, "title": "", "headers": {}, "status_code": -1}
        return {**none, "failure": failure}
    page = page_of(control.page)
    return {
        "body_length": len(write_body(page)), "failure": None, "title": page.title,
        "headers": dict(page.headers), "status_code": page.status,
    }  # fmt: skip
