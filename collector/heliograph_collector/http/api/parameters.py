"""Query parameters: one declaration serves parser, errors and documentation."""

from collections.abc import Mapping, Sequence
from typing import TypeVar, cast, overload

from multidict import MultiMapping

from heliograph.observation import Access
from heliograph_collector.http.api.parameter_types import (
    ASN_PATTERN,
    BINS_BY_TEXT,
    DAY_SCHEMA,
    TIME_SCHEMA,
    AsnListParameter,
    AsnParameter,
    BinParameter,
    CountryListParameter,
    CountryParameter,
    DayParameter,
    LastDayParameter,
    NumberParameter,
    Parameter,
    RegionParameter,
    TextListParameter,
    TextParameter,
    TimeParameter,
    ValueSchema,
    choice_parameter,
    choice_schema,
    list_schema,
    pattern_schema,
)
from heliograph_collector.http.i18n import LANGS
from heliograph_collector.http.labels import KINDS
from heliograph_collector.http.problem import Problem, bad_parameter
from heliograph_collector.model.records import VerdictState

_T = TypeVar("_T")


class QueryValues:
    """The parsed parameters of a request."""

    def __init__(self, values: Mapping[str, object]) -> None:
        self._values = values

    def __contains__(self, parameter: Parameter[object]) -> bool:
        return parameter.name in self._values

    @overload
    def get(self, parameter: Parameter[_T]) -> _T | None: ...
    @overload
    def get(self, parameter: Parameter[_T], default: _T) -> _T: ...
    def get(self, parameter: Parameter[_T], default: _T | None = None) -> _T | None:
        """Return the value that `parameter` read, or the default."""
        return cast("_T | None", self._values.get(parameter.name, default))


def parse(query: MultiMapping[str], parameters: Sequence[Parameter[object]]) -> QueryValues:
    """Parse the given parameters.

    Raises Problem with the wrong parameter and the allowed values.
    """
    by_name = {p.name: p for p in parameters}
    values: dict[str, object] = {}
    for name, value in query.items():
        parameter = by_name.get(name)
        if parameter is None:
            raise _unknown_parameter(name, by_name)
        if name in values:
            raise _refuse_value(name, "is given twice", "one value")
        try:
            values[name] = parameter.read(value)
        except ValueError:
            problem = f"cannot be {_clip_value(value)}"
            raise _refuse_value(name, problem, parameter.allowed) from None
    _check_region(values)
    return QueryValues(values)


def _check_region(values: Mapping[str, object]) -> None:
    """Refuse a region of another country: together they name no place."""
    region = values.get("region")
    country = values.get("country")
    if region and country and not str(region).startswith(f"{country}-"):
        raise _refuse_value("region", f"is not in {country}", f"a region of {country}")


def _unknown_parameter(name: str, by_name: Mapping[str, Parameter[object]]) -> Problem:
    allowed = ", ".join(sorted(by_name)) or "no parameters at all"
    detail = f"There is no parameter {_clip_value(name)} here; use {allowed}."
    bare_name = _clip_value(name)[1:-1]  # without quotes, as those of known parameters
    return Problem(400, "Unknown parameter", detail, parameter=bare_name, allowed=allowed)


def _refuse_value(name: str, problem: str, allowed: str) -> Problem:
    return bad_parameter(name, f"The parameter {name} {problem}; use {allowed}.", allowed)


def _clip_value(value: str) -> str:
    return ascii(value[:64])


COUNTRY = CountryParameter(
    "country",
    "ISO 3166-1 alpha-2 code; ZZ is “not known”.",
    "two letters of ISO 3166-1 such as KZ",
    "KZ",
    pattern_schema("[A-Za-z]{2}"),
)
REGION = RegionParameter(
    "region",
    "ISO 3166-2 code of the region that the volunteer declared.",
    "1 to 16 letters, digits or hyphens such as KZ-75",
    "KZ-75",
    pattern_schema("[A-Za-z0-9-]{1,16}"),
)
WINDOW = choice_parameter(
    "window", "How far back the page looks.", ("day", "week", "month"), "week"
)
MINUTES = choice_parameter("bin", "The chart by the minute.", ("1m",), "1m")
LANG = choice_parameter(
    "lang", "Language of the words; the browser's own when not given.", tuple(LANGS), "ru"
)
ASN = AsnParameter(
    "asn",
    "Autonomous system of the vantage; 0 is “not known”.",
    "a number below 4294967296, with or without AS",
    "9198",
    pattern_schema(ASN_PATTERN),
)
ACCESS = choice_parameter(
    "access", "How the vantage reaches its provider.", [a.value for a in Access], "mobile"
)
SERVICE = TextParameter(
    "service",
    "Name of a service, or a target that stands alone.",
    "1 to 512 printable characters such as telegram",
    "telegram",
    pattern_schema(r"[\x21-\x7e]{1,512}"),
)
EXPERIMENT = TextParameter(
    "experiment",
    "Name of an experiment.",
    "1 to 32 small letters such as web",
    "web",
    pattern_schema("[a-z0-9_]{1,32}"),
)
STATE = choice_parameter(
    "state", "Verdict on the whole target.", [s.value for s in VerdictState], "blocked"
)
_TIME_HINT = "an RFC 3339 time between 2010 and 2100 such as 2022-01-05T10:00:00Z"
SINCE = TimeParameter("since", "First moment.", _TIME_HINT, "2022-01-05T10:00:00Z", TIME_SCHEMA)
UNTIL = TimeParameter(
    "until", "Moment after the last.", _TIME_HINT, "2022-01-06T10:00:00Z", TIME_SCHEMA
)
INCIDENT_PAGE_PARAMETERS = (MINUTES, UNTIL, LANG)
BIN = BinParameter(
    "bin",
    "Width of a row.",
    "1m, 5m, 1h or 1d (or 60, 300, 3600, 86400 seconds)",
    "5m",
    choice_schema(BINS_BY_TEXT),
)
LIMIT = NumberParameter(
    "limit",
    "Rows on a page; 100 when not given.",
    "a number from 1 to 500",
    "100",
    ValueSchema(type="integer", minimum=1, maximum=500),
)
CURSOR = TextParameter(
    "cursor",
    "The `next` of the page before.",
    "the `next` of the page before, unchanged",
    "MTIz",
    pattern_schema("[A-Za-z0-9_-]{1,512}"),
)
FORMAT = choice_parameter(
    "format", "Own JSON, or OONI's base data format 0.2.0.", ["json", "ooni"], "ooni"
)
KIND = choice_parameter(
    "kind",
    "What kind of incident; `recovery` is reported as the end of one.",
    tuple(KINDS),
    "partial",
)
INCIDENT_STATE = choice_parameter(
    "state",
    "How far it is: an incident that is open is suspected or confirmed.",
    ("suspected", "confirmed", "closed", "withdrawn"),
    "confirmed",
)
AFTER = NumberParameter(
    "after",
    "Entries after this one.",
    "the number of an entry, 0 for the beginning",
    "0",
    ValueSchema(type="integer", minimum=0, maximum=999_999_999_999),
)
LINES = choice_parameter(
    "format",
    "One JSON object, or the lines themselves (all of them when `limit` is not given).",
    ["json", "jsonl"],
    "jsonl",
)
_LIST_HINT = "; up to 50 of them with commas between"
PROBE_CC = CountryListParameter(
    "probe_cc",
    "Countries.",
    f"two letters of ISO 3166-1 such as KZ{_LIST_HINT}",
    "KZ",
    list_schema("[A-Za-z]{2}"),
)
PROBE_ASN = AsnListParameter(
    "probe_asn",
    "Networks; 0 is “not known” and networks of too few together.",
    f"a number below 4294967296, with or without AS{_LIST_HINT}",
    "AS9198",
    list_schema(ASN_PATTERN),
)
TEST_NAME = TextListParameter(
    "test_name",
    "OONI's name of a test, or ours where OONI has none.",
    f"small letters such as web_connectivity{_LIST_HINT}",
    "web_connectivity",
    list_schema("[a-z0-9_]{1,32}"),
)
DOMAIN = TextListParameter(
    "domain",
    "Hosts of the URLs tested.",
    f"a host such as www.bbc.com{_LIST_HINT}",
    "www.bbc.com",
    list_schema("[A-Za-z0-9._-]{1,253}"),
)
INPUT = TextParameter(
    "input",
    "The URL or other target tested.",
    "1 to 512 printable characters such as https://www.bbc.com/",
    "https://www.bbc.com/",
    pattern_schema(r"[\x21-\x7e]{1,512}"),
)
_DAY_HINT = "a day between 2010 and 2100 such as 2022-01-05, or a time of it"
SINCE_DAY = DayParameter(
    "since",
    "First day; 30 days before `until` when not given.",
    _DAY_HINT,
    "2022-01-01",
    DAY_SCHEMA,
)
UNTIL_DAY = DayParameter(
    "until", "The day after the last; tomorrow when not given.", _DAY_HINT, "2022-02-01", DAY_SCHEMA
)
FIRST_DAY = DayParameter("since", "First day or moment.", _DAY_HINT, "2022-01-01", DAY_SCHEMA)
LAST_DAY = LastDayParameter(
    "until", "Last day (included), or the moment after.", _DAY_HINT, "2022-01-31", DAY_SCHEMA
)
COUNTRY_PAGE_PARAMETERS = (WINDOW, MINUTES, LAST_DAY, LANG)
QUERY = TextParameter(
    "q",
    "A country, region, service, network or incident, by name or code.",
    "1 to 100 characters such as Almaty",
    "Almaty",
    pattern_schema("[^\\x00-\\x1f]{1,100}"),
)
