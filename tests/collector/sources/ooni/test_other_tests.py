"""dnscheck, stunreachability, tor and the two tests for boxes in between."""

import base64
from typing import Any

import pytest

from support.ooni import (
    REFUSED,
    RST,
    STOP,
    TIMEOUT,
    Json,
    connect,
    frame,
    handshake,
    judge_document,
    query,
    request,
)

FALSE_CA = "ssl_unknown_authority"
DOT = "dot://8.8.8.8:853"
DOH = "https://1.1.1.1/dns-query"


def lookup(failure: str | None = None, *, tcp: str = "ok", tls: str = "ok") -> Json:
    rows: Json = {"failure": failure, "tcp_connect": [connect("8.8.8.8:853", tcp)]}
    rows["tls_handshakes"] = [handshake("8.8.8.8:853", tls, "dns.google")] if tcp == "ok" else []
    return rows


def dnscheck(lookups: Json, bootstrap: str | None = None) -> Json:
    keys: Json = {"lookups": lookups, "bootstrap_failure": bootstrap, "bootstrap": None}
    keys["bootstrap"] = {"queries": query("system", "dns.google", bootstrap or "8.8.8.8 8.8.4.4")}
    return frame("dnscheck", keys, input="dot://dns.google/")


def stun(failure: str | None, *, resolved: str = "74.125.250.129") -> Json:
    keys: Json = {"endpoint": "stun.l.google.com:19302", "failure": failure}
    keys["queries"] = query("system", "stun.l.google.com", resolved)
    return frame("stunreachability", keys, input="stun://stun.l.google.com:19302")


def tor(**kinds: list[str | None]) -> Json:
    """Return failures by kind of target; `tcp WORD` is a failure to connect."""
    targets: Json = {}
    for block, (kind, outcomes) in enumerate(kinds.items(), 2):
        for number, outcome in enumerate(outcomes):
            step, _, word = str(outcome or "ok").partition(" ")
            end = f"66.111.{block}.{number + 1}:9001"
            targets[f"{kind}{number}"] = {
                "target_protocol": kind,
                "target_address": end,
                "failure": word or (None if step == "ok" else step),
                "tcp_connect": [connect(end, word if step == "tcp" else "ok")],
            }
    return frame("tor", {"targets": targets})


def header_fields(failure: str | None = None, **tampering: Any) -> Json:
    rows = [request("http://38.107.216.10/", failure or 200)]
    keys: Json = {"requests": rows, "tampering": {"total": False, **tampering}}
    return frame("http_header_field_manipulation", keys, test_version="0.2.1")


def packed(text: str) -> Json:
    return {"format": "base64", "data": base64.b64encode(text.encode()).decode()}


def request_lines(*received: str, failures: list[str | None] | None = None) -> Json:
    sent = ["QWERT / HTTP/1.1\n\r", "AAAA BBBB CCCC DDDD\n\r", "GET / HTTP/XXX\n\r"]
    keys: Json = {
        "sent": sent,
        "received": [s if x == "=" else packed(x) for x, s in zip(received, sent, strict=True)],
        "failure_list": failures or [None, None, None],
        "tampering": True,
    }
    return frame("http_invalid_request_line", keys, test_version="0.2.1")


Outcome = tuple[str, str]  # verdict, layer
OK: Outcome = ("reachable", "")
CHANGED: Outcome = ("reachable", "http")
DOUBT: Outcome = ("unknown", "")
TCP, TLS, DNS, PROTOCOL = (("blocked", layer) for layer in ("tcp", "tls", "dns", "protocol"))
DROP = f"tcp {TIMEOUT}"
UP: list[str | None] = [None]
ROWS: list[tuple[str, Json, Outcome]] = [
    ("a resolver answers", dnscheck({DOT: lookup()}), OK),
    ("one resolver of two answers", dnscheck({DOT: lookup(), DOH: lookup(RST, tls=RST)}), OK),
    ("a resolver's name is denied", dnscheck({}, "dns_nxdomain_error"), DNS),
    ("a resolver's handshake is reset", dnscheck({DOT: lookup(RST, tls=RST)}), TLS),
    ("a resolver's handshake falls silent", dnscheck({DOT: lookup(TIMEOUT, tls=TIMEOUT)}), TLS),
    ("a resolver's certificate is false", dnscheck({DOT: lookup(FALSE_CA, tls=FALSE_CA)}), DOUBT),
    ("a resolver refuses", dnscheck({DOT: lookup(REFUSED, tcp=REFUSED)}), TCP),
    ("a resolver is dropped", dnscheck({DOT: lookup(TIMEOUT, tcp=TIMEOUT)}), TCP),
    ("a resolver says nothing", dnscheck({DOT: lookup(TIMEOUT)}), PROTOCOL),
    ("a resolver gives bogons", dnscheck({DOT: lookup("dns_bogon_error")}), PROTOCOL),
    ("dnscheck is stopped", dnscheck({DOT: lookup(STOP, tls=STOP)}), DOUBT),
    ("dnscheck has no keys", frame("dnscheck", None), DOUBT),
    ("stun answers", stun(None), OK),
    ("stun is silent", stun(TIMEOUT), DOUBT),
    ("stun is refused", stun(REFUSED), DOUBT),
    ("stun's name is denied", stun("dns_nxdomain_error", resolved="dns_nxdomain_error"), DOUBT),
    ("stun is stopped", stun(STOP), DOUBT),
    ("stun has no keys", frame("stunreachability", None), DOUBT),
    ("tor works", tor(or_port_dirauth=UP * 3, or_port=UP * 2, dir_port=UP, obfs4=UP), OK),
    ("one authority of three is dropped", tor(or_port_dirauth=[*UP, *UP, DROP], obfs4=UP), OK),
    ("every authority is dropped", tor(or_port_dirauth=[DROP] * 3, obfs4=[None]), TCP),
    ("every bridge is reset", tor(or_port_dirauth=[None], obfs4=[RST] * 3), PROTOCOL),
    ("every bridge is silent", tor(or_port_dirauth=[None], obfs4=[TIMEOUT] * 2), PROTOCOL),
    ("every authority refuses", tor(or_port_dirauth=[f"tcp {REFUSED}"] * 2), TCP),
    ("the directory answers nonsense", tor(dir_port=["eof_error"]), PROTOCOL),
    ("all of tor is dropped", tor(or_port_dirauth=[DROP] * 3, or_port=[DROP] * 2), DOUBT),
    ("tor is stopped", tor(or_port_dirauth=[f"tcp {STOP}"] * 3), DOUBT),
    ("tor had no targets", tor(), DOUBT),
    ("headers came as sent", header_fields(), OK),
    ("a header's name was changed", header_fields(header_field_name=True), CHANGED),
    ("a header's value was changed", header_fields(header_field_value=True), CHANGED),
    ("a header was added", header_fields(header_field_number=True), CHANGED),
    ("headers' capitals were changed", header_fields(header_name_capitalization=True), CHANGED),
    ("the method's capitals differ", header_fields(request_line_capitalization=True), CHANGED),
    ("headers are missing", header_fields(header_name_diff=["X-Foo"]), CHANGED),
    ("something else answers", header_fields(total=True), CHANGED),
    ("the echo is out of reach", header_fields(REFUSED), DOUBT),
    ("the echo was stopped", header_fields(STOP), DOUBT),
    ("the echo was stopped, which OONI calls total", header_fields(STOP, total=True), DOUBT),
    ("the echo is gone, which OONI calls total", header_fields("eof_error", total=True), DOUBT),
    ("no headers at all", frame("http_header_field_manipulation", {}), DOUBT),
    ("lines came back as sent", request_lines("=", "=", "="), OK),
    ("a line came back as an error", request_lines("HTTP/1.1 400 Bad", "=", "="), CHANGED),
    ("every line came back changed", request_lines("a", "b", "c"), CHANGED),
    ("lines got no reply", request_lines("=", "=", "=", failures=[TIMEOUT] * 3), DOUBT),
    ("lines were stopped", request_lines("=", "=", "=", failures=[STOP] * 3), DOUBT),
    ("no lines at all", frame("http_invalid_request_line", {}), DOUBT),
]


@pytest.mark.parametrize(("measured", "wanted"), [r[1:] for r in ROWS], ids=[r[0] for r in ROWS])
def test_row(measured: Json, wanted: Outcome) -> None:
    found = judge_document(measured)
    assert (found["verdict"], found["layer"]) == wanted, found
