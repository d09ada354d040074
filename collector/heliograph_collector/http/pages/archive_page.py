"""The archive of incidents: filters and any dates, page by page, without a script.

It reads memory alone: no question of a reader reaches the store.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import urlencode

from aiohttp import web
from multidict import MultiDict

from heliograph.timestamps import format_time
from heliograph_collector.http import i18n, labels
from heliograph_collector.http.api.measurements import read_cursor, write_cursor
from heliograph_collector.http.api.parameter_types import Parameter
from heliograph_collector.http.api.parameters import (
    ASN,
    COUNTRY,
    CURSOR,
    FIRST_DAY,
    INCIDENT_STATE,
    KIND,
    LANG,
    LAST_DAY,
    REGION,
    SERVICE,
    QueryValues,
    parse,
)
from heliograph_collector.http.backend import Feed, find_service
from heliograph_collector.http.i18n import Locale
from heliograph_collector.http.incident_cache import IncidentCache
from heliograph_collector.http.incident_document import IncidentFilter, cut_page, parse_us
from heliograph_collector.http.known_networks import KnownNetworks
from heliograph_collector.http.pages.recent_incidents import IncidentLine, build_line
from heliograph_collector.http.pages.responses import form_response
from heliograph_collector.http.problem import bad_parameter, unknown_name
from heliograph_collector.http.templates import PageContent, render_page
from heliograph_collector.incidents.published.incident import IncidentDocument

PAGE_PARAMETERS = (
    COUNTRY, REGION, ASN, SERVICE, INCIDENT_STATE, KIND, FIRST_DAY, LAST_DAY, CURSOR, LANG,
)  # fmt: skip
PAGE_SIZE = 50
_FILTER_NAMES = ("country", "region", "asn", "service", "state", "kind", "since", "until")
_FEED_NAMES = ("country", "region", "asn", "service", "state", "kind")
_STATES = ("confirmed", "suspected", "closed", "withdrawn")
_KINDS = ("network_silence", "service_blocking", "throttling", "partial", "isolation", "power",
          "collector_blocked")  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveContent(PageContent):
    template: ClassVar[str] = "archive.html"
    chosen: Mapping[str, str]
    country: str
    country_title: str
    measured: str
    service: str
    state: str
    kind: str
    countries: Sequence[tuple[str, str]]
    services: Sequence[tuple[str, str]]
    states: Sequence[str]
    kinds: Sequence[str]
    months: Sequence[tuple[str, Sequence[tuple[str, IncidentLine]]]]
    count: int
    older: str
    feed_query: str
    json_query: str
    csv_query: str
    is_watched: bool


class ArchivePage:
    def __init__(
        self,
        feed: Feed,
        incident_cache: IncidentCache,
        known_networks: KnownNetworks,
        assets: Mapping[str, str],
    ) -> None:
        self._feed = feed
        self._incident_cache = incident_cache
        self._known_networks = known_networks
        self._assets = assets

    async def page(self, request: web.Request) -> web.Response:
        values = parse_form(request, PAGE_PARAMETERS)
        t = i18n.request_locale(request)
        service = values.get(SERVICE)
        service_name = find_service(self._feed, service) if service else None
        if service and not service_name:
            raise unknown_name("service", service, ", ".join(self._feed.services))
        await self._known_networks.require(values.get(ASN))
        incident_filter = _build_filter(values, service_name)
        matching = self._incident_cache.list_incidents(incident_filter)
        rows, following = cut_page(matching, read_cursor(values.get(CURSOR, "")), PAGE_SIZE)
        chosen = {name: request.query[name] for name in _FILTER_NAMES if request.query.get(name)}
        content = render_page(
            ArchiveContent(
                t=t,
                assets=self._assets,
                chosen=chosen,
                country=values.get(COUNTRY, ""),
                country_title=labels.country_name(values.get(COUNTRY, ""), t.lang),
                measured=_build_measured(values.get(COUNTRY, ""), chosen),
                service=service_name or "",
                state=values.get(INCIDENT_STATE, ""),
                kind=values.get(KIND, ""),
                countries=self._list_countries(values.get(COUNTRY, ""), t),
                services=self._list_services(service_name or "", t.lang),
                states=_STATES,
                kinds=_KINDS,
                months=_group_by_month(rows, t),
                count=len(matching),
                older=_build_older(chosen, following),
                feed_query=_encode({n: v for n, v in chosen.items() if n in _FEED_NAMES}),
                json_query=_encode(chosen | _build_times(incident_filter)),
                csv_query=_encode(chosen | _build_times(incident_filter) | {"format": "csv"}),
                is_watched=self._feed.is_watched,
            )
        )
        return form_response(content)

    def _list_countries(self, chosen: str, t: Locale) -> list[tuple[str, str]]:
        """List (code, name) of the countries with public incidents, and the chosen one."""
        codes = {i.scope.country for i in self._incident_cache.all_incidents()} | {chosen}
        names = [(code, labels.country_name(code, t.lang)) for code in codes if code]
        return sorted(names, key=lambda pair: pair[1])

    def _list_services(self, chosen: str, lang: str) -> list[tuple[str, str]]:
        """List (name, title) of services: of incidents, of the plan, and the chosen one."""
        incidents = self._incident_cache.all_incidents()
        titles = {i.scope.service: i.title for i in incidents if i.scope.service}
        titles |= self._feed.services
        if chosen:
            titles.setdefault(chosen, chosen)
        return [(name, labels.service_title(name, titles, lang)) for name in titles]


def parse_form(request: web.Request, parameters: Sequence[Parameter[object]]) -> QueryValues:
    """Parse the fields of a form; a field that was left empty is none. Raises Problem."""
    filled = MultiDict((name, value) for name, value in request.query.items() if value)
    return parse(filled, parameters)


def _build_filter(values: QueryValues, service: str | None) -> IncidentFilter:
    since_us = values.get(FIRST_DAY)
    until_us = values.get(LAST_DAY)
    if since_us is not None and until_us is not None and since_us >= until_us:
        raise bad_parameter(
            "until", "The last day must not be before the first one.", LAST_DAY.allowed
        )
    return IncidentFilter(
        country=values.get(COUNTRY),
        region=values.get(REGION),
        asn=values.get(ASN),
        service=service,
        state=values.get(INCIDENT_STATE),
        kind=values.get(KIND),
        since_us=since_us,
        until_us=until_us,
    )


def _group_by_month(
    incidents: Sequence[IncidentDocument], t: Locale
) -> list[tuple[str, list[tuple[str, IncidentLine]]]]:
    """Group (day, line) by the month in which an incident began, newest first."""
    months: dict[str, list[tuple[str, IncidentLine]]] = {}
    for incident in incidents:
        when = i18n.to_datetime(parse_us(incident.started.latest))
        month = i18n.format_month(t.lang, when)
        months.setdefault(month, []).append(
            (i18n.format_short_day(t.lang, when), build_line(incident, t))
        )
    return list(months.items())


def _build_measured(country: str, chosen: Mapping[str, str]) -> str:
    """Return the address of a country's results in the chosen days."""
    days = {name: chosen[name] for name in ("since", "until") if name in chosen}
    return f"/countries/{country}{_encode(days)}"


def _build_times(chosen: IncidentFilter) -> dict[str, str]:
    """Return the chosen days as the moments that the API takes."""
    moments = {"since": chosen.since_us, "until": chosen.until_us}
    return {name: format_time(us) for name, us in moments.items() if us is not None}


def _build_older(chosen: Mapping[str, str], following: str) -> str:
    if not following:
        return ""
    return f"/incidents{_encode({**chosen, 'cursor': write_cursor(following)})}"


def _encode(values: Mapping[str, str]) -> str:
    return f"?{urlencode(values)}" if values else ""
