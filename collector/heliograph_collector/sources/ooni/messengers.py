"""telegram, whatsapp, signal and facebook_messenger: which rows are about which endpoint."""

from dataclasses import replace
from datetime import UTC, datetime

from heliograph.failure import Failure, Operation
from heliograph.observation import Observation
from heliograph_collector.sources.ooni import archival as s
from heliograph_collector.sources.ooni.archival import Steps
from heliograph_collector.sources.ooni.endpoints import (
    Endpoint,
    Sorted,
    by_word,
    imported,
    reached,
    service,
    told,
)
from heliograph_collector.sources.ooni.envelope import Imported, started_us
from heliograph_collector.sources.ooni.steps_builder import Hop, walk
from heliograph_collector.sources.ooni.values import Json, obj, rows, text, whole

TIMEOUT = Failure.GENERIC_TIMEOUT_ERROR
UNSAID = TIMEOUT  # stands where a summary tells the step and not the word
META = 32934  # the AS of every front of Meta's but the caches it lends to providers
WHATSAPP = tuple(f"e{number}.whatsapp.net" for number in range(1, 17))
SIGNAL_RETIRED = {  # when these were switched off, for everybody
    "api.directory.signal.org": datetime(2023, 5, 1, tzinfo=UTC),
    "textsecure-service.whispersystems.org": datetime(2023, 11, 7, tzinfo=UTC),
}
SIGNAL_STEADY = (
    *("cdsi.signal.org", "chat.signal.org", "sfu.voip.signal.org", "storage.signal.org"),
    *SIGNAL_RETIRED,
)  # the other hosts time out at random, anywhere
SIGNAL_OWN = ("signal messenger", "open whisper systems")
FACEBOOK = {
    "stun": "stun.fbsbx.com",
    "b_api": "b-api.facebook.com",
    "b_graph": "b-graph.facebook.com",
    "edge": "edge-mqtt.facebook.com",
    "external_cdn": "external.xx.fbcdn.net",
    "scontent_cdn": "scontent.xx.fbcdn.net",
    "star": "star.c10r.facebook.com",
}
LENT = ("external_cdn", "scontent_cdn")  # providers hold caches of these in their own networks


def telegram(document: Json) -> Imported:
    keys = obj(document.get("test_keys"))
    found = Sorted(keys)
    for address, port in _data_centres(keys):
        url = f"http://{address}:{port}/"
        found.add(Endpoint(f"dc-{address}-{port}", "dc", url))
    found.add(Endpoint("web", "web", "https://web.telegram.org/"))
    if len(found.endpoints) == 1:
        found.add(Endpoint("dc", "dc", "http:///"))  # all of them; which, is not told
    return service(document, "telegram", found, lambda made, e: _telegram_word(made, e, keys))


def _telegram_word(made: Steps, endpoint: Endpoint, keys: Json) -> None:
    said, word = told(keys, "telegram_web_failure", "telegram_web_status")
    if endpoint.label == "web" and said:
        by_word(made, endpoint.url, word, text(keys.get("failed_operation"), 32))
    elif endpoint.label == "dc":
        tcp, http = keys.get("telegram_tcp_blocking"), keys.get("telegram_http_blocking")
        finished = keys.get("telegram_web_status") == "ok" and word is None
        _dc_word(made, tcp, http, finished=finished)


def _dc_word(made: Steps, tcp: object, http: object, *, finished: bool) -> None:
    """True is what a stopped run says as well: it counts if the web front was fetched."""
    if http is False and tcp is not True:
        reached(made, Operation.CONNECT)
    elif http is True:
        step = Operation.CONNECT if tcp is True else Operation.HTTP_ROUND_TRIP
        reached(made, step, UNSAID if finished else Failure.UNKNOWN_FAILURE)
    elif tcp is True:
        reached(made, Operation.CONNECT, Failure.UNKNOWN_FAILURE)


def _data_centres(keys: Json) -> list[tuple[str, int]]:
    """Those that were tried, by address; http://web.telegram.org was none and is left out."""
    ends = []
    for row in rows(keys.get("requests")):
        hop = Hop(text(obj(row.get("request")).get("url")))
        if s.is_address(hop.host):
            ends.append((hop.host, hop.port))
    named = {
        a for q in rows(keys.get("queries")) for x in s.queries(q) if x.dns for a in x.dns.addresses
    }
    for row in rows(keys.get("tcp_connect")):
        tcp = s.connect(row).tcp
        if tcp and tcp.port and tcp.address not in named:
            ends.append((tcp.address, tcp.port))
    return list(dict.fromkeys(ends))


def whatsapp(document: Json) -> Imported:
    keys = obj(document.get("test_keys"))
    found = Sorted(keys)
    hosts = {text(q.get("hostname"), 256) for q in rows(keys.get("queries"))}
    for host in WHATSAPP:
        for port in (443, 5222) if host in hosts else ():
            label = f"{host.partition('.')[0]}-{port}"
            found.add(Endpoint(label, "endpoints", f"tcp://{host}:{port}"))
    found.add(Endpoint("registration", "registration", "https://v.whatsapp.net/v2/register"))
    found.add(Endpoint("web", "web", "https://web.whatsapp.com/"))
    if not hosts:
        found.add(Endpoint("endpoint", "endpoints", "tcp:"))
    return service(document, "whatsapp", found, lambda made, e: _whatsapp_word(made, e, keys))


def _whatsapp_word(made: Steps, endpoint: Endpoint, keys: Json) -> None:
    registration = told(keys, "registration_server_failure", "registration_server_status")
    web = told(keys, "whatsapp_web_failure", "whatsapp_web_status")
    said, word = {"registration": registration, "web": web}.get(endpoint.label, (False, None))
    if said:
        by_word(made, endpoint.url, word, text(keys.get("failed_operation"), 32))
    elif endpoint.label == "endpoint" and keys.get("whatsapp_endpoints_status") == "ok":
        reached(made, Operation.CONNECT)
    elif endpoint.label == "endpoint" and keys.get("whatsapp_endpoints_status") == "blocked":
        finished = registration == web == (True, None)
        reached(made, Operation.CONNECT, UNSAID if finished else Failure.UNKNOWN_FAILURE)


def signal(document: Json) -> Imported:
    keys = obj(document.get("test_keys"))
    found = Sorted(keys)
    hosts = [Hop(text(obj(r.get("request")).get("url"))).host for r in rows(keys.get("requests"))]
    hosts += [text(row.get("hostname"), 256) for row in rows(keys.get("queries"))]
    for host in hosts:
        _signal_host(found, host, started_us(document))
    made = Steps()
    for endpoint in found.endpoints.values():
        made.label = endpoint.label
        walk(made, found.hop(endpoint))
        if endpoint.label not in SIGNAL_STEADY and TIMEOUT in {x.failure for x in made.here()}:
            made.made = [x for x in made.made if x.endpoint != made.label]
    groups = {x.endpoint: x.endpoint for x in made.made}
    said, word = told(keys, "signal_backend_failure", "signal_backend_status")
    if not found.endpoints and said:
        made.label, groups = "backend", {"backend": "backend"}
        operation = text(keys.get("failed_operation"), 32)
        by_word(made, "https://chat.signal.org/", word, operation)
    return imported(document, "signal", made, groups, mirror=_own_root)


def _signal_host(found: Sorted, host: str, when_us: int) -> None:
    """uptime.signal.org is looked up and no more; retired names fail for everybody."""
    own = host.endswith((".signal.org", ".whispersystems.org")) and host != "uptime.signal.org"
    retired = SIGNAL_RETIRED.get(host)
    if own and (retired is None or when_us < retired.timestamp() * 1e6):
        found.add(Endpoint(host, host, f"https://{host}/"))


def _own_root(seen: Observation) -> bool:
    """The service's own root, which the probe of that day did not know yet: it fails everywhere."""
    issuers = [c.issuer.lower() for c in seen.tls.chain] if seen.tls else []
    return any(name in issuer for issuer in issuers for name in SIGNAL_OWN)


def facebook_messenger(document: Json) -> Imported:
    keys = obj(document.get("test_keys"))
    found = Sorted(keys)
    for name, host in FACEBOOK.items():
        port = "" if name == "stun" else ":443"
        found.add(Endpoint(name, name, f"tcp://{host}{port}"))
    made = Steps()
    groups = {}
    for name, endpoint in found.endpoints.items():
        made.label = name
        hop = found.hop(endpoint)
        walk(made, hop)
        if name not in LENT and _elsewhere(hop.queries):
            _refuse(made)
        if not made.here():
            _facebook_word(made, name, keys)
        if made.here():
            groups[name] = name
    if (
        not groups
        and keys.get("facebook_dns_blocking") is keys.get("facebook_tcp_blocking") is False
    ):
        made.label, groups = "all", {"all": "all"}
        reached(made, Operation.CONNECT)
    return imported(document, "facebook_messenger", made, groups)


def _elsewhere(queries: list[Json]) -> bool:
    """Every address lies in a network that is not Meta's, as far as the rows tell networks."""
    networks = [
        whole(a.get("asn")) for q in queries for a in rows(q.get("answers")) if a.get("asn")
    ]
    return bool(networks) and META not in networks


def _refuse(made: Steps) -> None:
    """As OONI's probe does: an answer from another network is none. What stood on it goes too."""
    kept = [x for x in made.made if x.endpoint != made.label]
    own = [x for x in made.here() if x.operation is Operation.RESOLVE]
    made.made = kept
    for seen in own:
        word = seen.failure or Failure.DNS_BOGON_ERROR
        made.add(
            replace(seen, failure=word, dns=replace(seen.dns, answers=()) if seen.dns else None)
        )


def _facebook_word(made: Steps, name: str, keys: Json) -> None:
    if keys.get(f"facebook_{name}_reachable") is True:
        reached(made, Operation.CONNECT)
    elif name == "stun" and keys.get("facebook_stun_dns_consistent") is True:
        reached(made, Operation.RESOLVE)
    elif False in (
        keys.get(f"facebook_{name}_reachable"),
        keys.get(f"facebook_{name}_dns_consistent"),
    ):
        reached(made, Operation.CONNECT, Failure.UNKNOWN_FAILURE)
