"""What every answer carries: a strict policy for browsers, and how long it may be kept."""

import gzip
import json
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from aiohttp import web

from heliograph_collector.http.problem import Handler

_ALWAYS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "geolocation=(), camera=(), microphone=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Server": "heliograph",
}


@web.middleware
async def add_headers(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Streams set theirs before they begin: `apply` is for both."""
    response = await handler(request)
    if not response.prepared:
        apply(request, response)
    return response


def apply(request: web.Request, response: web.StreamResponse) -> None:
    for name, value in _ALWAYS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Cache-Control", "no-store")
    resource = request.match_info.route.resource
    public = resource is not None and resource.canonical in _PUBLIC_PATHS
    if public and request.method in ("GET", "HEAD", "OPTIONS"):
        response.headers["Access-Control-Allow-Origin"] = "*"
        response.headers["Access-Control-Expose-Headers"] = _EXPOSED


def allow_everywhere(app: web.Application) -> None:
    """Let scripts of other sites ask, of each public path, what they may do. They may read."""
    for resource in app.router.resources():
        if isinstance(resource, web.Resource) and resource.canonical in _PUBLIC_PATHS:
            resource.add_route("OPTIONS", _preflight)


async def _preflight(request: web.Request) -> web.StreamResponse:
    return web.Response(status=204, headers=_PREFLIGHT)


_EXPOSED = "ETag, RateLimit, RateLimit-Policy, Retry-After, Content-Range, Accept-Ranges"
_PREFLIGHT = {
    "Allow": "GET, HEAD, OPTIONS",
    "Access-Control-Allow-Methods": "GET, HEAD",
    "Access-Control-Allow-Headers": "If-None-Match, Last-Event-ID, Range",
    "Access-Control-Max-Age": "86400",
    "Cache-Control": "public, max-age=86400",
}
_PUBLIC_PATHS = frozenset(
    {
        "/api/v1/status",
        "/api/v1/timeline",
        "/api/v1/aggregation",
        "/api/v1/incidents",
        "/api/v1/incidents/{id}",
        "/api/v1/log",
        "/api/v1/coverage",
        "/api/v1/stream",
        "/feeds/incidents.atom",
        "/feeds/incidents.json",
        "/dumps/",
        "/dumps/index.json",
        "/dumps/README.json",
        "/dumps/{name}",
        "/openapi.json",
        "/healthz",
        "/readyz",
    }
)


@dataclass(frozen=True, slots=True)
class Prepared:
    """An answer that many get: made and compressed once."""

    body: bytes
    zipped: bytes
    digest: str


def prepared(body: dict[str, Any], moment: str = "at") -> Prepared:
    """As `public_json` would answer it."""
    text = json.dumps(body).encode()
    return Prepared(text, gzip.compress(text, 6, mtime=0), _digest(body, moment))


def public_prepared(request: web.Request, answer: Prepared, *, max_age_s: int) -> web.Response:
    headers = {"ETag": f'W/"{answer.digest}"', "Cache-Control": f"public, max-age={max_age_s}"}
    headers["Vary"] = "Accept-Encoding"
    if matches(request, answer.digest):
        return web.Response(status=304, headers=headers)
    body, accepted = answer.body, request.headers.get("Accept-Encoding", "")
    if "gzip" in accepted and "gzip;q=0" not in accepted.replace(" ", ""):
        body, headers["Content-Encoding"] = answer.zipped, "gzip"
    return web.Response(
        body=body, content_type="application/json", charset="utf-8", headers=headers
    )


def public_json(
    request: web.Request, body: dict[str, Any], *, max_age_s: int, moment: str = "at"
) -> web.Response:
    """JSON with a weak ETag that does not change with the hands of the clock alone (`moment`)."""
    digest = _digest(body, moment)
    return _public(request, json.dumps(body), "application/json", digest, max_age_s=max_age_s)


def _digest(body: dict[str, Any], moment: str) -> str:
    lasting = {name: value for name, value in body.items() if name != moment}
    return sha256(json.dumps(lasting, sort_keys=True).encode()).hexdigest()[:20]


def public_text(
    request: web.Request, text: str, content_type: str, tag: bytes, *, max_age_s: int
) -> web.Response:
    """With a weak ETag of `tag`; 304 to whoever has that already."""
    digest = sha256(tag).hexdigest()[:20]
    return _public(request, text, content_type, digest, max_age_s=max_age_s)


def _public(
    request: web.Request, text: str, content_type: str, digest: str, *, max_age_s: int
) -> web.Response:
    headers = {"ETag": f'W/"{digest}"', "Cache-Control": f"public, max-age={max_age_s}"}
    if matches(request, digest):
        return web.Response(status=304, headers=headers)
    response = web.Response(text=text, content_type=content_type, charset="utf-8", headers=headers)
    if len(text) > 1024:
        response.headers["Vary"] = "Accept-Encoding"
        response.enable_compression()
    return response


def matches(request: web.Request, digest: str) -> bool:
    given = request.headers.get("If-None-Match", "")
    tags = {tag.strip().removeprefix("W/").strip('"') for tag in given.split(",")}
    return digest in tags or given.strip() == "*"
