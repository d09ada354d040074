"""What every answer carries: a strict policy for browsers, and how long it may be kept."""

import json
from hashlib import sha256
from typing import Any

from aiohttp import web

from heliograph_collector.web.problem import Handler

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
    if public and request.method in ("GET", "HEAD"):
        response.headers["Access-Control-Allow-Origin"] = "*"
        response.headers["Access-Control-Expose-Headers"] = "ETag"


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


def public_json(
    request: web.Request, body: dict[str, Any], *, max_age_s: int, moment: str = "at"
) -> web.Response:
    """JSON with a weak ETag that does not change with the hands of the clock alone (`moment`)."""
    lasting = {name: value for name, value in body.items() if name != moment}
    tag = json.dumps(lasting, sort_keys=True).encode()
    return public_text(request, json.dumps(body), "application/json", tag, max_age_s=max_age_s)


def public_text(
    request: web.Request, text: str, content_type: str, tag: bytes, *, max_age_s: int
) -> web.Response:
    """With a weak ETag of `tag`; 304 to whoever has that already."""
    digest = sha256(tag).hexdigest()[:20]
    headers = {"ETag": f'W/"{digest}"', "Cache-Control": f"public, max-age={max_age_s}"}
    if matches(request, digest):
        return web.Response(status=304, headers=headers)
    response = web.Response(text=text, content_type=content_type, charset="utf-8", headers=headers)
    if len(text) > 1024:
        response.enable_compression()
    return response


def matches(request: web.Request, digest: str) -> bool:
    given = request.headers.get("If-None-Match", "")
    tags = {tag.strip().removeprefix("W/").strip('"') for tag in given.split(",")}
    return digest in tags or given.strip() == "*"
