"""Reader of fingerprint lists: OONI's CSV and JSON as they are, and our own YAML.

The columns are those of github.com/ooni/blocking-fingerprints; title, issuer and date are ours.
JSON is a list of objects with the same keys, or one object a line; Censored Planet's lines with
`fingerprint` and `pattern` are read too. An entry of our YAML may have several conditions.

Example:
    fingerprints = parse_list("fingerprints_http.csv", content)
"""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from heliograph_collector.judge.fingerprints.fingerprint import (
    Condition,
    Fingerprint,
    FingerprintScope,
    Surface,
    is_attributed,
)
from heliograph_collector.judge.fingerprints.pattern import (
    Pattern,
    PatternError,
    PatternType,
    compile_pattern,
)

MAX_BYTES = 8 << 20  # OONI's list has 270 kB
MAX_ROWS = 20_000
SUFFIXES = (".csv", ".json", ".jsonl", ".yml", ".yaml")
REQUIRED = ("name", "location_found", "pattern")
# OONI's scopes, and those of older versions of its lists and of Citizen Lab's.
SCOPES = {
    "nat": FingerprintScope.NATIONAL,
    "isp": FingerprintScope.PROVIDER,
    "prod": FingerprintScope.PRODUCT,
    "inst": FingerprintScope.INSTITUTION,
    "fp": FingerprintScope.INNOCENT,
    "vbw": FingerprintScope.VAGUE,
    "injb": FingerprintScope.INNOCENT,  # a benign injection: pay the bill, update the router
    "prov": FingerprintScope.INNOCENT,  # the content provider's own page
    "br": FingerprintScope.VAGUE,  # an address that resolvers give by convention
    "susp": FingerprintScope.VAGUE,
    "": FingerprintScope.VAGUE,
} | {scope.value: scope for scope in FingerprintScope}
SURFACES = {
    "body": Surface.BODY,
    "title": Surface.TITLE,
    "dns": Surface.DNS,
    "dns.cname": Surface.DNS,
    "issuer": Surface.ISSUER,
    "header.location": Surface.LOCATION,
    "header.server": Surface.SERVER,
}
_SCOPE_IN_NAME = re.compile(r"(?:^|[._])(nat|isp|prod|corp|inst|fp)_")  # cp.c_isp_ru_yota
_COUNTRY = re.compile(r"[A-Z]{2}")
_UNKNOWN_COUNTRY = "ZZ"
_MEASURED_ON = re.compile(r"/measurement/(\d{4})(\d{2})(\d{2})T")
_Phrases = str | tuple[str, ...]
_KindOfPage = Literal["challenge", "parked", "edge_error", "filter", "consent", "portal", "site"]


class FingerprintError(ValueError):
    """Error in a list; the message names the file, the line and the column."""


def parse_list(name: str, content: bytes) -> tuple[Fingerprint, ...]:
    """Parse a list by the ending of its name. Raises FingerprintError."""
    if len(content) > MAX_BYTES:
        raise FingerprintError(f"{name}: it has more than {MAX_BYTES >> 20} MiB; split it")
    try:
        list_text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise FingerprintError(f"{name}:{line}: it is not UTF-8; convert it") from error
    suffix = Path(name).suffix.lower()
    if suffix in (".yml", ".yaml"):
        return _read_yaml(name, content)
    if suffix not in SUFFIXES:
        raise FingerprintError(f"{name}: its ending is none of {', '.join(SUFFIXES)}; rename it")
    rows = _iterate_csv(name, list_text) if suffix == ".csv" else _iterate_json(name, list_text)
    fingerprints = tuple(_read_row(name, line, row) for line, row in rows)
    if not fingerprints:
        raise FingerprintError(f"{name}: it has no fingerprint; check that it is the right file")
    return fingerprints


def _read_yaml(name: str, content: bytes) -> tuple[Fingerprint, ...]:
    try:
        return _read_signatures(content)
    except (ValueError, RecursionError) as error:
        raise FingerprintError(f"{name}: {error}") from error


def _iterate_csv(name: str, csv_text: str) -> Iterator[tuple[int, Mapping[str, str]]]:
    reader = csv.reader(io.StringIO(csv_text, newline=""), strict=True)
    try:
        columns = next(reader, [])
        missing = [column for column in REQUIRED if column not in columns]
        if missing:
            raise FingerprintError(
                f"{name}:1: the column {missing[0]} is missing; the first line names the columns"
            )
        line = reader.line_num + 1
        for count, cells in enumerate(reader):
            if count >= MAX_ROWS:
                raise FingerprintError(f"{name}:{line}: more than {MAX_ROWS} lines; split it")
            if cells and len(cells) != len(columns):
                raise FingerprintError(
                    f"{name}:{line}: {len(cells)} columns, the first line has {len(columns)}"
                )
            if cells:
                yield line, dict(zip(columns, cells, strict=True))
            line = reader.line_num + 1
    except csv.Error as error:
        raise FingerprintError(f"{name}:{reader.line_num}: this is not CSV ({error})") from error


def _iterate_json(name: str, json_text: str) -> Iterator[tuple[int, Mapping[str, str]]]:
    items = list(_parse_json(name, json_text))
    if len(items) > MAX_ROWS:
        raise FingerprintError(f"{name}: more than {MAX_ROWS} entries; split it")
    for line, item in items:
        if not isinstance(item, dict):
            raise FingerprintError(f"{name}:{line}: an entry is no object with OONI's keys")
        yield line, _read_object(item)


def _parse_json(name: str, json_text: str) -> Iterator[tuple[int, object]]:
    """Parse one JSON list, numbered by entry, or one object a line."""
    if json_text.lstrip().startswith("["):
        entries = _load_json(name, 1, json_text)
        if isinstance(entries, list):  # as all that begins so
            yield from enumerate(entries, 1)
        return
    for number, line in enumerate(json_text.splitlines(), 1):
        if line.strip():
            yield number, _load_json(name, number, line)


def _load_json(name: str, line: int, json_text: str) -> object:
    try:
        return json.loads(json_text)
    except (ValueError, RecursionError) as error:
        reason = str(error)[:120]
        raise FingerprintError(f"{name}:{line}: this is not JSON ({reason})") from error


def _read_object(item: Mapping[str, object]) -> dict[str, str]:
    """Return the columns of an object in the format of our lists.

    Objects of Censored Planet have only `fingerprint` and `pattern`.
    """
    row = {key: _join_value(value) for key, value in item.items()}
    if "fingerprint" in row and "name" not in row:
        scope_match = _SCOPE_IN_NAME.search(row["fingerprint"])
        scope = {"corp": "inst"}.get(scope_match[1], scope_match[1]) if scope_match else "vbw"
        return {
            "name": row["fingerprint"],
            "scope": row.get("scope", scope),
            "location_found": "body",
            "pattern_type": "regexp" if ".*" in row.get("pattern", "") else "contains",
            "pattern": row.get("pattern", ""),
            "source": "censored planet",
        }
    return row


def _join_value(value: object) -> str:
    if isinstance(value, list):
        return ",".join(str(item) for item in value)
    return "" if value is None else str(value)


def _read_row(name: str, line: int, row: Mapping[str, str]) -> Fingerprint:
    location = f"{name}:{line}"
    surface = _read_surface(location, row.get("location_found", ""))
    countries = _read_countries(location, row.get("expected_countries", ""))
    pattern_type = _read_choice(location, "pattern_type", row.get("pattern_type") or "contains")
    try:
        pattern = compile_pattern(PatternType(pattern_type), row.get("pattern", ""))
    except PatternError as error:
        raise FingerprintError(f"{location}: column pattern: {error}") from error
    scope = SCOPES[_read_choice(location, "scope", row.get("scope", ""))]
    is_blocking = scope in (FingerprintScope.NATIONAL, FingerprintScope.PROVIDER)
    if is_blocking and not is_attributed(pattern, surface, countries):
        scope = FingerprintScope.VAGUE
    measured_on = _MEASURED_ON.search(row.get("exp_url", ""))
    return Fingerprint(
        name=row.get("name", "")[:200] or f"{name}:{line}",
        scope=scope,
        conditions=(Condition(surface, (pattern,)),),
        countries=countries,
        source=row.get("source", "")[:200] or row.get("name", "").partition(".")[0],
        date=row.get("date", "") or ("-".join(measured_on.groups()) if measured_on else ""),
    )


def _read_surface(location: str, value: str) -> Surface:
    if value in SURFACES:
        return SURFACES[value]
    if value.startswith("header."):
        return Surface.HEADER
    raise FingerprintError(
        f"{location}: column location_found: {value!r} is none of body, title, dns, issuer, "
        "header.NAME"
    )


def _read_choice(location: str, column: str, value: str) -> str:
    choices = list(SCOPES) if column == "scope" else [kind.value for kind in PatternType]
    if value not in choices:
        allowed = ", ".join(filter(None, choices))
        raise FingerprintError(f"{location}: column {column}: {value!r} is none of {allowed}")
    return value


def _read_countries(location: str, value: str) -> tuple[str, ...]:
    countries = tuple(part.strip() for part in value.split(",") if part.strip())
    for country in countries:
        if not _COUNTRY.fullmatch(country):
            raise FingerprintError(
                f"{location}: column expected_countries: {country!r} is no code of two letters"
            )
    return tuple(country for country in countries if country != _UNKNOWN_COUNTRY)


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry; a field with several phrases holds if one of them occurs."""

    id: str
    scope: FingerprintScope
    source: Annotated[str, msgspec.Meta(min_length=1)]
    kind: _KindOfPage | Literal[""] = ""
    countries: tuple[str, ...] = ()
    date: str = ""
    title: _Phrases = ()
    text: _Phrases = ()
    location: _Phrases = ()
    server: _Phrases = ()
    issuer: _Phrases = ()
    words: tuple[tuple[str, ...], ...] = ()  # groups; each has a phrase of the visible text
    without: tuple[str, ...] = ()  # phrases of which the visible text has none
    max_words: int = 0
    redirect_word: tuple[str, ...] = ()
    redirect_label: tuple[str, ...] = ()
    redirect_end: tuple[str, ...] = ()
    status: tuple[int, ...] = ()
    headers: tuple[str, ...] = ()

    def to_fingerprint(self) -> Fingerprint:
        fields = (
            (Surface.TITLE, self.title),
            (Surface.BODY, self.text),
            (Surface.LOCATION, self.location),
            (Surface.SERVER, self.server),
            (Surface.ISSUER, self.issuer),
            (Surface.REDIRECT_WORD, self.redirect_word),
            (Surface.REDIRECT_LABEL, self.redirect_label),
            (Surface.REDIRECT_END, self.redirect_end),
            *((Surface.WORDS, group) for group in self.words),
        )
        conditions = tuple(
            Condition(surface, tuple(_compile_phrases(phrases)))
            for surface, phrases in fields
            if phrases
        )
        if not (conditions or self.headers or self.status):
            raise PatternError(f"{self.id}: nothing to recognize it by; add a phrase")
        return Fingerprint(
            name=self.id,
            scope=self.scope,
            conditions=conditions,
            kind_of_page=self.kind,
            countries=self.countries,
            source=self.source,
            date=self.date,
            status=self.status,
            max_words=self.max_words,
            without=tuple(_compile_phrases(self.without)),
            headers=tuple(name.lower() for name in self.headers),
        )


def _read_signatures(content: bytes) -> tuple[Fingerprint, ...]:
    """Read YAML entries.

    Raises msgspec.ValidationError, msgspec.DecodeError, PatternError.
    """
    entries = msgspec.yaml.decode(content, type=tuple[_Entry, ...])
    return tuple(entry.to_fingerprint() for entry in entries)


def _compile_phrases(phrases: _Phrases) -> Iterable[Pattern]:
    for phrase in (phrases,) if isinstance(phrases, str) else phrases:
        yield compile_pattern(PatternType.CONTAINS, phrase)
