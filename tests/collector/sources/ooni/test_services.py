"""OONI's other tests: our results beside OONI's own conclusions."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from heliograph_collector.judge import judge
from heliograph_collector.sources.ooni import ImportRow, PeerOutcomes, format_row
from support.ooni import (
    DCS,
    REFUSED,
    RST,
    STOP,
    TIMEOUT,
    Json,
    connect,
    fetch,
    frame,
    import_document,
    is_failure,
    judge_document,
    no_rows,
    query,
    request,
)

SIGNAL = ("cdsi", "chat", "sfu.voip", "storage")
FACEBOOK = {
    "stun": "stun.fbsbx.com",
    "b_api": "b-api.facebook.com",
    "b_graph": "b-graph.facebook.com",
    "edge": "edge-mqtt.facebook.com",
    "external_cdn": "external.xx.fbcdn.net",
    "scontent_cdn": "scontent.xx.fbcdn.net",
    "star": "star.c10r.facebook.com",
}
META = {"answers": "157.240.27.54", "asn": 32934}
PRIVATE = {"answers": "10.10.34.35", "asn": 0}
SILENT = {**PRIVATE, "connect": "generic_timeout_error"}
BLOCKED_PAGE = {"answers": "83.224.65.41", "asn": 30722}
# What OONI concluded is never read: every measurement here claims the contrary of sense.
LIES = {"telegram_tcp_blocking": None, "signal_backend_status": "?", "facebook_dns_blocking": "?"}

Outcome = tuple[Any, Any]  # blocking, accessible
OK: Outcome = (False, True)
DOUBT: Outcome = (None, None)
HTTP: Outcome = ("http-failure", False)
TCP: Outcome = ("tcp_ip", False)
DNS: Outcome = ("dns", False)


def nothing() -> Json:
    return no_rows() | LIES


def telegram(dcs: Sequence[str], web: str = "ok", **base: object) -> Json:
    """Return a document; a data center is `ok`, `tcp WORD` or `http WORD`."""
    keys = nothing()
    for address, outcome in zip(DCS, dcs, strict=False):
        step, _, word = outcome.partition(" ")
        for port in (80, 443):
            end, path = f"{address}:{port}", address if port == 80 else f"{address}:443"
            keys["tcp_connect"].append(connect(end, word if step == "tcp" else "ok"))
            keys["requests"].append(request(f"http://{path}/", 501 if step == "ok" else word))
    fetch(keys, "https://web.telegram.org/", web)
    return frame("telegram", keys, **base)


def whatsapp(endpoints: Sequence[str], registration: str, web: str, **base: object) -> Json:
    keys = nothing()
    for number, outcome in enumerate(endpoints, 1):
        step, _, word = outcome.partition(" ")
        host, address = f"e{number}.whatsapp.net", f"15.197.210.{number}"
        keys["queries"] += query("system", host, word if step == "dns" else address)
        for port in (443, 5222) if step != "dns" else ():
            fails = step == "tcp" or (step == "half" and port == 443)
            keys["tcp_connect"].append(connect(f"{address}:{port}", word if fails else "ok"))
    fetch(keys, "https://v.whatsapp.net/v2/register", registration, "157.240.27.54")
    fetch(keys, "https://web.whatsapp.com/", web, "157.240.27.55")
    return frame("whatsapp", keys, **base)


def signal(*outcomes: str, **base: object) -> Json:
    keys = nothing()
    for number, (name, outcome) in enumerate(zip(SIGNAL, outcomes, strict=True)):
        fetch(keys, f"https://{name}.signal.org/", outcome, f"13.248.212.{number}")
    keys["queries"] += query("system", "uptime.signal.org", "dns_nxdomain_error")
    return frame("signal", keys, **base)


def facebook(changed: Mapping[str, Any], **base: object) -> Json:
    """Return a document of names at Meta that connect, except the `changed` ones."""
    keys = nothing()
    for name, host in FACEBOOK.items():
        outcome = changed.get(name, META)
        facts = outcome if isinstance(outcome, Mapping) else {"answers": outcome}
        if is_failure(facts["answers"]):
            keys["queries"] += query("system", host, facts["answers"])
            continue
        own = {**facts, "answers": f"{facts['answers']}"}
        keys["queries"] += query("system", host, own)
        if name != "stun":
            end = f"{facts['answers']}:443"
            keys["tcp_connect"].append(connect(end, facts.get("connect", "ok")))
    return frame("facebook_messenger", keys, **base)


def own(address: str, **more: object) -> Json:
    return {"answers": address, "asn": 32934, **more}


WELL = ["ok"] * 4
ALL = ["ok"] * 16
DROPPED, REFUSES = f"tcp {TIMEOUT}", f"tcp {REFUSED}"
RESETS, MUTE, FALSE_CA = f"tls {RST}", f"tls {TIMEOUT}", "tls ssl_unknown_authority"
NXDOMAIN = "dns dns_nxdomain_error"
DNS_STOPPED, TCP_STOPPED, TLS_STOPPED = f"dns {STOP}", f"tcp {STOP}", f"tls {STOP}"
HALF_STOPPED = ["ok", "ok", TCP_STOPPED, TCP_STOPPED]
NO_NETWORK, NO_RESOLVER = "tcp network_unreachable", f"dns {TIMEOUT}"
HALF = f"half {REFUSED}"
CACHE = {"answers": "41.90.5.5", "asn": 33771}
# name, measurement, OONI's anomaly in its own sense, ours as (blocking, accessible)
ROWS: list[tuple[str, Json, bool, Outcome]] = [
    ("telegram works", telegram(WELL), False, OK),
    ("every DC drops", telegram([DROPPED] * 4), True, TCP),
    ("every DC refuses", telegram([REFUSES] * 4), True, TCP),
    ("every DC resets the request", telegram([f"http {RST}"] * 4), True, HTTP),
    ("every DC ends the request", telegram(["http eof_error"] * 4), True, HTTP),
    ("every DC mute", telegram([f"http {TIMEOUT}"] * 4), True, HTTP),
    ("one DC of four drops", telegram([DROPPED, "ok", "ok", "ok"]), False, OK),
    ("one DC of four works", telegram([DROPPED] * 3 + ["ok"]), False, DOUBT),
    ("web NXDOMAIN", telegram(WELL, NXDOMAIN), True, DNS),
    ("web refused by the resolver", telegram(WELL, "dns dns_refused_error"), True, DNS),
    ("web drops", telegram(WELL, DROPPED), True, TCP),
    ("web refuses", telegram(WELL, REFUSES), True, TCP),
    ("web resets the name", telegram(WELL, RESETS), True, HTTP),
    ("web mute after the name", telegram(WELL, MUTE), True, HTTP),
    ("web false authority", telegram(WELL, FALSE_CA), True, DOUBT),
    ("web false name", telegram(WELL, "tls ssl_invalid_hostname"), True, DOUBT),
    ("all of telegram resets", telegram([f"http {RST}"] * 4, RESETS), True, HTTP),
    ("all of telegram drops", telegram([DROPPED] * 4, DROPPED), True, TCP),
    ("telegram cancelled", telegram([TCP_STOPPED] * 4, DNS_STOPPED), True, DOUBT),
    ("telegram cancelled half way", telegram(HALF_STOPPED, DNS_STOPPED), True, DOUBT),
    ("telegram without a network", telegram([NO_NETWORK] * 4, NO_RESOLVER), True, DOUBT),
    ("whatsapp works", whatsapp(ALL, "ok", "ok"), False, OK),
    ("one endpoint's port refuses", whatsapp([HALF, *ALL[1:]], "ok", "ok"), False, OK),
    ("one endpoint drops", whatsapp([DROPPED] + ["ok"] * 15, "ok", "ok"), False, OK),
    ("every endpoint drops", whatsapp([DROPPED] * 16, "ok", "ok"), True, TCP),
    ("every endpoint refuses", whatsapp([REFUSES] * 16, "ok", "ok"), True, TCP),
    ("every endpoint NXDOMAIN", whatsapp([NXDOMAIN] * 16, "ok", "ok"), True, DNS),
    ("registration resets", whatsapp(ALL, RESETS, "ok"), True, HTTP),
    ("registration NXDOMAIN", whatsapp(ALL, NXDOMAIN, "ok"), True, DNS),
    ("registration drops", whatsapp(ALL, DROPPED, "ok"), True, TCP),
    ("web whatsapp resets", whatsapp(ALL, "ok", RESETS), True, HTTP),
    ("web whatsapp NXDOMAIN", whatsapp(ALL, "ok", NXDOMAIN), True, DNS),
    ("web whatsapp false authority", whatsapp(ALL, "ok", FALSE_CA), True, DOUBT),
    ("all of whatsapp drops", whatsapp([DROPPED] * 16, DROPPED, DROPPED), True, TCP),
    ("whatsapp cancelled", whatsapp([TCP_STOPPED] * 16, DNS_STOPPED, DNS_STOPPED), True, DOUBT),
    ("whatsapp cancelled at its end", whatsapp(ALL, "ok", TLS_STOPPED), True, DOUBT),
    ("signal works", signal("ok", "ok", "ok", "ok"), False, OK),
    ("one of signal's resets", signal("ok", RESETS, "ok", "ok"), True, HTTP),
    ("all of signal resets", signal(*[RESETS] * 4), True, HTTP),
    ("one of signal's NXDOMAIN", signal(NXDOMAIN, "ok", "ok", "ok"), True, DNS),
    ("all of signal NXDOMAIN", signal(*[NXDOMAIN] * 4), True, DNS),
    ("signal drops", signal(*[DROPPED] * 4), True, TCP),
    ("signal refuses", signal("ok", "ok", "ok", REFUSES), True, TCP),
    ("signal mute after the name", signal("ok", "ok", MUTE, "ok"), True, HTTP),
    ("signal false authority", signal("ok", FALSE_CA, "ok", "ok"), True, DOUBT),
    ("signal mute after the request", signal("ok", f"http {TIMEOUT}", "ok", "ok"), True, HTTP),
    ("signal cancelled", signal(*[TLS_STOPPED] * 4), True, DOUBT),
    ("facebook works", facebook({}), False, OK),
    ("b-api NXDOMAIN", facebook({"b_api": "dns_nxdomain_error"}), True, DNS),
    ("stun NXDOMAIN", facebook({"stun": "dns_nxdomain_error"}), True, DNS),
    ("every name NXDOMAIN", facebook(dict.fromkeys(FACEBOOK, "dns_nxdomain_error")), True, DNS),
    ("edge leads elsewhere", facebook({"edge": BLOCKED_PAGE}), True, DNS),
    ("every name leads elsewhere", facebook(dict.fromkeys(FACEBOOK, BLOCKED_PAGE)), True, DNS),
    ("a provider's own cache of scontent", facebook({"scontent_cdn": CACHE}), True, OK),
    ("star drops", facebook({"star": own("157.240.9.9", connect=TIMEOUT)}), True, TCP),
    ("b-graph refuses", facebook({"b_graph": own("157.240.9.8", connect=REFUSED)}), True, TCP),
    ("facebook cancelled", facebook({"star": own("157.240.9.9", connect=STOP)}), True, DOUBT),
    ("telegram's link is gone, in timeouts", telegram([DROPPED] * 4, NO_RESOLVER), True, DOUBT),
    ("names lead home", facebook(dict.fromkeys(FACEBOOK, PRIVATE)), True, DNS),
    ("and are mute", facebook(dict.fromkeys(FACEBOOK, SILENT)), True, DNS),
    ("facebook's resolver silent", facebook({"edge": TIMEOUT}), True, DOUBT),
]


@pytest.mark.parametrize(
    ("measured", "wanted"), [(m, w) for _, m, _, w in ROWS], ids=[r[0] for r in ROWS]
)
def test_row(measured: Json, wanted: Outcome) -> None:
    found = judge_document(measured)
    assert (found["blocking"], found["accessible"]) == wanted, found


def test_where_we_differ_from_ooni_it_is_by_doubt_or_by_partial_blocking() -> None:
    """Where we differ from OONI, it is by doubt or by partial blocking.

    OONI's anomaly is our blocking; otherwise we doubt, or most of the service works.
    """
    for name, _, anomaly, (blocking, accessible) in ROWS:
        agrees = anomaly == (accessible is False)
        assert agrees or blocking is None or "cache" in name, name


def test_without_a_control_blocking_is_half_sure() -> None:
    seen = import_document(signal(RESETS, "ok", "ok", "ok"))
    verdicts = judge(seen.record, seen.control)
    assert 0 < format_row(seen, verdicts)["confidence"] <= 0.5


def world_of(*measured: Json) -> list[ImportRow]:
    """Import documents together, as one run does."""
    world = PeerOutcomes()
    imported = [import_document(m) for m in measured]
    for seen in imported:
        world.add(seen)
    lines = []
    for before in imported:
        seen = world.compare_peers(before)
        lines.append(format_row(seen, judge(seen.record, seen.control)))
    return lines


def test_an_outage_everywhere_is_down_and_blocked_nowhere() -> None:
    """Meta, 4 October 2021: OONI saw blocking in every country."""
    dead = ([DROPPED] * 16, NO_RESOLVER, "dns dns_servfail_error")
    lines = world_of(*(whatsapp(*dead, probe_cc=cc) for cc in ("IT", "KZ", "BR", "KE")))
    assert {(x["verdict"], x["blocking"]) for x in lines} <= {("down", False), ("unknown", None)}


def test_one_country_that_fails_alone_is_blocked_and_surer_for_it() -> None:
    alone = telegram(WELL, RESETS, probe_cc="KZ")
    elsewhere = [telegram(WELL, probe_cc=country) for country in ("IT", "BR")]
    blocked, *others = world_of(alone, *elsewhere)
    assert blocked["blocking"] == "http-failure"
    assert blocked["confidence"] > 0.5
    assert all(x["accessible"] is True for x in others)


def test_a_new_root_of_the_service_s_own_is_not_blocking(signal_root: Json) -> None:
    """Signal, 19 October 2022: the probe did not know the new root, anywhere."""
    measured = signal("ok", FALSE_CA, "ok", "ok")
    measured["test_keys"]["tls_handshakes"][1]["peer_certificates"] = [signal_root]
    found = judge_document(measured)
    assert found["blocking"] in (False, None), found


OLD, NEW = "2021-02-01 10:00:00", "2024-02-01 10:00:00"
RETIRED, RARE = "textsecure-service.whispersystems.org", "api.backup.signal.org"


@pytest.mark.parametrize(
    ("host", "outcome", "day", "verdict"),
    [
        (RETIRED, RESETS, OLD, "blocked"),
        (RETIRED, RESETS, NEW, "reachable"),
        (RARE, MUTE, NEW, "reachable"),
        (RARE, RESETS, NEW, "partial"),
        ("chat.signal.org", MUTE, NEW, "blocked"),
    ],
)
def test_retired_and_unsteady_signal_hosts(host: str, outcome: str, day: str, verdict: str) -> None:
    keys = nothing()
    fetch(keys, "https://storage.signal.org/", "ok", "13.248.212.1")
    fetch(keys, f"https://{host}/", outcome, "13.248.212.2")
    found = judge_document(frame("signal", keys, measurement_start_time=day))
    assert found["verdict"] == verdict
