"""Labels for codes of countries, regions, links, states, layers and methods.

The texts are in http/locale. The default language is English, as in the API.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files

from heliograph_collector.http import i18n
from heliograph_collector.http.i18n import DEFAULT, translate
from heliograph_collector.incidents.incident import MOST_SERVICES
from heliograph_collector.model.records import VerdictState

SYMBOLS = {
    VerdictState.REACHABLE: "✓",
    VerdictState.PARTIAL: "◐",
    VerdictState.BLOCKED: "✕",
    VerdictState.DOWN: "▼",
    VerdictState.UNKNOWN: "?",
}
# Codes that are no country of ISO 3166-1: "not known", and Kosovo's in the tables of networks.
_OTHER_CODES = ("ZZ", "XK")
_OFFICIAL_NAMES = (  # in files of IODA and of others, beside the usual ones
    ("burma", "MM"),
    ("cabo verde", "CV"),
    ("congo", "CG"),
    ("congo brazzaville", "CG"),
    ("congo democratic republic of", "CD"),
    ("congo democratic republic of the", "CD"),
    ("congo kinshasa", "CD"),
    ("congo republic of the", "CG"),
    ("congo the democratic republic of the", "CD"),
    ("cote d ivoire", "CI"),
    ("czechia", "CZ"),
    ("democratic people s republic of korea", "KP"),
    ("democratic republic of the congo", "CD"),
    ("dr congo", "CD"),
    ("ivory coast", "CI"),
    ("korea democratic people s republic of", "KP"),
    ("korea republic of", "KR"),
    ("korea the democratic people s republic of", "KP"),
    ("korea the republic of", "KR"),
    ("lao people s democratic republic", "LA"),
    ("macedonia", "MK"),
    ("north korea", "KP"),
    ("palestinian territory", "PS"),
    ("palestinian territories", "PS"),
    ("republic of korea", "KR"),
    ("republic of the congo", "CG"),
    ("russian federation", "RU"),
    ("south korea", "KR"),
    ("swaziland", "SZ"),
    ("syrian arab republic", "SY"),
    ("timor leste", "TL"),
    ("turkiye", "TR"),
    ("türkiye", "TR"),
    ("viet nam", "VN"),
)
LOW_CONFIDENCE = 0.5  # up to this the word is "low"; assumed
_REGION_LANGS = ("en", "ru", "kk", "fa")  # the columns of regions.tab
LAYERS = {"dns": "DNS", "tcp": "TCP", "tls": "TLS", "http": "HTTP", "quic": "QUIC"}


def label_code(kind: str, code: str, lang: str = DEFAULT) -> str:
    """Return the label of a code in the table `kind`; the code itself if missing."""
    key = f"{kind}.{code}"
    return translate(lang, key) if i18n.has_entry(lang, key) else code.replace("_", " ")


def kind_label(kind: str, service: str, lang: str = DEFAULT) -> str:
    """Return the label of an incident's kind; most services' is "degraded"."""
    return label_code("kind", "degraded" if service == MOST_SERVICES else kind, lang)


def _english_labels(kind: str) -> dict[str, str]:
    prefix = f"{kind}."
    keys = [key for key in i18n.load_catalogue(DEFAULT) if key.startswith(prefix)]
    return {key.removeprefix(prefix): translate(DEFAULT, key) for key in keys}


STATES = {state: label_code("state", state.value) for state in VerdictState}
KINDS = _english_labels("kind")
GAP_REASONS = _english_labels("blind")  # reasons of coverage gaps


@cache
def _load_countries() -> dict[str, str]:
    content = files(__package__).joinpath("countries.tab").read_text("utf-8")
    lines = (line.split("\t", 1) for line in content.splitlines() if not line.startswith("#"))
    return dict(lines)


def format_target(target: str) -> str:
    """Format a single target for people: "www.example.org" for its front page."""
    plain = target.removeprefix("https://").removeprefix("http://")
    host, _, path = plain.partition("/")
    return plain if path else host or target


def service_title(name: str, titles: Mapping[str, str], lang: str) -> str:
    """Return the title of a service, else its name formatted as a target."""
    if name == MOST_SERVICES:
        return translate(lang, "incident.most_services")
    configured_title = titles.get(name, name)
    return format_target(name) if configured_title == name else configured_title


def list_countries() -> Iterable[str]:
    """List the codes of ISO 3166-1."""
    return _load_countries().keys()


def list_country_codes() -> Mapping[str, str]:
    """Return countries' codes by their English names, in lower case, words alone.

    A short name, without its part in brackets, counts only if no other country has it.
    """
    usual = [(_list_words(name), code) for code, name in _load_countries().items()]
    short = [
        (_list_words(name.partition(" (")[0]), code) for code, name in _load_countries().items()
    ]
    counts = Counter(name for name, _ in short)
    return dict((*(pair for pair in short if counts[pair[0]] == 1), *usual, *_OFFICIAL_NAMES))


def _list_words(name: str) -> str:
    return " ".join(re.findall(r"[^\W\d_]+", name.lower()))


def find_country(claim: str) -> str:
    """Return the code of a country, given in any case; "" if there is none."""
    code = claim.upper()
    return code if code in _load_countries() or code in _OTHER_CODES else ""


def country_name(code: str, lang: str = DEFAULT) -> str:
    if code in ("", "ZZ"):
        return translate(lang, "place.unlocated")
    return i18n.territory_name(lang, code) or _load_countries().get(code, code)


def load_names() -> None:
    """Read the names of places, so that no first reader waits for them (20 ms of CPU)."""
    _load_countries()
    _load_regions()


@cache
def _load_regions() -> Mapping[str, tuple[str, ...]]:
    content = files(__package__).joinpath("regions.tab").read_text("utf-8")
    lines = (line.split("\t") for line in content.splitlines() if not line.startswith("#"))
    return {code: tuple(names) for code, *names in lines}


def region_name(code: str, lang: str = DEFAULT) -> str:
    """Return a name such as "Almaty" for KZ-75.

    English if the language has none; an unknown code is returned unchanged.
    """
    names = _load_regions().get(code)
    if names is None:
        return code
    index = _REGION_LANGS.index(lang) if lang in _REGION_LANGS else 0
    return (names[index] if index < len(names) else "") or names[0]


def network_name(asn: int, access: str, lang: str) -> str:
    """Return the name of a vantage group within its country."""
    if not asn and not access:
        return translate(lang, "place.others")
    return f"AS{asn}" if asn else translate(lang, "place.unknown")


def access_name(code: str, lang: str) -> str:
    return label_code("access", code, lang)


def describe_method(layer: str, method: str, lang: str = DEFAULT) -> str:
    """Describe a method as "TLS: reset after ClientHello"; "" if unknown."""
    parts = (LAYERS.get(layer, layer.upper()), label_code("method", method, lang))
    return ": ".join(part for part in parts if part)


def describe_confidence(confidence: float, lang: str = DEFAULT) -> str:
    if confidence >= 0.85:
        return translate(lang, "sure.high")
    return (
        translate(lang, "sure.medium")
        if confidence > LOW_CONFIDENCE
        else translate(lang, "sure.low")
    )


def describe_functions(functions: Iterable[str], lang: str) -> str:
    """Describe the blocked functions of a partial service; "" for no function."""
    comma = translate(lang, "list.comma")
    blocked = comma.join(label_code("hint", f"blocked_{name}", lang) for name in functions)
    return translate(lang, "now.partial", blocked=blocked) if blocked else ""
