"""Plain words for codes: countries, links, states, layers, methods and how sure we are.

The texts are in web/catalogues; without a language they are English, as the API has them.
"""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from heliograph.observation import Link
from heliograph_collector.http import i18n
from heliograph_collector.http.i18n import DEFAULT, say
from heliograph_collector.model.records import State

SYMBOLS = {State.REACHABLE: "✓", State.BLOCKED: "✕", State.DOWN: "▼", State.UNKNOWN: "?"}
LAYERS = {"dns": "DNS", "tcp": "TCP", "tls": "TLS", "http": "HTTP", "quic": "QUIC"}


def word(kind: str, code: str, lang: str = DEFAULT) -> str:
    """What a catalogue calls a code: `kind` is its table. One that is missing is shown as it is."""
    key = f"{kind}.{code}"
    return say(lang, key) if i18n.has(lang, key) else code.replace("_", " ")


def _english(kind: str) -> dict[str, str]:
    prefix = f"{kind}."
    found = [key for key in i18n.catalogue(DEFAULT) if key.startswith(prefix)]
    return {key.removeprefix(prefix): say(DEFAULT, key) for key in found}


LINKS = {link: word("link", link.value) for link in Link}
STATES = {state: word("state", state.value) for state in State}
KINDS = _english("kind")
CHANGES = _english("change")  # what a log entry did
HELD = _english("held")  # what stands against an incident
HINTS = _english("hint")  # notes on the cause, which never make an incident
BLIND = _english("blind")  # why nothing could be seen


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


def country(code: str, lang: str = DEFAULT) -> str:
    if code in ("", "ZZ"):
        return say(lang, "place.unlocated")
    return i18n.territory(lang, code) or _countries().get(code, code)


def network(asn: int, access: str, lang: str = DEFAULT) -> str:
    """A vantage group below its country."""
    if not asn and not access:
        return say(lang, "place.others")
    return f"AS{asn}" if asn else say(lang, "place.unknown")


def access(code: str, lang: str = DEFAULT) -> str:
    return word("access", code, lang)


def how(layer: str, method: str, lang: str = DEFAULT) -> str:
    """ "TLS: reset after ClientHello"; "" when nothing is known."""
    parts = (LAYERS.get(layer, layer.upper()), word("method", method, lang))
    return ": ".join(part for part in parts if part)


def sure(confidence: float, lang: str = DEFAULT) -> str:
    if confidence >= 0.85:
        return say(lang, "sure.high")
    return say(lang, "sure.medium") if confidence > 0.5 else say(lang, "sure.low")
