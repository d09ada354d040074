"""Plain words for codes: countries, links, states, layers, methods and how sure we are."""

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
