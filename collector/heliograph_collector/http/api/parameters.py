"""Query parameters: one declaration serves parser, errors and documentation."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from multidict import MultiMapping

from heliograph.observation import Access
from heliograph_collector.http.i18n import LANGS
from heliograph_collector.http.labels import KINDS
from heliograph_collector.http.problem import Problem
from heliograph_collector.model.records import VerdictState

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_RFC3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_FIRST_US = 1_262_304_000_000_000  # 2010-01-01: before all data
_LAST_US = 4_102_444_800_000_000  # 2100-01-01


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A query parameter; `read` raises ValueError on a value outside `allowed`."""

    name: str
    read: Callable[[str], Any]
    allowed: str
    about: str
    example: str
    schema: Mapping[str, Any]


def parse(query: MultiMapping[str], parameters: Sequence[Parameter]) -> dict[str, Any]:
    """Parse the given parameters.

    Raises Problem with the wrong parameter and the allowed values.
    """
    by_name = {p.name: p for p in parameters}
    read: dict[str, Any] = {}
    for name, value in query.items():
        parameter = by_name.get(name)
        if parameter is None:
            raise _unknown_parameter(name, by_name)
        if name in read:
            raise _bad_parameter(name, "is given twice", "one value")
        try:
            read[name] = parameter.read(value)
        except ValueError:
            raise _bad_parameter(
                name, f"cannot be {_clip_value(value)}", parameter.allowed
            ) from None
    return read


def _unknown_parameter(name: str, by_name: Mapping[str, Parameter]) -> Problem:
    allowed = ", ".join(sorted(by_name)) or "no parameters at all"
    detail = f"There is no parameter {_clip_value(name)} here; use {allowed}."
    return Problem(400, "Unknown parameter", detail, parameter=_clip_value(name), allowed=allowed)


def _bad_parameter(name: str, problem: str, allowed: str) -> Problem:
    detail = f"The parameter {name} {problem}; use {allowed}."
    return Problem(400, "Bad parameter", detail, parameter=name, allowed=allowed)


def _clip_value(value: str) -> str:
    return ascii(value[:64])


def _pattern_reader(pattern: str) -> Callable[[str], str]:
    compiled = re.compile(pattern, re.ASCII)

    def read(value: str) -> str:
        if not compiled.fullmatch(value):
            raise ValueError
        return value

    return read


def _choice_reader(choices: Sequence[str]) -> Callable[[str], str]:
    def read(value: str) -> str:
        if value not in choices:
            raise ValueError
        return value

    return read


def _parse_asn(value: str) -> int:
    if not re.fullmatch(r"(AS)?[0-9]{1,10}", value):
        raise ValueError
    asn = int(value.removeprefix("AS"))
    if asn >= 2**32:
        raise ValueError
    return asn


def read_time(value: str) -> int:
    """Parse an RFC 3339 time to microseconds since the epoch. Raises ValueError."""
    if not _RFC3339.fullmatch(value):
        raise ValueError
    timestamp = datetime.fromisoformat(value.upper())
    us = (timestamp - _EPOCH) // _MICROSECOND
    if not _FIRST_US <= us <= _LAST_US:
        raise ValueError
    return us


def write_time(timestamp_us: int) -> str:
    """Format a time as RFC 3339 in UTC, with fractions only if needed."""
    formatted = (_EPOCH + timedelta(microseconds=timestamp_us)).isoformat()
    return formatted.removesuffix("+00:00") + "Z"


BINS = {"1m": 60, "5m": 300, "1h": 3600, "1d": 86_400}


def _parse_bin(value: str) -> int:
    by_seconds = {str(s): s for s in BINS.values()}
    if value not in BINS and value not in by_seconds:
        raise ValueError
    return BINS.get(value) or by_seconds[value]


def _parse_limit(value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,4}", value) or not 1 <= int(value) <= 500:
        raise ValueError
    return int(value)


def _parse_number(value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,12}", value):
        raise ValueError
    return int(value)


def _text_parameter(name: str, about: str, pattern: str, allowed: str, example: str) -> Parameter:
    schema = {"type": "string", "pattern": f"^{pattern}$"}
    return Parameter(
        name=name,
        read=_pattern_reader(pattern),
        allowed=allowed,
        about=about,
        example=example,
        schema=schema,
    )


def choice_parameter(name: str, about: str, choices: Sequence[str], example: str) -> Parameter:
    """Declare a parameter with a fixed set of values."""
    return Parameter(
        name=name,
        read=_choice_reader(choices),
        allowed=", ".join(choices),
        about=about,
        example=example,
        schema={"type": "string", "enum": list(choices)},
    )


def _time_parameter(name: str, about: str, example: str) -> Parameter:
    return Parameter(
        name=name,
        read=read_time,
        allowed="an RFC 3339 time between 2010 and 2100 such as 2022-01-05T10:00:00Z",
        about=about,
        example=example,
        schema={"type": "string", "format": "date-time", "pattern": "^20[1-9][0-9]-"},
    )


COUNTRY = _text_parameter(
    "country",
    "ISO 3166-1 alpha-2 code; ZZ is “not known”.",
    "[A-Z]{2}",
    "two capital letters such as KZ",
    "KZ",
)
REGION = _text_parameter(
    "region",
    "ISO 3166-2 code as the volunteer declared it.",
    "[A-Za-z0-9-]{1,16}",
    "1 to 16 letters, digits or hyphens such as KZ-ALA",
    "KZ-ALA",
)
WINDOW = choice_parameter(
    "window", "How far back the page looks.", ("day", "week", "month"), "week"
)
LANG = choice_parameter(
    "lang", "Language of the page; the browser's own when not given.", tuple(LANGS), "ru"
)
_BELOW_2_32 = (
    "[0-9]{1,9}|[0-3][0-9]{9}|4[01][0-9]{8}|42[0-8][0-9]{7}|429[0-3][0-9]{6}|4294[0-8][0-9]{5}|"
    "42949[0-5][0-9]{4}|429496[0-6][0-9]{3}|4294967[01][0-9]{2}|42949672[0-8][0-9]|429496729[0-5]"
)
ASN = Parameter(
    name="asn",
    read=_parse_asn,
    allowed="a number below 4294967296, with or without AS",
    about="Autonomous system of the vantage; 0 is “not known”.",
    example="9198",
    schema={"type": "string", "pattern": f"^(AS)?({_BELOW_2_32})$"},
)
ACCESS = choice_parameter(
    "access", "How the vantage reaches its provider.", [a.value for a in Access], "mobile"
)
SERVICE = _text_parameter(
    "service",
    "Name of a service, or a target that stands alone.",
    r"[\x21-\x7e]{1,512}",
    "1 to 512 printable characters such as telegram",
    "telegram",
)
EXPERIMENT = _text_parameter(
    "experiment",
    "Name of an experiment.",
    "[a-z0-9_]{1,32}",
    "1 to 32 small letters such as web",
    "web",
)
STATE = choice_parameter(
    "state", "Verdict on the whole target.", [s.value for s in VerdictState], "blocked"
)
SINCE = _time_parameter("since", "First moment.", "2022-01-05T10:00:00Z")
UNTIL = _time_parameter("until", "Moment after the last.", "2022-01-06T10:00:00Z")
BIN = Parameter(
    name="bin",
    read=_parse_bin,
    allowed="1m, 5m, 1h or 1d (or 60, 300, 3600, 86400 seconds)",
    about="Width of a row.",
    example="5m",
    schema={"type": "string", "enum": [*BINS, *(str(s) for s in BINS.values())]},
)
LIMIT = Parameter(
    name="limit",
    read=_parse_limit,
    allowed="a number from 1 to 500",
    about="Rows on a page; 100 when not given.",
    example="100",
    schema={"type": "integer", "minimum": 1, "maximum": 500},
)
CURSOR = _text_parameter(
    "cursor",
    "The `next` of the page before.",
    "[A-Za-z0-9_-]{1,512}",
    "the `next` of the page before, unchanged",
    "MTIz",
)
FORMAT = choice_parameter(
    "format", "Own JSON, or OONI's base data format 0.2.0.", ["json", "ooni"], "ooni"
)
KIND = choice_parameter(
    "kind", "What kind of incident; `recovery` is told as the end of one.", tuple(KINDS), "partial"
)
INCIDENT_STATE = choice_parameter(
    "state",
    "How far it is: an incident that is open is suspected or confirmed.",
    ("suspected", "confirmed", "closed", "withdrawn"),
    "confirmed",
)
AFTER = Parameter(
    name="after",
    read=_parse_number,
    allowed="the number of an entry, 0 for the beginning",
    about="Entries after this one.",
    example="0",
    schema={"type": "integer", "minimum": 0, "maximum": 999_999_999_999},
)
LINES = choice_parameter(
    "format",
    "One JSON object, or the lines themselves (all of them when `limit` is not given).",
    ["json", "jsonl"],
    "jsonl",
)


def _list_parameter(
    name: str,
    about: str,
    item_pattern: str,
    allowed: str,
    example: str,
    read: Callable[[str], Any] = str,
) -> Parameter:
    """Declare a parameter of up to 50 values between commas, as in OONI's API."""
    pattern = f"({item_pattern})(,({item_pattern})){{0,49}}"
    read_matching = _pattern_reader(pattern)
    return Parameter(
        name=name,
        read=lambda value: tuple(read(part) for part in read_matching(value).split(",")),
        allowed=f"{allowed}; up to 50 of them with commas between",
        about=about,
        example=example,
        schema={"type": "string", "pattern": f"^{pattern}$"},
    )


_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


def _parse_day_or_time(value: str) -> int:
    """Parse a day or a time; without a zone it is UTC, as OONI's clients send it."""
    if _DAY.fullmatch(value):
        value += "T00:00:00Z"
    elif len(value) == len("2022-01-05T10:00:00"):
        value = value.replace(" ", "T") + "Z"
    return read_time(value)


def _day_parameter(name: str, about: str, example: str) -> Parameter:
    time = "[T ]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})?"
    pattern = f"^20[1-9][0-9]-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])({time})?$"
    return Parameter(
        name=name,
        read=_parse_day_or_time,
        allowed="a day between 2010 and 2100 such as 2022-01-05, or a time of it",
        about=about,
        example=example,
        schema={"type": "string", "pattern": pattern},
    )


PROBE_CC = _list_parameter(
    "probe_cc", "Countries.", "[A-Z]{2}", "two capital letters such as KZ", "KZ"
)
PROBE_ASN = _list_parameter(
    "probe_asn",
    "Networks; 0 is “not known” and networks of too few together.",
    f"(AS)?({_BELOW_2_32})",
    "a number below 4294967296, with or without AS",
    "AS9198",
    _parse_asn,
)
TEST_NAME = _list_parameter(
    "test_name",
    "OONI's name of a test, or ours where OONI has none.",
    "[a-z0-9_]{1,32}",
    "small letters such as web_connectivity",
    "web_connectivity",
)
DOMAIN = _list_parameter(
    "domain",
    "Hosts of the URLs tested.",
    "[A-Za-z0-9._-]{1,253}",
    "a host such as www.bbc.com",
    "www.bbc.com",
)
INPUT = _text_parameter(
    "input",
    "The URL or other target tested.",
    r"[\x21-\x7e]{1,512}",
    "1 to 512 printable characters such as https://www.bbc.com/",
    "https://www.bbc.com/",
)
SINCE_DAY = _day_parameter(
    "since", "First day; 30 days before `until` when not given.", "2022-01-01"
)
UNTIL_DAY = _day_parameter(
    "until", "The day after the last; tomorrow when not given.", "2022-02-01"
)
