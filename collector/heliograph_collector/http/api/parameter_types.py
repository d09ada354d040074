"""Types of query parameters, which parse values and describe them in JSON Schema."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Generic, Literal, TypeVar

from msgspec import Struct

from heliograph.regions import find_region
from heliograph.units import DAY_US
from heliograph_collector.http.labels import find_country
from heliograph_collector.http.problem import unknown_name

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_RFC3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)
ASN_MAX = 2**32 - 1
_FIRST_US = 1_262_304_000_000_000  # 2010-01-01: before all data
_LAST_US = 4_102_444_800_000_000  # 2100-01-01
_BELOW_2_32 = (
    "[0-9]{1,9}|[0-3][0-9]{9}|4[01][0-9]{8}|42[0-8][0-9]{7}|429[0-3][0-9]{6}|4294[0-8][0-9]{5}|"
    "42949[0-5][0-9]{4}|429496[0-6][0-9]{3}|4294967[01][0-9]{2}|42949672[0-8][0-9]|429496729[0-5]"
)
ASN_PATTERN = f"([Aa][Ss])?({_BELOW_2_32})"
BINS = {"1m": 60, "5m": 300, "1h": 3600, "1d": 86_400}
BINS_BY_TEXT = BINS | {str(seconds): seconds for seconds in BINS.values()}
_T_co = TypeVar("_T_co", covariant=True)


class ValueSchema(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The JSON Schema of one parameter."""

    type: Literal["string", "integer"] | None = None
    format: str | None = None
    pattern: str | None = None
    enum: tuple[str, ...] = ()
    minimum: int | None = None
    maximum: int | None = None


def pattern_schema(pattern: str) -> ValueSchema:
    return ValueSchema(type="string", pattern=f"^({pattern})$")


def list_schema(item_pattern: str) -> ValueSchema:
    """Describe up to 50 values between commas, as in OONI's API."""
    return pattern_schema(f"({item_pattern})(,({item_pattern})){{0,49}}")


def choice_schema(choices: Iterable[str]) -> ValueSchema:
    return ValueSchema(type="string", enum=tuple(choices))


TIME_SCHEMA = ValueSchema(type="string", format="date-time", pattern="^20[1-9][0-9]-")
DAY_SCHEMA = pattern_schema(
    "20[1-9][0-9]-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
    "([T ]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})?)?"
)


@dataclass(frozen=True, slots=True)
class Parameter(ABC, Generic[_T_co]):
    """A query parameter."""

    name: str
    about: str
    allowed: str
    example: str
    schema: ValueSchema

    @abstractmethod
    def read(self, value: str) -> _T_co:
        """Parse a value. Raises ValueError if it is not allowed."""

    def match(self, value: str) -> str:
        """Return the value. Raises ValueError if it is not as in the schema."""
        is_listed = not self.schema.enum or value in self.schema.enum
        if not is_listed or not re.fullmatch(self.schema.pattern or ".*", value, re.ASCII):
            raise ValueError
        return value


class TextParameter(Parameter[str]):
    """A text that matches a pattern, or one of some texts."""

    def read(self, value: str) -> str:
        return self.match(value)


class CountryParameter(TextParameter):
    """A country's code in any case. Raises Problem 404 for a code of no country."""

    def read(self, value: str) -> str:
        return _find_known(self, find_country, self.match(value))


class RegionParameter(TextParameter):
    """A region's code in any case, also a former one. Raises Problem 404 for others."""

    def read(self, value: str) -> str:
        return _find_known(self, _find_region, self.match(value))


class TextListParameter(Parameter[tuple[str, ...]]):
    """Texts between commas."""

    def read(self, value: str) -> tuple[str, ...]:
        return tuple(self.match(value).split(","))


class CountryListParameter(TextListParameter):
    """Countries' codes in any case. Raises Problem 404 for a code of no country."""

    def read(self, value: str) -> tuple[str, ...]:
        return tuple(_find_known(self, find_country, code) for code in super().read(value))


class TimeParameter(Parameter[int]):
    """A time, in microseconds since the epoch."""

    def read(self, value: str) -> int:
        return read_time(value)


class DayParameter(Parameter[int]):
    """A day or a time; without a zone it is UTC, as OONI's clients send it."""

    def read(self, value: str) -> int:
        if _DAY.fullmatch(value):
            value += "T00:00:00Z"
        elif len(value) == len("2022-01-05T10:00:00"):
            value = value.replace(" ", "T") + "Z"
        return read_time(value)


class LastDayParameter(DayParameter):
    """Last day of a range, which is included, or a moment; in microseconds, exclusive."""

    def read(self, value: str) -> int:
        return super().read(value) + (DAY_US if _DAY.fullmatch(value) else 0)


class AsnParameter(Parameter[int]):
    """The number of an autonomous system."""

    def read(self, value: str) -> int:
        return _parse_asn(self.match(value))


class AsnListParameter(Parameter[tuple[int, ...]]):
    """Numbers of autonomous systems between commas."""

    def read(self, value: str) -> tuple[int, ...]:
        return tuple(map(_parse_asn, self.match(value).split(",")))


class BinParameter(Parameter[int]):
    """The width of a bin in seconds, by name or number."""

    def read(self, value: str) -> int:
        return BINS_BY_TEXT[self.match(value)]


class NumberParameter(Parameter[int]):
    """A whole number in the range of the schema."""

    def read(self, value: str) -> int:
        maximum = self.schema.maximum or 0
        if not (value.isascii() and value.isdigit() and len(value) <= len(str(maximum)) + 1):
            raise ValueError
        if not (self.schema.minimum or 0) <= int(value) <= maximum:
            raise ValueError
        return int(value)


def choice_parameter(name: str, about: str, choices: Iterable[str], example: str) -> Parameter[str]:
    """Declare a parameter whose allowed values are listed to the reader."""
    schema = choice_schema(choices)
    return TextParameter(name, about, ", ".join(schema.enum), example, schema)


def read_time(value: str) -> int:
    """Parse an RFC 3339 time to microseconds since the epoch. Raises ValueError."""
    if not _RFC3339.fullmatch(value):
        raise ValueError
    timestamp = datetime.fromisoformat(value.upper())
    us = (timestamp - _EPOCH) // _MICROSECOND
    if not _FIRST_US <= us <= _LAST_US:
        raise ValueError
    return us


def _parse_asn(value: str) -> int:
    return int(value.upper().removeprefix("AS"))


def _find_region(claim: str) -> str:
    return find_region(claim[:2].upper(), claim)


def _find_known(parameter: Parameter[object], find: Callable[[str], str], claim: str) -> str:
    code = find(claim)
    if not code:
        raise unknown_name(parameter.name, claim, parameter.allowed)
    return code
