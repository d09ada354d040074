"""Plain words for codes: countries, links, states, layers, methods and how sure we are."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from heliograph.observation import Link
from heliograph_collector.store.rows import State

LINKS = {
    Link.ONLINE: "online",
    Link.DOMESTIC_ONLY: "domestic only: nothing abroad answers",
    Link.NO_RESOLVER: "online, but no name resolves",
    Link.CAPTIVE: "captive: a portal answers for others",
    Link.OFFLINE: "offline: nothing is judged",
    Link.UNKNOWN: "link not reported",
}
STATES = {
    State.REACHABLE: "reachable",
    State.BLOCKED: "blocked",
    State.DOWN: "down",
    State.UNKNOWN: "unknown",
}
SYMBOLS = {State.REACHABLE: "✓", State.BLOCKED: "✕", State.DOWN: "▼", State.UNKNOWN: "?"}
LAYERS = {"dns": "DNS", "tcp": "TCP", "tls": "TLS", "http": "HTTP", "quic": "QUIC"}
METHODS = {  # the judge's words; one that is missing here is shown as it is
    "alert": "alert after ClientHello",
    "bogon": "the name leads to a private address",
    "certificate_substitution": "somebody else's certificate",
    "eof_after_hello": "closed after ClientHello",
    "eof_after_request": "closed after the request",
    "hijack": "the name leads to somebody else",
    "host_unreachable": "no route to the host",
    "injected": "forged answer",
    "misbehaving": "the resolver answers nonsense",
    "no_answer": "the name has no address",
    "not_http": "the answer is not HTTP",
    "nxdomain": "the name is said not to exist",
    "other_page": "another page than at the control",
    "refused": "refused",
    "reset": "reset",
    "reset_after_hello": "reset after ClientHello",
    "reset_after_request": "reset after the request",
    "reset_in_body": "reset in mid-answer",
    "server_error": "server error",
    "servfail": "the resolver fails",
    "slow_body": "the answer never ends",
    "timeout": "no reply",
    "timeout_after_hello": "silence after ClientHello",
    "timeout_after_request": "silence after the request",
    "truncated_body": "the answer is cut short",
}
KINDS = {
    "network_silence": "network silence",
    "service_blocking": "blocking",
    "throttling": "throttling",
    "partial": "partial blocking",
    "recovery": "recovery",
}
CHANGES = {  # what a log entry did
    "suspected": "suspected",
    "confirmed": "confirmed",
    "revised": "revised",
    "closed": "closed",
    "resumed": "resumed",
    "withdrawn": "withdrawn",
    "operator_acknowledged": "seen by the operator",
    "operator_annotated": "note by the operator",
    "operator_confirmed": "confirmed by the operator",
    "operator_withdrawn": "withdrawn by the operator",
}
HELD = {  # what stands against an incident
    "few_votes": "too few votes to confirm it",
    "power": "it looks like a power cut: the fixed lines of several operators in one region, "
    "while its mobiles live on",
    "carrier": "only those are silent who reach us by one carrier",
    "common_mode": "the rest of the world fell silent too: it may be us",
    "down_elsewhere": "the service fails everywhere else too: it is down, not blocked",
}
HINTS = {  # notes on the cause, which never make an incident
    "on_the_hour": "it began on the full hour, give or take two minutes",
    "on_the_half_hour": "it began on the half hour, give or take two minutes",
    "recurring": "the same place was cut in the four days before",
    "network_cut": "machines that came back were running all the time: the network was cut, "
    "not the power",
    "power_cut": "most machines that came back had rebooted: the power may have failed",
}
BLIND = {  # why nothing could be seen
    "restart": "the collector was restarted",
    "probe": "the collector's own way to the world failed",
    "stalled": "the collector stood still",
    "carrier": "a carrier of agents' sessions failed",
    "update": "agents were being updated",
    "common_mode": "silence everywhere at once: it may have been us",
    "too_few_vantages": "too few vantages to tell anything",
    "nobody_measured": "nobody measured",
}
ACCESS = {
    "mobile": "mobile",
    "fixed": "fixed",
    "hosting": "hosting",
    "unknown": "access not stated",
}


@cache
def _countries() -> dict[str, str]:
    text = files(__package__).joinpath("countries.tab").read_text("utf-8")
    lines = (line.split("\t", 1) for line in text.splitlines() if not line.startswith("#"))
    return dict(lines)


def title(target: str) -> str:
    """A lone target as people say it: "www.example.org" for its front page."""
    plain = target.removeprefix("https://").removeprefix("http://")
    host, _, path = plain.partition("/")
    return plain if path else host or target


def service(name: str, titles: Mapping[str, str]) -> str:
    """By the title it is given; a target that has none as people say it."""
    given = titles.get(name, name)
    return title(name) if given == name else given


def country(code: str) -> str:
    if code in ("", "ZZ"):
        return "Unlocated network"
    return _countries().get(code, code)


def network(asn: int, access: str) -> str:
    """A vantage group below its country."""
    if not asn and not access:
        return "other networks"
    return f"AS{asn}" if asn else "network not known"


def access(word: str) -> str:
    return ACCESS.get(word, word)


def how(layer: str, method: str) -> str:
    """ "TLS: reset after ClientHello"; "" when nothing is known."""
    parts = (LAYERS.get(layer, layer.upper()), METHODS.get(method, method.replace("_", " ")))
    return ": ".join(part for part in parts if part)


def sure(confidence: float) -> str:
    if confidence >= 0.85:
        return "high confidence"
    return "medium confidence" if confidence > 0.5 else "low confidence"
