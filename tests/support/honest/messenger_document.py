"""Write OONI documents of four messengers and of stunreachability.

Targets and keys: ooni/spec ts-018, ts-019, ts-020, ts-025, ts-029. `fails` maps a pattern over
targets (`https://web.telegram.org/`, `e1.whatsapp.net:443`) to `dns|tcp|tls|http failure`.
"""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from urllib.parse import urlsplit

from support.honest.case import Chain, Messenger, Page
from support.honest.certificates import encode_chain
from support.honest.ooni_frame import (
    Json,
    frame_document,
    make_connect,
    make_handshake,
    make_lookup,
    make_request,
)

CENTERS = ("149.154.175.50", "149.154.167.51", "149.154.175.100", "149.154.167.91",
           "149.154.171.5", "95.161.76.100")  # fmt: skip
SIGNAL_NOW = ("cdsi.signal.org", "chat.signal.org", "sfu.voip.signal.org", "storage.signal.org")
SIGNAL_2021 = ("textsecure-service.whispersystems.org", "storage.signal.org",
               "api.directory.signal.org", "cdn.signal.org", "cdn2.signal.org",
               "sfu.voip.signal.org")  # fmt: skip
SIGNAL_CHANGE = "2023-11-07"  # ooni/probe#2627
FACEBOOK = {
    "b_api": "b-api.facebook.com", "b_graph": "b-graph.facebook.com",
    "edge": "edge-mqtt.facebook.com", "external_cdn": "external.xx.fbcdn.net",
    "scontent_cdn": "scontent.xx.fbcdn.net", "star": "star.c10r.facebook.com",
}  # fmt: skip
META_ADDRESS, META_ASN, AWS_ADDRESS = "157.240.27.54", 32934, "15.197.210.208"
WEB_TELEGRAM, AWS_SIGNAL, STUN_ADDRESS = "149.154.167.99", "13.248.212.111", "74.125.250.129"
ASNS = {META_ADDRESS: META_ASN, AWS_ADDRESS: 16509, AWS_SIGNAL: 16509, STUN_ADDRESS: 15169}


def write_documents(case: Messenger) -> list[Json]:
    """Return the case's document, then those of probes elsewhere."""
    own = _write_document(case, case.cc, case.asn, case.fails)
    peers = [
        _write_document(case, cc, 60_000 + number, fails)
        for number, (cc, fails) in enumerate(case.peers.items(), 1)
    ]
    return [own, *peers]


def _write_document(case: Messenger, cc: str, asn: int, fails: Mapping[str, str]) -> Json:
    keys: Json = {"queries": [], "tcp_connect": [], "tls_handshakes": [], "requests": []}
    more: Json = {}
    if case.test == "telegram":
        _add_telegram(keys, fails, case.cert)
    elif case.test == "whatsapp":
        _add_whatsapp(keys, fails, case.cert)
    elif case.test == "signal":
        _add_signal(keys, fails, case)
    elif case.test == "facebook_messenger":
        _add_facebook(keys, fails)
    else:
        keys = _write_stun(case.target, _find_outcome(fails, case.target))
        more = {"input": f"stun://{case.target}"}
    return frame_document(case.test, cc, asn, case.time, keys, **more)


def _find_outcome(fails: Mapping[str, str], target: str) -> str:
    return next((word for pattern, word in fails.items() if fnmatchcase(target, pattern)), "ok")


def _add_telegram(keys: Json, fails: Mapping[str, str], cert: Chain | None) -> None:
    for address in CENTERS:
        for port in (80, 443):
            _add_center(keys, address, port, _find_outcome(fails, f"{address}:{port}"))
    web = "https://web.telegram.org/"
    web_failure = _add_fetch(keys, web, WEB_TELEGRAM, _find_outcome(fails, web), cert)
    answers = any(r["failure"] is None for r in keys["requests"] if r["request"]["url"] != web)
    connects = any(c["status"]["success"] for c in keys["tcp_connect"] if c["ip"] in CENTERS)
    keys |= {
        "telegram_http_blocking": not answers, "telegram_tcp_blocking": not connects,
        "telegram_web_status": "blocked" if web_failure else "ok",
        "telegram_web_failure": web_failure,
    }  # fmt: skip


def _add_center(keys: Json, address: str, port: int, outcome: str) -> None:
    """Add a POST without TLS, on port 443 too; data centers answer 404, 411 or 501."""
    step, _, word = outcome.partition(" ")
    end = f"{address}:{port}"
    url = f"http://{address}/" if port == 80 else f"http://{end}/"
    keys["tcp_connect"].append(make_connect(end, word if step == "tcp" else None))
    page: Page | str = word if word else Page(status=501, title="501 Not Implemented", bytes=180)
    keys["requests"].append(make_request(url, page, end, "POST"))


def _add_whatsapp(keys: Json, fails: Mapping[str, str], cert: Chain | None) -> None:
    blocked = []
    for number in range(1, 17):
        host = f"e{number}.whatsapp.net"
        outcomes = [_add_host(keys, host, AWS_ADDRESS, port, fails) for port in (443, 5222)]
        blocked += [host] * ("ok" not in outcomes)
    registration, web = "https://v.whatsapp.net/v2/register", "https://web.whatsapp.com/"
    failures = [
        _add_fetch(keys, url, META_ADDRESS, _find_outcome(fails, url), cert)
        for url in (registration, web)
    ]
    states = ["blocked" if failure else "ok" for failure in failures]
    keys |= {
        "registration_server_failure": failures[0], "registration_server_status": states[0],
        "whatsapp_web_failure": failures[1], "whatsapp_web_status": states[1],
        "whatsapp_endpoints_status": "blocked" if len(blocked) == 16 else "ok",
        "whatsapp_endpoints_blocked": blocked, "whatsapp_endpoints_dns_inconsistent": [],
    }  # fmt: skip


def _add_signal(keys: Json, fails: Mapping[str, str], case: Messenger) -> None:
    hosts = SIGNAL_NOW if case.time >= SIGNAL_CHANGE else SIGNAL_2021
    failures = []
    for host in hosts:
        url = f"https://{host}/"
        failures.append(_add_fetch(keys, url, AWS_SIGNAL, _find_outcome(fails, url), case.cert))
    keys["queries"] += make_lookup("system", "uptime.signal.org", "13.224.103.32", {})
    failure = next((one for one in failures if one), None)
    keys |= {
        "signal_backend_status": "blocked" if failure else "ok", "signal_backend_failure": failure,
    }  # fmt: skip


def _add_facebook(keys: Json, fails: Mapping[str, str]) -> None:
    for name, host in FACEBOOK.items():
        outcome = _add_host(keys, host, META_ADDRESS, 443, fails)
        is_found = not outcome.startswith("dns")
        keys[f"facebook_{name}_dns_consistent"] = is_found
        keys[f"facebook_{name}_reachable"] = outcome == "ok" if is_found else None
    stun = _find_outcome(fails, "stun.fbsbx.com").partition(" ")[2]
    keys["queries"] += make_lookup("system", "stun.fbsbx.com", stun or META_ADDRESS, ASNS)
    keys["facebook_stun_dns_consistent"] = not stun
    keys["facebook_stun_reachable"] = None
    lookups = [value for key, value in keys.items() if key.endswith("_dns_consistent")]
    connects = [value for key, value in keys.items() if key.endswith("_reachable")]
    keys["facebook_dns_blocking"] = not all(lookups)
    keys["facebook_tcp_blocking"] = False in connects


def _add_host(keys: Json, host: str, address: str, port: int, fails: Mapping[str, str]) -> str:
    """Look a host up and connect, without TLS; return the outcome."""
    outcome = _find_outcome(fails, f"{host}:{port}")
    step, _, word = outcome.partition(" ")
    answer = word if step == "dns" else address
    if not any(query["hostname"] == host for query in keys["queries"]):
        keys["queries"] += make_lookup("system", host, answer, ASNS)
    if step != "dns":
        keys["tcp_connect"].append(make_connect(f"{address}:{port}", word or None))
    return outcome


def _add_fetch(
    keys: Json, url: str, address: str, outcome: str, cert: Chain | None = None
) -> str | None:
    """Add a GET by name over TLS; return its failure or None."""
    host = urlsplit(url).hostname or ""
    step, _, word = outcome.partition(" ")
    end = f"{address}:443"
    keys["queries"] += make_lookup("system", host, word if step == "dns" else address, ASNS)
    if step != "dns":
        keys["tcp_connect"].append(make_connect(end, word if step == "tcp" else None))
    if step not in ("dns", "tcp"):
        chain: Sequence[Json] = encode_chain(cert, host) if cert else ()
        keys["tls_handshakes"].append(
            make_handshake(end, host, word if step == "tls" else None, chain)
        )
    page: Page | str = word if word else Page(status=200, title="", bytes=2_000)
    keys["requests"].append(make_request(url, page, end if step != "dns" else ""))
    return word or None


def _write_stun(target: str, outcome: str) -> Json:
    host = target.rpartition(":")[0]
    step, _, word = outcome.partition(" ")
    answer = word if step == "dns" else STUN_ADDRESS
    event = {"address": f"{STUN_ADDRESS}:{target.rpartition(':')[2]}", "proto": "udp"}
    events = [{"failure": None, "operation": "connect", "t": 0.05, **event},
              {"failure": None, "num_bytes": 20, "operation": "write", "t": 0.06},
              {"failure": word or None, "operation": "read", "t": 5.0}]  # fmt: skip
    return {
        "endpoint": target, "failure": word or None,
        "network_events": [] if step == "dns" else events,
        "queries": make_lookup("system", host, answer, ASNS),
    }  # fmt: skip
