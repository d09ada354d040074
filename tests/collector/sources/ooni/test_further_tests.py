"""Tunnels, single fetches and names: results by each test's specification."""

from typing import Any

import pytest

from heliograph_collector.judge import judge
from heliograph_collector.sources.ooni import PeerOutcomes, format_row
from support.ooni import (
    REFUSED,
    RST,
    STOP,
    TIMEOUT,
    Json,
    connect,
    frame,
    handshake,
    import_document,
    judge_document,
    no_rows,
    query,
    request,
)

OK, DOUBT = ("reachable", ""), ("unknown", "")
BLOCKED_TLS, BLOCKED_DNS = ("blocked", "tls"), ("blocked", "dns")
URL, HOST, A = "https://www.example.com/", "www.example.com", "93.184.216.34"
CLEAR = "http://www.example.com/"
HELPER, HELPER_END = "37.218.245.90", "37.218.245.90:443"
VPN = "openvpn://riseup.corp/?address=51.15.187.53:1194&transport="
GATEWAY, PROVIDER = "163.172.211.109:443", "https://riseup.net/provider.json"


def tor_log(*percentages: int) -> list[str]:
    return [f"May 10 13:31:26.000 [notice] Bootstrapped {n}% (x): X" for n in percentages]


def tor(failure: str | None, *percentages: int, name: str = "vanilla_tor", **keys: object) -> Json:
    made: Json = {"failure": failure, "tor_logs": tor_log(*percentages), "bootstrap_time": 0.0}
    return frame(name, {**made, **keys})


def old_tor(percentage: int, *, success: bool) -> Json:
    """Return a document of ooni/probe-legacy: a log as text, and its own error field."""
    error = None if success else "timeout-reached"
    keys = {"success": success, "error": error, "timeout": 300, "tor_progress": percentage}
    return frame("vanilla_tor", {**keys, "tor_log": "\n".join(tor_log(0, percentage))})


def psiphon(failure: str | None, bootstrap_s: float) -> Json:
    keys = {"failure": failure, "bootstrap_time": bootstrap_s, "max_runtime": 60}
    return frame("psiphon", {**keys, "requests": [], "queries": None, "tls_handshakes": None})


def riseupvpn(gateway: str, api: str = "ok") -> Json:
    keys = no_rows()
    keys["queries"] = query("system", "riseup.net", "198.252.153.1")
    keys["tcp_connect"] = [connect("198.252.153.1:443", "ok"), connect(GATEWAY, gateway)]
    keys["tls_handshakes"] = [handshake("198.252.153.1:443", api, "riseup.net")]
    keys["requests"] = [request(PROVIDER, 200 if api == "ok" else api)]
    return frame("riseupvpn", {**keys, "api_status": "ok", "transport_status": {"openvpn": "ok"}})


def openvpn(transport: str, failure: str | None, connected: str = "ok", **base: object) -> Json:
    row = {"ip": "51.15.187.53", "port": 1194, "transport": transport, "failure": failure}
    tcp = [connect("51.15.187.53:1194", connected)] if transport == "tcp" else None
    keys = {"success": failure is None, "failure": failure, "tcp_connect": tcp}
    rows = [row] if connected == "ok" else []
    return frame("openvpn", {**keys, "openvpn_handshake": rows}, input=VPN + transport, **base)


def urlgetter(url: str, tls: str = "ok", page: object = 200, **keys: object) -> Json:
    made = no_rows()
    port = 80 if url.startswith("http:") else 443
    made["queries"] = query("udp", HOST, A)
    made["tcp_connect"] = [connect(f"{A}:{port}", "ok")]
    if port == 443:
        made["tls_handshakes"] = [handshake(f"{A}:443", tls, HOST) | keys]
        del made["tls_handshakes"][0]["server_name"]  # as before 2020-11
    if url.startswith("http"):
        made["requests"] = [request(url, page if tls == "ok" else tls)]
    return frame("urlgetter", {**made, "failure": None if tls == "ok" else tls, **keys}, input=url)


def browser(result: str, url: str = URL) -> Json:
    return frame("browser_web", {"result": result, "load_time_ms": 404.4}, input=url)


def page(failure: str | None, status: int = 0, *, is_tor: bool, title: str = "Home") -> Json:
    """A fetch as ooniprobe 1.x lists it: null in place of a body, headers as lists."""
    body = f"<title>{title}</title>" if status else None
    response = {"code": status, "body": body, "headers": {"Server": ["nginx"]} if status else {}}
    tor_use = {"exit_ip": None, "exit_name": None, "is_tor": is_tor}
    asked = {"url": CLEAR, "method": "GET", "body": None, "headers": {}, "tor": tor_use}
    return {"failure": failure, "request": asked, "response": response, "response_length": None}


def http_requests(*pages: Json, **base: object) -> Json:
    keys = {"requests": list(pages), "factor": 0.8, "start_time": 1448184722.0}
    return frame("http_requests", keys, input=CLEAR, **base)


def sni(target: str, neutral: str = "ok", connected: str = "ok") -> Json:
    def side(name: str, outcome: str, tcp: str = "ok") -> Json:
        rows: Json = {"sni": name, "failure": None if outcome == "ok" else outcome}
        rows["queries"] = query("system", "ps.ooni.io", HELPER)
        rows["tcp_connect"] = [connect(HELPER_END, tcp)]
        rows["tls_handshakes"] = [handshake("", outcome, "")] if tcp == "ok" else None
        return {**rows, "requests": None, "th_address": "ps.ooni.io:443"}

    keys = {"control": side("ps.ooni.io", neutral), "target": side("x.com", target, connected)}
    return frame("sni_blocking", keys, input="x.com")


def ech(hidden: str, plain: str = "ok", *, old: bool = False) -> Json:
    rows = [handshake(f"{A}:443", x, HOST) | {"no_tls_verify": True} for x in (plain, hidden)]
    if old:
        return frame("echcheck", {"control": rows[0], "target": rows[1]}, input=URL)
    marked = rows[1] | {"echconfig": "GREASE", "outer_server_name": "public.example"}
    return frame("echcheck", {"tls_handshakes": [rows[0], marked]}, input=URL)


def dns_consistency(control: str, *resolvers: str) -> Json:
    rows = query("udp", HOST, control)
    rows[0]["resolver_hostname"] = "8.8.8.8"
    for number, outcome in enumerate(resolvers):
        rows += query("udp", HOST, outcome)
        rows[-1]["resolver_hostname"] = f"80.90.160.{number}"
    for row in rows:
        row["resolver_port"] = 53
        del row["engine"], row["resolver_address"]
    keys = {"queries": rows, "control_resolver": "8.8.8.8:53", "inconsistent": ["?"]}
    return frame("dns_consistency", keys, input=CLEAR)


DIRECT, VIA_TOR = page(None, 200, is_tor=False), page(None, 200, is_tor=True)
NO_PAGE, NO_TOR = (
    page("dns_lookup_error", is_tor=False),
    page("socks_host_unreachable", is_tor=True),
)
NXDOMAIN, FALSE_NAME = "dns_nxdomain_error", "ssl_invalid_hostname"
ROWS: list[tuple[str, Json, tuple[str, str]]] = [
    ("tor comes up", tor(None, 0, 10, 100), OK),
    ("tor comes up, before 2022", old_tor(100, success=True), OK),
    ("tor stays where it was", tor(TIMEOUT, 0, 5), DOUBT),
    ("tor stays where it was, before 2022", old_tor(10, success=False), DOUBT),
    ("tor is not installed", tor("unknown_failure: exec: tor not found", success=False), DOUBT),
    ("tor's measurement is empty", frame("vanilla_tor", {}), DOUBT),
    ("snowflake comes up", tor(None, 2, 10, 100, name="torsf"), OK),
    ("snowflake finds no proxy", tor(TIMEOUT, 2, 10, name="torsf"), DOUBT),
    ("psiphon comes up", psiphon(None, 6.6), OK),
    ("psiphon comes up, and its page fails", psiphon("eof_error", 6.6), OK),
    ("psiphon does not come up", psiphon(TIMEOUT, 0), DOUBT),
    ("psiphon's impossible result", psiphon(None, 0), DOUBT),
    ("riseup works", riseupvpn("ok"), OK),
    ("riseup's gateway is silent", riseupvpn(TIMEOUT), DOUBT),
    ("riseup's API has a certificate of its own", riseupvpn("ok", "ssl_unknown_authority"), DOUBT),
    ("openvpn over TCP", openvpn("tcp", None), OK),
    ("openvpn over UDP", openvpn("udp", None), OK),
    ("openvpn over UDP is silent", openvpn("udp", TIMEOUT), DOUBT),
    ("openvpn over TCP is reset", openvpn("tcp", RST), DOUBT),
    ("openvpn does not connect", openvpn("tcp", REFUSED, REFUSED), DOUBT),
    ("openvpn is stopped", openvpn("udp", STOP), DOUBT),
    ("urlgetter fetches over HTTPS", urlgetter(URL), OK),
    ("urlgetter fetches in clear", urlgetter(CLEAR), DOUBT),
    ("urlgetter's handshake", urlgetter(f"tlshandshake://{HOST}:443"), OK),
    ("urlgetter's handshake, not verified", urlgetter(URL, no_tls_verify=True), DOUBT),
    ("urlgetter's connection", urlgetter(f"tcpconnect://{HOST}:443"), OK),
    ("urlgetter's lookup", urlgetter(f"dnslookup://{HOST}"), OK),
    ("urlgetter's handshake is reset", urlgetter(URL, RST), DOUBT),
    ("urlgetter's certificate is false", urlgetter(URL, FALSE_NAME), DOUBT),
    ("urlgetter through a tunnel", urlgetter(URL, tunnel="psiphon"), DOUBT),
    ("a browser gets the page", browser("ok"), OK),
    ("a browser gets a page in clear", browser("ok", CLEAR), DOUBT),
    ("a browser gets an error", browser("error"), DOUBT),
    ("a page, and the same through Tor", http_requests(DIRECT, VIA_TOR), OK),
    ("a page, and Tor fails", http_requests(DIRECT, NO_TOR), DOUBT),
    ("no page, and Tor fails", http_requests(NO_PAGE, NO_TOR), DOUBT),
    ("a name passes", sni("ok"), OK),
    ("the helper has another certificate", sni(FALSE_NAME), OK),
    ("a name is reset", sni(RST), BLOCKED_TLS),
    ("a name falls silent", sni(TIMEOUT), BLOCKED_TLS),
    ("the helper itself is reset", sni(RST, RST), DOUBT),
    ("the helper is out of reach", sni(TIMEOUT, connected=TIMEOUT), DOUBT),
    ("a name is stopped", sni(STOP), DOUBT),
    ("no extension and noise pass", ech("ok"), OK),
    ("noise is reset", ech(RST), BLOCKED_TLS),
    ("noise is reset, before 0.2", ech(RST, old=True), BLOCKED_TLS),
    ("both are reset", ech(RST, RST), DOUBT),
    ("noise passes, before 0.2", ech("ok", old=True), OK),
    ("every resolver agrees", dns_consistency(A, A, A), OK),
    ("one resolver denies", dns_consistency(A, A, A, NXDOMAIN), OK),
    ("every resolver is dead", dns_consistency(A, TIMEOUT, TIMEOUT), DOUBT),
    ("every resolver refuses strangers", dns_consistency(A, "dns_refused_error"), DOUBT),
    ("the control resolver is dead as well", dns_consistency(TIMEOUT, NXDOMAIN), DOUBT),
]  # fmt: skip


@pytest.mark.parametrize(("measured", "wanted"), [r[1:] for r in ROWS], ids=[r[0] for r in ROWS])
def test_row(measured: Json, wanted: tuple[str, str]) -> None:
    found = judge_document(measured)
    assert (found["verdict"], found["layer"]) == wanted, found


def judge_together(*measured: Json) -> list[str]:
    peers = PeerOutcomes()
    imported = [import_document(m) for m in measured]
    for one in imported:
        peers.add(one)
    compared = map(peers.compare_peers, imported)
    return [format_row(one, judge(one.record, one.control))["verdict"] for one in compared]


@pytest.mark.parametrize("failing", [openvpn("udp", TIMEOUT), tor(TIMEOUT, 5), psiphon(TIMEOUT, 0)])
def test_tunnel_is_blocked_only_where_other_countries_came_through(failing: Json) -> None:
    alone = dict(failing) | {"probe_cc": "KZ"}
    works: dict[str, Json] = {
        "openvpn": openvpn("udp", None), "vanilla_tor": tor(None, 100), "psiphon": psiphon(None, 5),
    }  # fmt: skip
    elsewhere = [works[failing["test_name"]] | {"probe_cc": cc} for cc in ("IT", "BR")]
    assert judge_together(alone, *elsewhere) == ["blocked", "reachable", "reachable"]
    everywhere = [dict(failing) | {"probe_cc": cc} for cc in ("KZ", "IT", "BR")]
    assert set(judge_together(*everywhere)) <= {"down", "unknown"}


def test_old_formats_are_read() -> None:
    """Data format 0.1: no `test_keys`, Unix times, and test names in words."""
    newer = http_requests(DIRECT, VIA_TOR)
    keys: dict[str, Any] = newer.pop("test_keys")
    older = {**newer, **keys, "test_name": "HTTP Requests Test", "data_format_version": "0.1"}
    del older["measurement_start_time"], older["test_start_time"]
    imported = import_document(older)
    assert imported.record.measurement.started_us == 1_448_184_722_000_000
    assert judge_document(older)["verdict"] == "reachable"
