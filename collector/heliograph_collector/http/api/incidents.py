"""Incidents as JSON, as a table, and as feeds for subscription."""

import asyncio
import re
from collections.abc import Sequence
from operator import attrgetter
from urllib.parse import urlsplit

from aiohttp import web
from msgspec.structs import replace

from heliograph_collector.http.api import feeds
from heliograph_collector.http.api.aggregation import CSV
from heliograph_collector.http.api.incident_table import format_incidents
from heliograph_collector.http.api.measurements import read_cursor, write_cursor
from heliograph_collector.http.api.parameter_types import choice_parameter
from heliograph_collector.http.api.parameters import (
    ASN,
    COUNTRY,
    CURSOR,
    INCIDENT_STATE,
    KIND,
    LANG,
    LIMIT,
    REGION,
    SERVICE,
    SINCE,
    UNTIL,
    QueryValues,
    parse,
)
from heliograph_collector.http.backend import Feed
from heliograph_collector.http.headers import respond_json, respond_text
from heliograph_collector.http.i18n import Locale, request_locale
from heliograph_collector.http.incident_cache import IncidentCache
from heliograph_collector.http.incident_document import (
    IncidentFilter,
    cut_page,
    localize_sentence,
)
from heliograph_collector.http.known_networks import KnownNetworks
from heliograph_collector.http.problem import Problem, require_service
from heliograph_collector.http.request_addresses import find_site_address
from heliograph_collector.incidents.published.incident import IncidentDocument, IncidentsDocument

FORMAT = choice_parameter(
    "format", "JSON when not given; CSV has no pages and ignores `limit`.", ("json", "csv"), "csv"
)
LIST_PARAMETERS = (
    COUNTRY, REGION, ASN, SERVICE, INCIDENT_STATE, KIND, SINCE, UNTIL, CURSOR, LIMIT, FORMAT,
    LANG,
)  # fmt: skip
FEED_PARAMETERS = (COUNTRY, REGION, ASN, SERVICE, INCIDENT_STATE, KIND, LIMIT, LANG)
ID_PATTERN = re.compile("[A-Za-z0-9_-]{1,64}")
_DEFAULT_FEED_SIZE = 100
_MAX_TABLES = 8  # that may wait: the largest takes a second of a core, so one is made at a time


class IncidentApi:
    def __init__(
        self, feed: Feed, incident_cache: IncidentCache, known_networks: KnownNetworks
    ) -> None:
        self._feed = feed
        self._known_networks = known_networks
        self._incident_cache = incident_cache
        self._table_lock = asyncio.Lock()
        self._waiting_count = 0

    async def list_incidents(self, request: web.Request) -> web.Response:
        values = parse(request.query, LIST_PARAMETERS)
        position = read_cursor(values.get(CURSOR, ""))
        matching = self._incident_cache.list_incidents(await self._build_filter(values))
        t = request_locale(request)
        if values.get(FORMAT) == "csv":
            table = await self._make_table(matching, find_site_address(self._feed, request), t)
            return _name_language(respond_text(request, table, CSV, max_age_s=60), t)
        rows, following = cut_page(matching, position, values.get(LIMIT, 100))
        page = IncidentsDocument(
            k_anonymity=self._feed.k_anonymity,
            license=self._feed.site.publisher.license,
            incidents=tuple(_localize(self._incident_cache.add_annotations(i), t) for i in rows),
            next=write_cursor(following) if following else None,
        )
        return _name_language(respond_json(request, page, max_age_s=5), t)

    async def _make_table(self, incidents: Sequence[IncidentDocument], base: str, t: Locale) -> str:
        """Make a table in another thread, so that no other reader waits for it. Raises Problem."""
        if self._waiting_count >= _MAX_TABLES:
            raise Problem(
                503,
                "Busy",
                "Many ask for tables just now; try again in some seconds.",
                headers={"Retry-After": "10"},
            )
        self._waiting_count += 1
        try:
            async with self._table_lock:
                license_name = self._feed.site.publisher.license
                return await asyncio.to_thread(format_incidents, incidents, base, license_name, t)
        finally:
            self._waiting_count -= 1

    async def get_incident(self, request: web.Request) -> web.Response:
        parse(request.query, (LANG,))
        t = request_locale(request)
        incident = self._incident_cache.add_annotations(
            find_incident(self._incident_cache, request)
        )
        return _name_language(respond_json(request, _localize(incident, t), max_age_s=5), t)

    async def get_atom(self, request: web.Request) -> web.Response:
        return await self._respond_atom(request, is_cap=False)

    async def get_cap_feed(self, request: web.Request) -> web.Response:
        return await self._respond_atom(request, is_cap=True)

    async def _respond_atom(self, request: web.Request, *, is_cap: bool) -> web.Response:
        values = parse(request.query, FEED_PARAMETERS)
        t = request_locale(request)
        xml = feeds.build_atom(
            await self._list_newest(values),
            *self._feed_context(request, values, t),
            t,
            license_name=self._feed.site.publisher.license,
            is_cap=is_cap,
        )
        return _name_language(respond_text(request, xml, "application/atom+xml", max_age_s=60), t)

    async def get_cap(self, request: web.Request) -> web.Response:
        """Respond with the newest message of an incident as CAP 1.2."""
        parse(request.query, ())
        incident = find_incident(self._incident_cache, request)
        contact = self._feed.site.publisher.contact.removeprefix("mailto:")
        sender = contact or urlsplit(self._feed.site.public_url).hostname or "heliograph"
        base = find_site_address(self._feed, request)
        message = feeds.build_cap_message(incident, base, sender, self._feed.public_key.hex())
        return respond_text(request, message, feeds.CAP_MEDIA, max_age_s=60)

    async def get_json_feed(self, request: web.Request) -> web.Response:
        values = parse(request.query, FEED_PARAMETERS)
        t = request_locale(request)
        json_feed = feeds.build_json_feed(
            await self._list_newest(values), *self._feed_context(request, values, t), t
        )
        response = _name_language(respond_json(request, json_feed, max_age_s=60), t)
        if response.status == 200:
            response.content_type = "application/feed+json"
        return response

    async def _list_newest(self, values: QueryValues) -> list[IncidentDocument]:
        """List incidents by their last change, as feed readers expect."""
        matching = self._incident_cache.list_incidents(await self._build_filter(values))
        newest = sorted(matching, key=attrgetter("updated"), reverse=True)
        return newest[: values.get(LIMIT, _DEFAULT_FEED_SIZE)]

    async def _build_filter(self, values: QueryValues) -> IncidentFilter:
        """Build the filter. Raises Problem 404 for a service or network that nothing public names.

        A list without incidents, or a feed that never has one, would pass for good news.
        """
        service = values.get(SERVICE)
        logged = {incident.scope.service for incident in self._incident_cache.all_incidents()}
        return IncidentFilter(
            country=values.get(COUNTRY),
            region=values.get(REGION),
            asn=await self._known_networks.require(values.get(ASN)),
            service=service if service in logged else require_service(self._feed, service),
            state=values.get(INCIDENT_STATE),
            kind=values.get(KIND),
            since_us=values.get(SINCE),
            until_us=values.get(UNTIL),
        )

    def _feed_context(
        self, request: web.Request, values: QueryValues, t: Locale
    ) -> tuple[str, str, str, feeds.FeedSubject]:
        seed = self._feed.public_key.hex()
        asn = values.get(ASN)
        named = {
            "country": values.get(COUNTRY, ""),
            "region": values.get(REGION, ""),
            "asn": f"AS{asn}" if asn else "",
            "service": values.get(SERVICE, ""),
            "state": values.get(INCIDENT_STATE, ""),
            "kind": values.get(KIND, ""),
        }
        filters = {name: value for name, value in named.items() if value}
        subject = feeds.name_subject(filters, self._feed.services, t)
        return find_site_address(self._feed, request), request.path_qs, seed, subject


def _localize(incident: IncidentDocument, t: Locale) -> IncidentDocument:
    """Return the incident with its sentence in the reader's language."""
    return replace(incident, sentence=localize_sentence(incident, t))


def _name_language(response: web.Response, t: Locale) -> web.Response:
    response.headers["Content-Language"] = t.lang
    earlier = response.headers.get("Vary")
    response.headers["Vary"] = ", ".join(filter(None, ("Accept-Language", earlier)))
    return response


def find_incident(incident_cache: IncidentCache, request: web.Request) -> IncidentDocument:
    """Return an incident. Raises Problem 404, also if k-anonymity withholds it."""
    id_ = request.match_info["id"]
    incident = incident_cache.get_incident(id_) if ID_PATTERN.fullmatch(id_) else None
    if incident is None:
        raise Problem(
            404,
            "No such incident",
            "No incident has this id; those that there are, are at /api/v1/incidents.",
        )
    return incident
