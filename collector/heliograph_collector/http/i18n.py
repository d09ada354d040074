"""Translate the public pages: gettext catalogues, and the rules of CLDR by Babel.

`locale/heliograph.pot` has the English texts, `locale/LANG/LC_MESSAGES/heliograph.po` their
translations; the context of a message is its key in code and templates. A message has placeholders,
`{name}`, and may have plural forms, chosen by `n`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from importlib.resources import files
from types import MappingProxyType

from aiohttp import web
from babel import Locale as CldrLocale
from babel.dates import format_timedelta
from babel.messages.pofile import read_po
from babel.numbers import format_decimal
from markupsafe import Markup, escape

LANGS: Mapping[str, str] = MappingProxyType(  # own names, in the order of the switch
    {"en": "English", "ru": "Русский", "kk": "Қазақша", "fa": "فارسی"}
)
DEFAULT = "en"
RIGHT_TO_LEFT = frozenset({"fa"})
_RELATED_LANGS = {"prs": "fa", "be": "ru", "ky": "ru", "tg": "ru"}  # readable by their speakers
_MAX_ACCEPT = 256  # characters of the header that are parsed
_PERSIAN = str.maketrans("0123456789", "۰۱۲۳۴۵۶۷۸۹")
_FOREIGN_LETTERS = re.compile("[A-Za-z\u0400-\u04ff]")  # left to right inside Persian
Entry = str | Mapping[str, str]  # a text, or its plural forms by their name in CLDR
# In the order of msgstr[0], msgstr[1] …: the header Plural-Forms of each catalogue says the same.
PLURAL_FORMS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "en": ("one", "other"),
        "ru": ("one", "few", "many"),
        "kk": ("one", "other"),
        "fa": ("one", "other"),
    }
)


_cldr = cache(CldrLocale)


def translate(lang: str, key: str, **values: object) -> str:
    """Translate an entry to plain text; format numbers and isolate foreign names.

    Raises KeyError for a missing entry or value.
    """
    formatted = {name: _format_value(lang, value) for name, value in values.items()}
    return _choose_form(lang, key, values).format_map(formatted)


def translate_html(lang: str, key: str, **values: object) -> Markup:
    """Translate an entry to HTML; escape all values but Markup (a link)."""
    formatted = {
        name: value if isinstance(value, Markup) else escape(_format_value(lang, value))
        for name, value in values.items()
    }
    return Markup(str(escape(_choose_form(lang, key, values))).format_map(formatted))  # noqa: S704 -- escaped


def has_entry(lang: str, key: str) -> bool:
    """Return whether an entry exists, for a code from outside."""
    return key in load_catalogue(lang)


def _choose_form(lang: str, key: str, values: Mapping[str, object]) -> str:
    entry = load_catalogue(lang)[key]
    if isinstance(entry, str):
        return entry
    n = values["n"]
    if not isinstance(n, int):
        raise TypeError(key)
    return entry[_cldr(lang).plural_form(n)]


def _format_value(lang: str, value: object) -> str:
    if isinstance(value, int | float):
        return format_number(lang, value)
    return isolate_foreign(lang, str(value))


def isolate_foreign(lang: str, value: str) -> str:
    """Mark a foreign name in Persian by isolates, as <bdi> does in HTML."""
    if lang in RIGHT_TO_LEFT and _FOREIGN_LETTERS.search(value) and not value.startswith("\u2068"):
        return f"\u2068{value}\u2069"
    return value


def set_direction(lang: str, label: str) -> str:
    """Mark a text inside a drawing, whose own direction is left to right."""
    return f"\u2067{label}\u2069" if lang in RIGHT_TO_LEFT else label


def text_direction(lang: str) -> str:
    """Return "ltr" or "rtl", for the attribute dir."""
    return "rtl" if lang in RIGHT_TO_LEFT else "ltr"


def localize_digits(lang: str, value: str) -> str:
    """Convert the digits to those of the language."""
    return value.translate(_PERSIAN) if lang == "fa" else value


@lru_cache(maxsize=4096, typed=True)  # a page has the same few counts a thousand times
def format_number(lang: str, value: float) -> str:
    """Format a number such as "1,234.5"; group digits from 10,000 on."""
    formatted = format_decimal(
        value, locale=_cldr(lang), numbering_system="default", group_separator=abs(value) >= 10_000
    )
    return localize_digits(lang, formatted)


def format_percent(lang: str, share: float) -> str:
    """Format a share of 1 as a whole percentage."""
    return translate(lang, "number.percent", n=round(share * 100))


def localize_band(lang: str, count_band: str) -> str:
    """Localize a count from anonymity.py: "10-19", "50+" or "7"."""
    low, dash, high = count_band.partition("-")
    if dash:
        return translate(
            lang, "number.range", low=localize_digits(lang, low), high=localize_digits(lang, high)
        )
    if count_band.endswith("+"):
        return translate(lang, "number.more", low=localize_digits(lang, count_band[:-1]))
    return localize_digits(lang, count_band)


def to_datetime(at_us: int) -> datetime:
    """Convert microseconds to a datetime in UTC."""
    return datetime.fromtimestamp(at_us / 1_000_000, UTC)


def format_clock(lang: str, when: datetime, *, seconds: bool = False) -> str:
    """Format a time such as "13:05"."""
    return localize_digits(lang, f"{when:%H:%M:%S}" if seconds else f"{when:%H:%M}")


def format_day(lang: str, when: datetime) -> str:
    """Format a day such as "5 January 2022", in the Gregorian calendar."""
    return translate(
        lang,
        "time.day",
        day=localize_digits(lang, str(when.day)),
        month=_month_name(lang, "wide", when),
        year=localize_digits(lang, str(when.year)),
    )


def format_month(lang: str, when: datetime) -> str:
    """Format a month such as "January 2022" as a heading."""
    month = str(_cldr(lang).months["stand-alone"]["wide"][when.month])
    year = localize_digits(lang, str(when.year))
    text = translate(lang, "time.month", month=month, year=year)
    return text[:1].upper() + text[1:]


def format_short_day(lang: str, when: datetime) -> str:
    """Format a short day such as "5 Jan"."""
    month = _month_name(lang, "abbreviated", when)
    return translate(lang, "time.short", day=localize_digits(lang, str(when.day)), month=month)


def format_length(lang: str, length: timedelta) -> str:
    """Format a length of time such as "12 min", "90 min", "5 hr" or "3 days"."""
    text = format_timedelta(
        length, granularity="minute", threshold=2, format="short", locale=_cldr(lang)
    )
    return localize_digits(lang, text)


def _month_name(lang: str, width: str, when: datetime) -> str:
    return str(_cldr(lang).months["format"][width][when.month])


def list_month_names(lang: str, number: int) -> list[str]:
    """List the names of a month: alone, in a date, and short."""
    months = _cldr(lang).months
    forms = (("stand-alone", "wide"), ("format", "wide"), ("format", "abbreviated"))
    return [str(months[use][width][number]) for use, width in forms]


def join_names(lang: str, names: Sequence[str]) -> str:
    """Join names as "a, b and c"."""
    isolated_names = [isolate_foreign(lang, name) for name in names]
    if len(isolated_names) < 2:
        return "".join(isolated_names)
    comma = translate(lang, "list.comma")
    last = translate(lang, "list.and")
    return f"{comma.join(isolated_names[:-1])}{last}{isolated_names[-1]}"


def choose_language(requested_lang: str, accept: str) -> str:
    """Choose the requested language, else the browser's favorite, else English."""
    if requested_lang in LANGS:
        return requested_lang
    best_lang = DEFAULT
    best_quality = 0.0
    for part in accept[:_MAX_ACCEPT].lower().split(","):
        tag, _, weight = part.strip().partition(";q=")
        code = tag.partition("-")[0]
        lang = _RELATED_LANGS.get(code, code)
        quality = _parse_quality(weight)
        if lang in LANGS and quality > best_quality:
            best_lang = lang
            best_quality = quality
    return best_lang


def _parse_quality(weight: str) -> float:
    if not weight:
        return 1.0
    return float(weight) if re.fullmatch(r"[01](\.[0-9]{0,3})?", weight.strip()) else 0.0


@dataclass(frozen=True, slots=True)
class Locale:
    """The language of a page: `t(key)` translates, `t.link(path)` keeps the language."""

    lang: str = DEFAULT
    is_explicit: bool = False  # set in the address: then links keep it
    current_path: str = "/"  # path and query of the page, without the language

    def __call__(self, key: str, **values: object) -> str:
        return translate(self.lang, key, **values)

    def mark(self, key: str, **values: object) -> Markup:
        return translate_html(self.lang, key, **values)

    def number(self, value: float) -> str:
        """Format a number, without decimals if it is whole."""
        return format_number(self.lang, int(value) if value == int(value) else value)

    def percent(self, share: float) -> str:
        return format_percent(self.lang, share)

    def digits(self, value: str) -> str:
        return localize_digits(self.lang, value)

    def short_day(self, timestamp: str) -> str:
        """Format the day of an RFC 3339 time."""
        return format_short_day(self.lang, datetime.fromisoformat(timestamp))

    @property
    def direction(self) -> str:
        return text_direction(self.lang)

    def link(self, path: str) -> str:
        """Return a local path with query and fragment, in the same language."""
        return self.other(path, self.lang) if self.is_explicit else path

    def other(self, path: str, lang: str) -> str:
        """Return the same page in another language."""
        address, hash_, fragment = path.partition("#")
        joint = "&" if "?" in address else "?"
        return f"{address}{joint}lang={lang}{hash_}{fragment}"

    @property
    def switch(self) -> list[tuple[str, str, str]]:
        """List (language, own name, path of this page) for all languages."""
        return [(lang, name, self.other(self.current_path, lang)) for lang, name in LANGS.items()]


ENGLISH = Locale()  # of the API, feeds and console


def choose_locale(requested_lang: str, accept: str, current_path: str = "/") -> Locale:
    """Choose by the parameter `lang` and the header Accept-Language."""
    return Locale(choose_language(requested_lang, accept), requested_lang in LANGS, current_path)


def request_locale(request: web.Request) -> Locale:
    """Choose the language of a requested page; `parameters.py` validates `lang`."""
    page_url = request.rel_url.without_query_params("lang")
    accept = request.headers.get("Accept-Language", "")
    return choose_locale(request.query.get("lang", ""), accept, page_url.raw_path_qs)


@cache
def load_catalogue(lang: str) -> Mapping[str, Entry]:
    """Load all messages of a language by key."""
    path = "heliograph.pot" if lang == DEFAULT else f"{lang}/LC_MESSAGES/heliograph.po"
    with files(__package__).joinpath("locale", path).open("rb") as file:
        catalog = read_po(file, abort_invalid=True)
    entries: dict[str, Entry] = {}
    for message in catalog:
        if message.context:
            texts = message.id if lang == DEFAULT else message.string or ""
            forms = zip(PLURAL_FORMS[lang], texts, strict=not isinstance(texts, str))
            entries[message.context] = texts if isinstance(texts, str) else dict(forms)
    return MappingProxyType(entries)


def territory_name(lang: str, code: str) -> str:
    """Return a country's name by its ISO code; "" if unknown.

    English names are in labels.py.
    """
    return "" if lang == DEFAULT else _cldr(lang).territories.get(code, "")
