"""The languages of the public pages: what is said comes from catalogues/LANG/*.toml.

An entry is a text with places for values, `{name}`, or a table of plural forms chosen by `n`.
All catalogues have the same entries with the same places: tests/collector/web holds that.
"""

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from aiohttp import web
from markupsafe import Markup, escape

LANGS: Mapping[str, str] = MappingProxyType(  # what each calls itself, in the order of the switch
    {"en": "English", "ru": "Русский", "kk": "Қазақша", "fa": "فارسی"}
)
DEFAULT = "en"
RIGHT_TO_LEFT = frozenset({"fa"})
_KIN = {"prs": "fa", "be": "ru", "ky": "ru", "tg": "ru"}  # near enough to be read
_MAX_ACCEPT = 256  # characters of the header that are looked at
_NBSP = "\N{NO-BREAK SPACE}"
_GROUP = {"en": ",", "ru": _NBSP, "kk": _NBSP, "fa": "\N{ARABIC THOUSANDS SEPARATOR}"}
_POINT = {"en": ".", "ru": ",", "kk": ",", "fa": "\N{ARABIC DECIMAL SEPARATOR}"}
_PERSIAN = str.maketrans("0123456789", "۰۱۲۳۴۵۶۷۸۹")
_FOREIGN = re.compile("[A-Za-z\u0400-\u04ff]")  # runs the other way inside Persian
Entry = str | Mapping[str, str]


def _russian(n: int) -> str:
    if n % 10 == 1 and n % 100 != 11:
        return "one"
    return "few" if 2 <= n % 10 <= 4 and not 12 <= n % 100 <= 14 else "many"


_PLURALS: Mapping[str, Callable[[int], str]] = {  # CLDR's rules for whole numbers
    "en": lambda n: "one" if n == 1 else "other",
    "ru": _russian,
    "kk": lambda n: "one" if n == 1 else "other",
    "fa": lambda n: "one" if n in (0, 1) else "other",
}
FORMS = {
    "en": {"one", "other"},
    "ru": {"one", "few", "many"},
    "kk": {"one", "other"},
    "fa": {"one", "other"},
}
_ALL_FORMS = frozenset({"one", "few", "many", "other"})


def say(lang: str, key: str, **values: object) -> str:
    """The text, plain. Numbers are written as the language writes them, names are isolated.

    Raises KeyError for an entry or a value that is missing.
    """
    shown = {name: _shown(lang, value) for name, value in values.items()}
    return _chosen(lang, key, values).format_map(shown)


def mark(lang: str, key: str, **values: object) -> Markup:
    """The same as HTML: values that are Markup (a link) stay so, all else is escaped."""
    shown = {
        name: value if isinstance(value, Markup) else escape(_shown(lang, value))
        for name, value in values.items()
    }
    return Markup(str(escape(_chosen(lang, key, values))).format_map(shown))  # noqa: S704 -- escaped


def has(lang: str, key: str) -> bool:
    """Whether there is a word for a code that comes from elsewhere."""
    return key in catalogue(lang)


def _chosen(lang: str, key: str, values: Mapping[str, object]) -> str:
    entry = catalogue(lang)[key]
    if isinstance(entry, str):
        return entry
    n = values["n"]
    if not isinstance(n, int):
        raise TypeError(key)
    return entry[_PLURALS[lang](n)]


def _shown(lang: str, value: object) -> str:
    if isinstance(value, int | float):
        return number(lang, value)
    return isolated(lang, str(value))


def isolated(lang: str, text: str) -> str:
    """In Persian a foreign name stands in marks that are as <bdi>, also where there is no HTML."""
    if lang in RIGHT_TO_LEFT and _FOREIGN.search(text) and not text.startswith("\u2068"):
        return f"\u2068{text}\u2069"
    return text


def held(lang: str, text: str) -> str:
    """A text of the language inside a drawing, whose own direction is from the left."""
    return f"\u2067{text}\u2069" if lang in RIGHT_TO_LEFT else text


def direction(lang: str) -> str:
    """ "ltr" or "rtl", for the attribute dir."""
    return "rtl" if lang in RIGHT_TO_LEFT else "ltr"


def digits(lang: str, text: str) -> str:
    """Its digits as the language writes them."""
    return text.translate(_PERSIAN) if lang == "fa" else text


def number(lang: str, value: float) -> str:
    """ "1,234.5"; none is grouped below 10,000."""
    text = f"{value:,}" if abs(value) >= 10_000 else f"{value}"
    swapped = {",": _GROUP[lang], ".": _POINT[lang]}
    return digits(lang, "".join(swapped.get(c, c) for c in text))


def percent(lang: str, share: float) -> str:
    """A share of 1, in whole hundredths."""
    return say(lang, "number.percent", n=round(share * 100))


def band(lang: str, text: str) -> str:
    """A count as bands.py gives it: "10-19", "50+" or "7"."""
    low, dash, high = text.partition("-")
    if dash:
        return say(lang, "number.range", low=digits(lang, low), high=digits(lang, high))
    if text.endswith("+"):
        return say(lang, "number.more", low=digits(lang, text[:-1]))
    return digits(lang, text)


def when(at_us: int) -> datetime:
    """A moment in microseconds, in UTC."""
    return datetime.fromtimestamp(at_us / 1_000_000, UTC)


def clock(lang: str, when: datetime, *, seconds: bool = False) -> str:
    """ "13:05" """
    return digits(lang, f"{when:%H:%M:%S}" if seconds else f"{when:%H:%M}")


def day(lang: str, when: datetime) -> str:
    """ "5 January 2022", by the calendar that all share."""
    return say(
        lang,
        "time.day",
        day=digits(lang, str(when.day)),
        month=say(lang, f"time.month_{when.month}"),
        year=digits(lang, str(when.year)),
    )


def short_day(lang: str, when: datetime) -> str:
    """ "5 Jan", where there is room for no more."""
    month = say(lang, f"time.short_month_{when.month}")
    return say(lang, "time.short", day=digits(lang, str(when.day)), month=month)


def listed(lang: str, names: Sequence[str]) -> str:
    """ "a, b and c" """
    told = [isolated(lang, name) for name in names]
    if len(told) < 2:
        return "".join(told)
    comma, last = say(lang, "list.comma"), say(lang, "list.and")
    return f"{comma.join(told[:-1])}{last}{told[-1]}"


def choose(asked: str, accept: str) -> str:
    """What is asked for in the address, else what the browser likes best of ours, else English."""
    if asked in LANGS:
        return asked
    best, liked = DEFAULT, 0.0
    for part in accept[:_MAX_ACCEPT].lower().split(","):
        tag, _, weight = part.strip().partition(";q=")
        code = tag.partition("-")[0]
        lang = _KIN.get(code, code)
        quality = _quality(weight)
        if lang in LANGS and quality > liked:
            best, liked = lang, quality
    return best


def _quality(text: str) -> float:
    if not text:
        return 1.0
    return float(text) if re.fullmatch(r"[01](\.[0-9]{0,3})?", text.strip()) else 0.0


@dataclass(frozen=True, slots=True)
class Tongue:
    """One page's language: `tongue(key, …)` says, `tongue.link(path)` keeps what was asked for."""

    lang: str = DEFAULT
    asked: bool = False  # in the address: then links keep it
    here: str = "/"  # the page's own path and query, without the language

    def __call__(self, key: str, **values: object) -> str:
        return say(self.lang, key, **values)

    def mark(self, key: str, **values: object) -> Markup:
        return mark(self.lang, key, **values)

    def number(self, value: float) -> str:
        """Without a point where none is needed."""
        return number(self.lang, int(value) if value == int(value) else value)

    def digits(self, text: str) -> str:
        return digits(self.lang, text)

    def short_day(self, at: str) -> str:
        """Of a moment as RFC 3339 writes it."""
        return short_day(self.lang, datetime.fromisoformat(at))

    @property
    def direction(self) -> str:
        return direction(self.lang)

    def link(self, path: str) -> str:
        """A path of ours, with its query and fragment, in the same language."""
        return self.other(path, self.lang) if self.asked else path

    def other(self, path: str, lang: str) -> str:
        """The same page in another language."""
        address, hash_, fragment = path.partition("#")
        joint = "&" if "?" in address else "?"
        return f"{address}{joint}lang={lang}{hash_}{fragment}"

    @property
    def switch(self) -> list[tuple[str, str, str]]:
        """(language, what it calls itself, this page in it), for all."""
        return [(lang, name, self.other(self.here, lang)) for lang, name in LANGS.items()]


def tongue(asked: str, accept: str, here: str = "/") -> Tongue:
    """By the parameter `lang` and the header Accept-Language."""
    return Tongue(choose(asked, accept), asked in LANGS, here)


def of(request: web.Request) -> Tongue:
    """The language of a page that is asked for; whether `lang` may be that is for query.py."""
    here = request.rel_url.without_query_params("lang")
    accept = request.headers.get("Accept-Language", "")
    return tongue(request.query.get("lang", ""), accept, here.raw_path_qs)


@cache
def catalogue(lang: str) -> Mapping[str, Entry]:
    """All entries of a language, by dotted key. Raises ValueError where two files say one key."""
    found: dict[str, Entry] = {}
    folder = files(__package__).joinpath("catalogues", lang)
    for file in sorted(folder.iterdir(), key=lambda each: each.name):
        if file.name.endswith(".toml"):
            for key, entry in _entries("", tomllib.loads(file.read_text("utf-8"))):
                if key in found:
                    raise ValueError(f"{lang}/{file.name} says {key} again")
                found[key] = entry
    return MappingProxyType(found)


def _entries(prefix: str, table: Mapping[str, Any]) -> list[tuple[str, Entry]]:
    found: list[tuple[str, Entry]] = []
    for name, value in table.items():
        if isinstance(value, str) or _ALL_FORMS.issuperset(value):
            found.append((prefix + name, value))
        else:
            found += _entries(f"{prefix}{name}.", value)
    return found


def territory(lang: str, code: str) -> str:
    """A country's name by its ISO code; "" where there is none. English names are words.py's."""
    return _territories().get(code, {}).get(lang, "")


@cache
def _territories() -> Mapping[str, Mapping[str, str]]:
    text = files(__package__).joinpath("territories.tab").read_text("utf-8")
    rows = (line.split("\t") for line in text.splitlines() if not line.startswith("#"))
    return {code: dict(zip(("ru", "kk", "fa"), names, strict=True)) for code, *names in rows}
