"""Search for pages of countries, regions, services, networks and incidents.

It reads memory alone, and knows no name that is not public.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from typing import ClassVar
from urllib.parse import urlencode

from heliograph.regions import list_regions
from heliograph.units import DAY_US, SECOND_US
from heliograph_collector.http import labels
from heliograph_collector.http.backend import NetworkNamer
from heliograph_collector.http.day_range import DayRange
from heliograph_collector.http.i18n import LANGS, Locale, list_month_names
from heliograph_collector.http.pages.incident_text import describe_incident
from heliograph_collector.http.pages.subject_page import network_path
from heliograph_collector.http.templates import PageContent, render_page
from heliograph_collector.incidents.published.incident import IncidentDocument

MAX_QUERY = 100  # characters; a longer text names nothing
_MAX_RESULTS = 30  # of one kind
_MAX_INCIDENTS = 5
_MAX_NAMES = 300  # of networks with such a name, of which those with data come first
_YEAR = re.compile("(199[0-9]|20[0-9]{2})(?:-(0[1-9]|1[0-2]))?", re.ASCII)
_PLAIN = str.maketrans("۰۱۲۳۴۵۶۷۸۹", "0123456789", "\u0654")  # no hamza above a Persian letter
_IN = ("in", "во", "в", "در")  # before a month
_WEEK = (
    "week", "неделя", "недели", "неделе", "неделю", "апта", "аптада", "аптасы", "هفته",
)  # fmt: skip
_MONTH = ("month", "месяц", "месяца", "месяце", "ай", "айда", "айы", "ماه")
# → days, the one in progress included
_SPANS: Mapping[str, int] = {**dict.fromkeys(_WEEK, 7), **dict.fromkeys(_MONTH, 30)}
_WHICH = frozenset({  # beside such a word
    "the", "this", "last", "past", "in", "for", "за", "на", "эта", "эту", "этой", "этот",
    "этом", "последний", "последнюю", "последняя", "прошлый", "прошлую", "прошлой", "осы",
    "соңғы", "өткен", "این", "گذشته", "اخیر", "در",
})  # fmt: skip
_WORD = re.compile(r"\w+")
_ENDS = ".,?!\u061f"
_LONGEST_ENDING = 3  # letters that a case adds to a name
_LEAST_STEM = 4  # letters
_NUMBER = re.compile("(?:as)?([0-9]{1,10})", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchIndex:
    """Names that a search finds, except those of countries and regions."""

    services: Mapping[str, str]  # name → title
    targets: Collection[str]
    networks: Sequence[tuple[int, str]]  # number, country; of those that are public now
    names: NetworkNamer
    incidents: Sequence[IncidentDocument]


@dataclass(frozen=True, slots=True)
class SearchResult:
    title: str
    path: str
    about: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchContent(PageContent):
    template: ClassVar[str] = "search.html"
    query: str
    groups: Sequence[tuple[str, Sequence[SearchResult]]]
    services: Sequence[tuple[str, str]]
    days: str
    chosen_since: str
    chosen_until: str


def render_search(
    query: str,
    days: DayRange | None,
    now_us: int,
    index: SearchIndex,
    t: Locale,
    assets: Mapping[str, str],
) -> str:
    """Render the form with the results, which lead to `days`.

    Without them a month or a year in the text is: "Kazakhstan January 2022" is what readers write,
    and "Iran last month", and whole questions.
    """
    sought = query
    if days is None:
        sought, days = split_days_off(query)
    if days is None:
        sought, days = _split_span_off(query, now_us)
    chosen = {} if days is None else days.parameters
    suffix = f"?{urlencode(chosen)}" if chosen else ""
    groups = find_results(sought, index, t) if sought else []
    return render_page(
        SearchContent(
            t=t,
            assets=assets,
            query=sought,
            groups=[
                (
                    t(f"search.{kind}"),
                    results if kind == "incidents" else _add_days(results, suffix),
                )
                for kind, results in groups
                if results
            ],
            services=list(index.services.items()),
            days=suffix,
            chosen_since=chosen.get("since", ""),
            chosen_until=chosen.get("until", ""),
        )
    )


def _add_days(results: Iterable[SearchResult], suffix: str) -> list[SearchResult]:
    return [replace(result, path=f"{result.path}{suffix}") for result in results]


def find_results(query: str, index: SearchIndex, t: Locale) -> list[tuple[str, list[SearchResult]]]:
    """Find (kind, results), names that begin with the text first."""
    text = _fold(query)
    groups = _find_by_name(text, index, t)
    return groups if any(results for _, results in groups) else _find_in_sentence(text, index, t)


def _find_by_name(text: str, index: SearchIndex, t: Locale) -> list[tuple[str, list[SearchResult]]]:
    countries = _list_countries(_match(text, _country_names()), t)
    regions = [
        SearchResult(
            labels.region_name(code, t.lang),
            f"/countries/{code[:2]}/{code}",
            labels.country_name(code[:2], t.lang),
        )
        for code in _match(text, _region_names())
    ]
    found_countries = {result.about for result in countries[:3]}
    return [
        ("services", _find_services(text, index, t)),
        ("countries", countries[:_MAX_RESULTS]),
        ("regions", regions[:_MAX_RESULTS]),
        ("networks", _find_networks(text, index, t)),
        ("incidents", _find_incidents(text, found_countries, index, t)),
    ]


def _find_in_sentence(
    text: str, index: SearchIndex, t: Locale
) -> list[tuple[str, list[SearchResult]]]:
    """Find the countries and services that a question names."""
    tokens = _WORD.findall(text)
    titles = {name: [_fold(title)] for name, title in index.services.items()}
    services = [name for name, names in titles.items() if _is_named(names, tokens)]
    countries = [code for code, names in _country_names().items() if _is_named(names, tokens)]
    incidents = [
        incident
        for incident in index.incidents
        if (incident.scope.country in countries or not countries)
        and (incident.scope.service in services or not services)
    ]
    is_found = countries or services
    return [
        ("services", [_describe_service(name, index, t) for name in services]),
        ("countries", _list_countries(countries, t)),
        ("incidents", _list_incidents(incidents, t) if is_found else []),
    ]


def _is_named(names: Iterable[str], tokens: Sequence[str]) -> bool:
    """Return whether one of the names, longer than a code, is among the words.

    Case is ignored.
    """
    sentence = f" {' '.join(tokens)} "
    for name in names:
        plain = " ".join(_WORD.findall(name))
        if len(plain) > 2 and f" {plain} " in sentence:
            return True
        if plain.isascii() or len(plain) < _LEAST_STEM:  # English names do not change
            continue
        stem = plain[:-1] if len(plain) > _LEAST_STEM else plain
        longest = len(plain) + _LONGEST_ENDING
        if any(token.startswith(stem) and len(token) <= longest for token in tokens):
            return True
    return False


def _list_countries(codes: Iterable[str], t: Locale) -> list[SearchResult]:
    return [
        SearchResult(labels.country_name(code, t.lang), f"/countries/{code}", code)
        for code in codes
    ]


def _split_span_off(query: str, now_us: int) -> tuple[str, DayRange | None]:
    """Split a text into the searched name and its last week or month, as in links."""
    parts = query.translate(_PLAIN).split()
    tokens = [part.strip(_ENDS).casefold() for part in parts]
    span = next((_SPANS[token] for token in tokens if token in _SPANS), 0)
    sought = [
        part
        for part, token in zip(parts, tokens, strict=True)
        if token not in _SPANS and token not in _WHICH
    ]
    if not (span and sought):
        return query, None
    tomorrow_us = (now_us // DAY_US + 1) * DAY_US
    return " ".join(sought).rstrip(_ENDS), DayRange(tomorrow_us - span * DAY_US, tomorrow_us)


def split_days_off(query: str) -> tuple[str, DayRange | None]:
    """Split a text into the searched name and a month or year, in any language."""
    parts = query.translate(_PLAIN).split()
    for position, part in enumerate(parts):
        if match := _YEAR.fullmatch(part.rstrip(_ENDS)):
            year = int(match[1])
            month = int(match[2] or 0)
            names = {
                n: _find_month(parts[n])
                for n in (position - 1, position + 1)
                if 0 <= n < len(parts)
            }
            named = next((n for n, number in names.items() if number and not month), position)
            sought = [p for n, p in enumerate(parts) if n not in (position, named)]
            while sought and sought[-1].casefold() in _IN:
                sought.pop()
            if sought:
                return " ".join(sought).rstrip(_ENDS), _span_days(
                    year, month or names.get(named, 0)
                )
    return query, None


def _find_month(claim: str) -> int:
    """Return the number of a month's name, in any of its cases; 0 for another word."""
    text = _fold(claim.rstrip(_ENDS))
    return next((n for n, names in _month_names().items() if _is_month(text, names)), 0)


def _is_month(text: str, names: Collection[str]) -> bool:
    """Compare names; longer ones without the last letter, which differs by case."""
    stems = {name[:-1] for name in names if len(name) > _LEAST_STEM}
    return text in names or (len(text) > _LEAST_STEM and text[:-1] in stems)


def _span_days(year: int, month: int) -> DayRange:
    first = datetime(year, month or 1, 1, tzinfo=UTC)
    after = first.replace(year=year + (month in (0, 12)), month=month % 12 + 1)
    return DayRange(*(int(at.timestamp()) * SECOND_US for at in (first, after)))


@cache
def _month_names() -> Mapping[int, Collection[str]]:
    return {
        number: {
            _fold(name).rstrip(".") for lang in LANGS for name in list_month_names(lang, number)
        }
        for number in range(1, 13)
    }


def _find_services(text: str, index: SearchIndex, t: Locale) -> list[SearchResult]:
    names = {name: [_fold(name), _fold(title)] for name, title in index.services.items()}
    names |= {target: [_fold(labels.format_target(target))] for target in index.targets}
    listed = [name for name in _match(text, names) if "/" not in name]
    return [_describe_service(name, index, t) for name in listed[:_MAX_RESULTS]]


def _describe_service(name: str, index: SearchIndex, t: Locale) -> SearchResult:
    title = labels.service_title(name, index.services, t.lang)
    return SearchResult(title, f"/services/{name}", name)


def _find_networks(text: str, index: SearchIndex, t: Locale) -> list[SearchResult]:
    """Find networks by number, or by their operators' names; those with data lead."""
    countries = dict(index.networks)
    if number := _NUMBER.fullmatch(text):
        asn = int(number.group(1))
        networks = [n for n in countries if str(n).startswith(str(asn))]
        networks += [asn] if asn not in countries and index.names.name_network(asn) else []
    else:
        named = index.names.find_networks(text, _MAX_NAMES) if len(text) > 2 else ()
        networks = sorted(named, key=lambda n: n not in countries)
    return [_describe_network(n, countries.get(n, ""), index, t) for n in networks[:_MAX_RESULTS]]


def _describe_network(asn: int, country: str, index: SearchIndex, t: Locale) -> SearchResult:
    about = [index.names.name_network(asn), country and labels.country_name(country, t.lang)]
    return SearchResult(f"AS{asn}", network_path(asn), " · ".join(filter(None, about)))


def _find_incidents(
    text: str, countries: Collection[str], index: SearchIndex, t: Locale
) -> list[SearchResult]:
    """Find an incident by its id, and the newest of named services and countries."""
    incidents = [
        incident
        for incident in index.incidents
        if incident.id == text
        or incident.scope.country in countries
        or (incident.scope.service and text in _fold(incident.scope.service))
    ]
    return _list_incidents(incidents, t)


def _list_incidents(incidents: Sequence[IncidentDocument], t: Locale) -> list[SearchResult]:
    return [
        SearchResult(describe_incident(incident, t), f"/incidents/{incident.id}")
        for incident in incidents[:_MAX_INCIDENTS]
    ]


def _match(text: str, names: Mapping[str, Iterable[str]]) -> list[str]:
    """List the keys of which a name holds the text; exact ones first, then beginnings."""
    ranks = {
        key: min((_rank(text, name) for name in key_names), default=3)
        for key, key_names in names.items()
    }
    return sorted((key for key, rank in ranks.items() if rank < 3), key=lambda key: ranks[key])


def _rank(text: str, name: str) -> int:
    if name == text:
        return 0
    if name.startswith(text):
        return 1
    return 2 if len(text) > 2 and text in name else 3


def _fold(text: str) -> str:
    return " ".join(text.casefold().split())


def load_names() -> None:
    """Read all names, so that no first search waits for them (60 ms of CPU)."""
    _country_names()
    _region_names()
    _month_names()


@cache
def _country_names() -> Mapping[str, list[str]]:
    return {
        code: [code.casefold(), *(_fold(labels.country_name(code, lang)) for lang in LANGS)]
        for code in labels.list_countries()
    }


@cache
def _region_names() -> Mapping[str, list[str]]:
    return {
        code: [code.casefold(), *(_fold(labels.region_name(code, lang)) for lang in LANGS)]
        for country in labels.list_countries()
        for code in list_regions(country)
    }
