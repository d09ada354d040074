"""The layout of the console's pages: user, navigation and browser policy."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files

from aiohttp import web
from jinja2 import Environment

from heliograph_collector.console import formats
from heliograph_collector.console.sessions import LoginSession
from heliograph_collector.http.templates import TemplateValues, build_environment

SESSION = web.RequestKey("session", LoginSession)
STATIC = {
    "console.css": "text/css",
    "console.js": "text/javascript",
    "incidents.css": "text/css",
}
# As on the public pages, but with forms to our own host and inline images.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cache-Control": "no-store",
    # With no-referrer, browsers send "Origin: null" with forms, as an attacker's page would.
    "Referrer-Policy": "same-origin",
}
# In the order of the navigation: path, name.
NAVIGATION: list[tuple[str, str]] = [
    ("/console", "Overview"),
    ("/console/incidents", "Incidents"),
    ("/console/measurements", "Measurements"),
    ("/console/alerts", "Alerts"),
    ("/console/fleet", "Fleet"),
    ("/console/invites", "Invitations"),
    ("/console/plan", "Plan"),
    ("/console/services", "Services"),
    ("/console/health", "Health"),
    ("/console/rules", "Rules"),
    ("/console/code", "Phone code"),
    ("/console/trail", "Audit trail"),
]
OPERATOR_PATHS = ("/console/code", "/console/trail")


@dataclass(frozen=True, slots=True, kw_only=True)
class PageView(TemplateValues):
    """The content of one page of the console."""


@cache
def environment() -> Environment:
    return build_environment(__package__)


def render(request: web.Request, view: PageView, *, status: int = 200) -> web.Response:
    """Render a page in the layout; its `session` is None before the login."""
    session = session_of(request)
    is_operator = session is not None and session.role == "operator"
    context = {
        "session": session,
        "operator": is_operator,
        "path": request.path,
        "places": [entry for entry in NAVIGATION if is_operator or entry[0] not in OPERATOR_PATHS],
        "say": formats,
        "assets": build_asset_urls(),
    }
    html = view.render(environment(), context)
    return web.Response(
        status=status, text=html, content_type="text/html", charset="utf-8", headers=_HEADERS
    )


def redirect(path: str) -> web.Response:
    """Redirect to another page after a form, so that a reload sends nothing again."""
    return web.Response(status=303, headers={**_HEADERS, "Location": path})


def session_of(request: web.Request) -> LoginSession | None:
    return request.get(SESSION)


@cache
def read_static_files() -> Mapping[str, bytes]:
    return {name: files(__package__).joinpath("static", name).read_bytes() for name in STATIC}


@cache
def build_asset_urls() -> Mapping[str, str]:
    """Build URLs that change with the content, so that browsers may cache them long."""
    return {
        name: f"/console/static/{name}?v={sha256(body).hexdigest()[:12]}"
        for name, body in read_static_files().items()
    }


async def serve_static(request: web.Request) -> web.StreamResponse:
    name = request.match_info["name"]
    if name not in STATIC:
        raise web.HTTPNotFound
    headers = {"Cache-Control": "public, max-age=31536000, immutable"}
    return web.Response(body=read_static_files()[name], content_type=STATIC[name], headers=headers)
