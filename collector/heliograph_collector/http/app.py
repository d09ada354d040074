"""The HTTP application: its routes and middlewares."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files

from aiohttp import web
from aiohttp.typedefs import Middleware

from heliograph_collector.http import labels
from heliograph_collector.http.api import openapi
from heliograph_collector.http.api.aggregation import AggregationApi
from heliograph_collector.http.api.bulk import BulkApi
from heliograph_collector.http.api.client import ClientFile
from heliograph_collector.http.api.coverage import CoverageApi
from heliograph_collector.http.api.docs_page import DocsPage
from heliograph_collector.http.api.dumps import DumpRoutes
from heliograph_collector.http.api.envelopes import MAX_BODY, EnvelopeApi
from heliograph_collector.http.api.history import HistoryApi
from heliograph_collector.http.api.imported import ImportedApi
from heliograph_collector.http.api.incidents import IncidentApi
from heliograph_collector.http.api.log import AlertLogApi
from heliograph_collector.http.api.measurements import MeasurementApi
from heliograph_collector.http.api.openapi_document import OpenApiDocument
from heliograph_collector.http.api.parameters import parse
from heliograph_collector.http.api.status import HealthApi
from heliograph_collector.http.api.stream import EventStream
from heliograph_collector.http.api.timeline import TimelineApi
from heliograph_collector.http.backend import Feed
from heliograph_collector.http.basic_auth import OperatorAuth
from heliograph_collector.http.headers import LICENSE_URL, add_headers, add_preflight, respond_json
from heliograph_collector.http.incident_cache import IncidentCache
from heliograph_collector.http.known_networks import KnownNetworks
from heliograph_collector.http.pages import search_page
from heliograph_collector.http.pages.about import AboutPage
from heliograph_collector.http.pages.archive_page import ArchivePage
from heliograph_collector.http.pages.country_routes import CountryRoutes
from heliograph_collector.http.pages.day_charts import DayCharts
from heliograph_collector.http.pages.front_page import FrontPage
from heliograph_collector.http.pages.history_charts import HistoryCharts
from heliograph_collector.http.pages.history_routes import HistoryPages
from heliograph_collector.http.pages.incident_routes import IncidentRoutes
from heliograph_collector.http.pages.methodology import MethodologyPage
from heliograph_collector.http.pages.subject_routes import SubjectRoutes, redirect_other_paths
from heliograph_collector.http.problem import Handler, answer_problems, render_problems
from heliograph_collector.http.rate_limit import (
    LOCAL_ORIGIN,
    RateLimiter,
    build_limiter,
    client_prefix,
)
from heliograph_collector.http.request_addresses import forwarded_for
from heliograph_collector.http.site_files import SiteFiles
from heliograph_collector.http.snapshot_cache import SnapshotCache
from heliograph_collector.http.templates import load_templates

_STATIC = {
    "chart.js": "text/javascript",
    "page.css": "text/css",
    "stories.css": "text/css",
    "page.js": "text/javascript",
    "mark.svg": "image/svg+xml",
    "world.svg": "image/svg+xml",
}


# Names of the routes that show no incident; they cost a reader nothing.
_WITHOUT_INCIDENTS = ("healthz", "readyz", "metrics", "envelopes", "security", "robots", "favicon")


_COSTS = {"/api/v1/aggregation": 10, "/api/v1/timeline": 3, "/countries/{code}": 3}


def _load_texts() -> None:
    """Read what the first reader of a page would otherwise wait for."""
    load_templates()
    labels.load_names()
    search_page.load_names()


def build_app(
    feed: Feed,
    snapshot_cache: SnapshotCache | None = None,
    day_charts: DayCharts | None = None,
) -> web.Application:
    """Build the application for an AppRunner; it starts no task."""
    snapshot_cache = snapshot_cache or SnapshotCache(feed)
    day_charts = day_charts or DayCharts(feed)
    incident_cache = IncidentCache(feed)
    _load_texts()
    static = {name: _read_static(name) for name in _STATIC}
    assets = {name: _asset_url(name, body) for name, body in static.items()}
    middlewares = [
        add_headers,
        render_problems(assets),
        answer_problems,
        redirect_other_paths,
        *_build_limits(feed),
        _refresh_first(incident_cache),
    ]
    app = web.Application(middlewares=middlewares, client_max_size=MAX_BODY)
    app[LICENSE_URL] = feed.site.publisher.license_url
    known_networks = KnownNetworks(feed, incident_cache, snapshot_cache)
    timeline_api = TimelineApi(feed, snapshot_cache, known_networks)
    incident_api = IncidentApi(feed, incident_cache, known_networks)
    operator = OperatorAuth(feed.site.operator_hash, feed.clock, _RequestOrigins(feed))
    measurement_api = MeasurementApi(feed, operator)
    health_api = HealthApi(feed, operator)
    _add_pages(app.router, feed, incident_cache, snapshot_cache, known_networks, day_charts, assets)
    app.router.add_get("/api/v1/status", timeline_api.status)
    app.router.add_get("/api/v1/timeline", timeline_api.timeline)
    app.router.add_get("/api/v1/aggregation", AggregationApi(feed, known_networks).__call__)
    app.router.add_get("/api/v1/measurements", measurement_api.list_measurements)
    app.router.add_get("/api/v1/measurements/{id}", measurement_api.get_measurement)
    app.router.add_get("/api/v1/bulk/{day}", BulkApi(feed).send_day)
    app.router.add_get("/incidents/{id}/cap.xml", incident_api.get_cap)
    app.router.add_get("/api/v1/incidents", incident_api.list_incidents)
    app.router.add_get("/api/v1/incidents/{id}", incident_api.get_incident)
    app.router.add_get("/api/v1/log", AlertLogApi(feed).__call__)
    coverage_api = CoverageApi(feed, incident_cache, snapshot_cache)
    app.router.add_get("/api/v1/coverage", coverage_api.__call__)
    app.router.add_get("/api/v1/imported", ImportedApi(feed).__call__)
    app.router.add_get("/feeds/incidents.atom", incident_api.get_atom)
    app.router.add_get("/feeds/cap.atom", incident_api.get_cap_feed)
    app.router.add_get("/feeds/incidents.json", incident_api.get_json_feed)
    _add_dumps(app.router, feed, assets)
    app.router.add_get("/api/v1/stream", EventStream(feed.bus, feed).__call__)
    app.router.add_post("/v1/envelopes", EnvelopeApi(feed).__call__, name="envelopes")
    app.router.add_get("/healthz", health_api.alive, name="healthz")
    app.router.add_get("/readyz", health_api.ready, name="readyz")
    app.router.add_get("/metrics", health_api.metrics, name="metrics")
    openapi_document = openapi.build_document(feed.site.publisher)
    app.router.add_get("/openapi.json", _serve_openapi(openapi_document))
    app.router.add_get("/client.py", ClientFile(openapi_document).send)
    app.router.add_get("/docs", DocsPage(openapi_document, assets).page)
    app.router.add_get("/static/{name}", _serve_static(static))
    add_preflight(app)
    app.on_shutdown.append(_close_bus(feed))
    return app


def _add_dumps(router: web.UrlDispatcher, feed: Feed, assets: Mapping[str, str]) -> None:
    dump_routes = DumpRoutes(feed, assets)
    router.add_get("/dumps/", dump_routes.page)
    router.add_get("/dumps/index.json", dump_routes.index)
    router.add_get("/dumps/README.json", dump_routes.dictionary)
    router.add_get("/dumps/{name}", dump_routes.file)


def _add_pages(
    router: web.UrlDispatcher,
    feed: Feed,
    incident_cache: IncidentCache,
    snapshot_cache: SnapshotCache,
    known_networks: KnownNetworks,
    day_charts: DayCharts,
    assets: Mapping[str, str],
) -> None:
    router.add_get("/", FrontPage(feed, incident_cache, assets, snapshot_cache).page)
    router.add_get("/about", AboutPage(feed, assets).page)
    router.add_get("/methodology", MethodologyPage(feed, assets).page)
    history_pages = HistoryPages(feed, incident_cache, assets)
    country_routes = CountryRoutes(
        feed, incident_cache, snapshot_cache, day_charts, history_pages, assets
    )
    router.add_get("/countries/{code}", country_routes.show_country)
    incident_routes = IncidentRoutes(feed, incident_cache, snapshot_cache, assets)
    router.add_get("/incidents/{id}", incident_routes.show_incident)
    router.add_get("/incidents/{id}/embed", incident_routes.show_embed)
    router.add_get("/incidents/{id}/share.svg", incident_routes.send_share_svg)
    router.add_get("/incidents/{id}/share.png", incident_routes.send_share_png)
    subject_routes = SubjectRoutes(
        feed, incident_cache, snapshot_cache, known_networks, history_pages, assets
    )
    router.add_get("/services/{id}", subject_routes.show_service)
    router.add_get("/networks/{asn}", subject_routes.show_network)
    router.add_get("/countries/{code}/{region}", subject_routes.show_region)
    router.add_get("/search", subject_routes.search)
    archive_page = ArchivePage(feed, incident_cache, known_networks, assets)
    router.add_get("/incidents", archive_page.page)
    SiteFiles(feed, incident_cache, assets["mark.svg"]).add_routes(router)
    router.add_get("/api/v1/history", HistoryApi(feed, known_networks, history_pages).__call__)
    for is_ours in (True, False):
        charts = HistoryCharts(
            feed, snapshot_cache, known_networks, history_pages, assets, is_ours=is_ours
        )
        router.add_get(charts.path, charts.show_embed)
        router.add_get(f"{charts.path}.svg", charts.send_svg)
        router.add_get(f"{charts.path}.png", charts.send_png)


def _build_limits(feed: Feed) -> list[Middleware]:
    if not feed.site.requests_a_minute:
        return []
    rate_limiter = RateLimiter(feed.site.requests_a_minute, feed.clock)
    costs = dict.fromkeys(_WITHOUT_INCIDENTS, 0) | _COSTS

    def find_client(request: web.Request) -> str:
        return feed.client_address(forwarded_for(request))

    return [build_limiter(rate_limiter, find_client, costs)]


@dataclass(frozen=True, slots=True)
class _RequestOrigins:
    """Origins of password tries, kept in memory only.

    A proxy on this machine names its client for this purpose, even without further trust.
    """

    feed: Feed

    def name_origin(self, request: web.Request) -> str:
        addresses = forwarded_for(request)
        forwarded = addresses.rpartition(",")[0].rpartition(",")[2].strip()
        address = self.feed.client_address(addresses) or forwarded
        return client_prefix(address) if address else LOCAL_ORIGIN


def _refresh_first(incident_cache: IncidentCache) -> Middleware:
    """Return a middleware that builds incidents before a handler needs them.

    Otherwise the build would block the event loop.
    """

    @web.middleware
    async def refresh_incidents(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.match_info.route.name not in _WITHOUT_INCIDENTS:
            await incident_cache.refresh()
        return await handler(request)

    return refresh_incidents


def _close_bus(feed: Feed) -> Callable[[web.Application], Awaitable[None]]:
    async def close(app: web.Application) -> None:
        feed.bus.close()

    return close


def _read_static(name: str) -> bytes:
    return files(__package__).joinpath("static", name).read_bytes()


def _asset_url(name: str, body: bytes) -> str:
    """Return a URL that changes with the content, so that browsers may cache it long."""
    return f"/static/{name}?v={sha256(body).hexdigest()[:12]}"


def _serve_static(bodies: Mapping[str, bytes]) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        if name not in bodies:
            raise web.HTTPNotFound
        headers = {"Cache-Control": "public, max-age=31536000, immutable"}
        return web.Response(body=bodies[name], content_type=_STATIC[name], headers=headers)

    return answer


def _serve_openapi(document: OpenApiDocument) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        parse(request.query, ())
        return respond_json(request, document, max_age_s=300)

    return answer
