"""The HTTP side of the collector: routes and what surrounds them."""

from collections.abc import Awaitable, Callable, Mapping
from hashlib import sha256
from importlib.resources import files
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Middleware

from heliograph_collector.http.api import openapi
from heliograph_collector.http.api.aggregation import Aggregation
from heliograph_collector.http.api.coverage import Blindness
from heliograph_collector.http.api.docs_page import Docs
from heliograph_collector.http.api.dumps import Dumps
from heliograph_collector.http.api.envelopes import MAX_BODY, Envelopes, way
from heliograph_collector.http.api.health import Health
from heliograph_collector.http.api.incidents import Cases
from heliograph_collector.http.api.log import Ledger
from heliograph_collector.http.api.measurements import Measurements
from heliograph_collector.http.api.parameters import parse
from heliograph_collector.http.api.stream import Stream
from heliograph_collector.http.api.timeline import Reading
from heliograph_collector.http.backend import Feed
from heliograph_collector.http.basic_auth import Operator
from heliograph_collector.http.error_pages import as_pages
from heliograph_collector.http.headers import add_headers, allow_everywhere, public_json
from heliograph_collector.http.incident_cache import Shelf
from heliograph_collector.http.login_throttle import HERE
from heliograph_collector.http.pages.front_page import Front
from heliograph_collector.http.pages.methodology import Methodology
from heliograph_collector.http.pages.routes import Stories
from heliograph_collector.http.problem import Handler, answer_problems
from heliograph_collector.http.rate_limit import Allowance, limiting, network
from heliograph_collector.http.snapshot_cache import Desk

_STATIC = {
    "page.css": "text/css",
    "stories.css": "text/css",
    "page.js": "text/javascript",
    "mark.svg": "image/svg+xml",
    "world.svg": "image/svg+xml",
}


_UNDELAYED = ("healthz", "readyz", "metrics", "envelopes")  # they show no incident


_COSTS = {"/api/v1/aggregation": 10, "/api/v1/timeline": 3, "/countries/{code}": 3}


def build(feed: Feed, desk: Desk | None = None) -> web.Application:
    """The application, ready for an AppRunner. It starts no task of its own."""
    desk = desk or Desk(feed)
    shelf = Shelf(feed)
    static = {name: _content(name) for name in _STATIC}
    assets = {name: _address(name, body) for name, body in static.items()}
    around = [add_headers, as_pages(assets), answer_problems, *_limits(feed), _look_first(shelf)]
    app = web.Application(middlewares=around, client_max_size=MAX_BODY)
    reading, cases = Reading(feed, desk), Cases(feed, shelf)
    operator = Operator(feed.operator_hash, feed.clock, lambda request: _place(feed, request))
    measurements, health = Measurements(feed, operator), Health(feed, operator)
    app.router.add_get("/", Front(feed, shelf, assets, desk).page)
    app.router.add_get("/methodology", Methodology(feed, assets).page)
    app.router.add_get("/api/v1/status", reading.status)
    app.router.add_get("/api/v1/timeline", reading.timeline)
    app.router.add_get("/api/v1/aggregation", Aggregation(feed).__call__)
    app.router.add_get("/api/v1/measurements", measurements.many)
    app.router.add_get("/api/v1/measurements/{id}", measurements.one)
    stories = Stories(feed, shelf, desk, assets)
    app.router.add_get("/countries/{code}", stories.country)
    app.router.add_get("/incidents/{id}", stories.incident)
    app.router.add_get("/incidents/{id}/embed", stories.embed)
    app.router.add_get("/incidents/{id}/share.svg", stories.share_svg)
    app.router.add_get("/incidents/{id}/share.png", stories.share_png)
    app.router.add_get("/api/v1/incidents", cases.many)
    app.router.add_get("/api/v1/incidents/{id}", cases.one)
    app.router.add_get("/api/v1/log", Ledger(feed).__call__)
    app.router.add_get("/api/v1/coverage", Blindness(feed, shelf, desk).__call__)
    app.router.add_get("/feeds/incidents.atom", cases.atom)
    app.router.add_get("/feeds/incidents.json", cases.json_feed)
    dumps = Dumps(feed, assets)
    app.router.add_get("/dumps/", dumps.page)
    app.router.add_get("/dumps/index.json", dumps.index)
    app.router.add_get("/dumps/README.json", dumps.dictionary)
    app.router.add_get("/dumps/{name}", dumps.file)
    app.router.add_get("/api/v1/stream", Stream(feed.bus).__call__, allow_head=False)
    app.router.add_post("/v1/envelopes", Envelopes(feed).__call__, name="envelopes")
    app.router.add_get("/healthz", health.alive, name="healthz")
    app.router.add_get("/readyz", health.ready, name="readyz")
    app.router.add_get("/metrics", health.metrics, name="metrics")
    told = openapi.document()
    app.router.add_get("/openapi.json", _openapi(told))
    app.router.add_get("/docs", Docs(told, assets).page)
    app.router.add_get("/static/{name}", _static(static))
    allow_everywhere(app)
    app.on_shutdown.append(_let_go(feed))
    return app


def _limits(feed: Feed) -> list[Middleware]:
    if not feed.requests_a_minute:
        return []
    allowance = Allowance(feed.requests_a_minute, feed.clock)
    costs = dict.fromkeys(_UNDELAYED, 0) | _COSTS
    return [limiting(allowance, lambda request: feed.who(way(request)), costs)]


def _place(feed: Feed, request: web.Request) -> str:
    """Where a password comes from, kept in memory only. A proxy of this machine says for whom it
    asks, also where it is not trusted with more."""
    told = way(request)
    forwarded = told.rpartition(",")[0].rpartition(",")[2].strip()
    address = feed.who(told) or forwarded
    return network(address) if address else HERE


def _look_first(shelf: Shelf) -> Middleware:
    """The incidents are made before they are asked for, so that nobody's answer blocks another."""

    @web.middleware
    async def look(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.match_info.route.name not in _UNDELAYED:
            await shelf.look()
        return await handler(request)

    return look


def _let_go(feed: Feed) -> Callable[[web.Application], Awaitable[None]]:
    async def close(app: web.Application) -> None:
        feed.bus.close()

    return close


def _content(name: str) -> bytes:
    return files(__package__).joinpath("static", name).read_bytes()


def _address(name: str, body: bytes) -> str:
    """Changes with the content, so that browsers may keep it for long."""
    return f"/static/{name}?v={sha256(body).hexdigest()[:12]}"


def _static(bodies: Mapping[str, bytes]) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        if name not in bodies:
            raise web.HTTPNotFound
        headers = {"Cache-Control": "public, max-age=31536000, immutable"}
        return web.Response(body=bodies[name], content_type=_STATIC[name], headers=headers)

    return answer


def _openapi(document: dict[str, Any]) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        parse(request.query, ())
        return public_json(request, document, max_age_s=300)

    return answer
