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
METHODS = {
    "nxdomain": "the name is said not to exist",
    "bogon": "the name leads to a private address",
    "servfail": "the resolver fails",
    "refused": "refused",
    "no_answer": "no answer",
    "inconsistent": "the answer is not the control's",
    "hijack": "the answer is somebody else's",
    "reset": "reset",
    "timeout": "no reply",
    "unreachable": "no route",
    "reset_after_hello": "reset after ClientHello",
    "timeout_after_hello": "silence after ClientHello",
    "eof_after_hello": "closed after ClientHello",
    "alert_after_hello": "alert after ClientHello",
    "wrong_certificate": "somebody else's certificate",
    "block_page": "block page",
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


def country(code: str) -> str:
    if code in ("", "ZZ"):
        return "Unknown location"
    return _countries().get(code, code)


def network(asn: int, access: str, name: str = "") -> str:
    """A vantage group below its country: "AS9198 Kazakhtelecom, fixed"."""
    if not asn and not access:
        return "other networks"
    number = f"AS{asn}" if asn else "network not known"
    return f"{number} {name}".strip()


def access(word: str) -> str:
    return ACCESS.get(word, word)


def how(layer: str, method: str) -> str:
    """ "TLS: reset after ClientHello"; "" when nothing is known."""
    parts = (LAYERS.get(layer, layer.upper()), METHODS.get(method, method.replace("_", " ")))
    return ": ".join(part for part in parts if part)


def sure(confidence: float) -> str:
    if confidence >= 0.85:
        return "high confidence"
    return "medium confidence" if confidence >= 0.5 else "low confidence"
