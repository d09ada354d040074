"""Headers of all responses: browser policy, CORS, ETags and cache lifetimes."""

import gzip
import re
from dataclasses import dataclass
from hashlib import sha256

import msgspec
from aiohttp import web
from msgspec import Struct

from heliograph_collector.http.problem import Handler

LICENSE_URL = web.AppKey("license_url", str)  # of our own data

_DEFAULT_HEADERS = {
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
    """Add headers to a response; streams call `apply_headers` before they begin."""
    response = await handler(request)
    if not response.prepared:
        apply_headers(request, response)
        if response.compression:  # aiohttp alone would take "gzip;q=0" for a yes
            coding = web.ContentCoding.gzip if accepts_gzip(request) else web.ContentCoding.identity
            response.enable_compression(coding)
    return response


def accepts_gzip(request: web.Request) -> bool:
    """Return whether the reader takes gzip (RFC 9110, section 12.5.3)."""
    weights: dict[str, str] = {}
    for item in request.headers.get("Accept-Encoding", "").lower().split(","):
        coding, _, weight = item.partition(";")
        weights[coding.strip()] = weight.replace(" ", "")
    weight = weights.get("gzip", weights.get("*", "q=0"))
    return re.fullmatch(r"q=0(\.0*)?", weight) is None


def apply_default_headers(response: web.StreamResponse) -> None:
    """Set the headers that do not depend on the path."""
    for name, value in _DEFAULT_HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Cache-Control", "no-store")


def apply_headers(request: web.Request, response: web.StreamResponse) -> None:
    apply_default_headers(response)
    resource = request.match_info.route.resource
    path = resource.canonical if resource is not None else ""
    if path in _PUBLIC_PATHS and request.method in ("GET", "HEAD", "OPTIONS"):
        response.headers["Access-Control-Allow-Origin"] = "*"
        response.headers["Access-Control-Expose-Headers"] = _EXPOSED
        if path not in _FOREIGN_PATHS and LICENSE_URL in request.app:
            response.headers["Link"] = f'<{request.app[LICENSE_URL]}>; rel="license"'  # RFC 4946


def head_event_stream(lang: str = "") -> web.Response:
    """Answer HEAD for a stream, which takes no reader's seat."""
    return web.Response(headers=_event_stream_headers(lang))


def _event_stream_headers(lang: str) -> dict[str, str]:
    return {
        "Content-Type": "text/event-stream; charset=utf-8",
        "Cache-Control": "no-store",
        "X-Accel-Buffering": "no",
        **({"Content-Language": lang} if lang else {}),
    }


async def start_event_stream(
    request: web.Request, prologue: str, lang: str = ""
) -> web.StreamResponse:
    """Begin a response of Server-Sent Events that no proxy may cache or buffer."""
    response = web.StreamResponse(headers=_event_stream_headers(lang))
    apply_headers(request, response)
    await response.prepare(request)
    await response.write(prologue.encode())
    return response


def add_preflight(app: web.Application) -> None:
    """Answer CORS preflight requests for the public paths; scripts may only read."""
    for resource in app.router.resources():
        if isinstance(resource, web.Resource) and resource.canonical in _PUBLIC_PATHS:
            resource.add_route("OPTIONS", _preflight)


async def _preflight(request: web.Request) -> web.StreamResponse:
    return web.Response(status=204, headers=_PREFLIGHT)


# Paths without our data: others' data, the description, health.
_FOREIGN_PATHS = frozenset({"/api/v1/imported", "/openapi.json", "/healthz", "/readyz"})
_EXPOSED = "Age, ETag, Link, RateLimit, RateLimit-Policy, Retry-After, Content-Range, Accept-Ranges"
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
        "/api/v1/history",
        "/api/v1/incidents",
        "/api/v1/incidents/{id}",
        "/api/v1/log",
        "/api/v1/coverage",
        "/api/v1/imported",
        "/api/v1/stream",
        "/feeds/incidents.atom",
        "/feeds/incidents.json",
        "/feeds/cap.atom",
        "/incidents/{id}/cap.xml",
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
class PreparedResponse:
    """A response for many readers, encoded and compressed once."""

    body: bytes
    gzipped: bytes
    digest: str


def prepare_json(document: Struct) -> PreparedResponse:
    """Encode a document once, as `respond_json` does for each request."""
    body = msgspec.json.encode(document)
    return PreparedResponse(body, gzip.compress(body, 6, mtime=0), _hash_document(document, body))


def respond_prepared(
    request: web.Request, prepared_response: PreparedResponse, *, max_age_s: int
) -> web.Response:
    headers = {
        "ETag": f'W/"{prepared_response.digest}"',
        "Cache-Control": f"public, max-age={max_age_s}",
        "Vary": "Accept-Encoding",
    }
    if etag_matches(request, prepared_response.digest):
        return web.Response(status=304, headers=headers)
    body = prepared_response.body
    if accepts_gzip(request):
        body = prepared_response.gzipped
        headers["Content-Encoding"] = "gzip"
    return web.Response(
        body=body, content_type="application/json", charset="utf-8", headers=headers
    )


def respond_json(request: web.Request, document: Struct, *, max_age_s: int) -> web.Response:
    """Respond with JSON and a weak ETag that ignores the field `at`."""
    body = msgspec.json.encode(document)
    digest = _hash_document(document, body)
    return _respond(request, body, "application/json", digest, max_age_s=max_age_s)


def _hash_document(document: Struct, body: bytes) -> str:
    """Hash a document without `at`, which changes although nothing else does."""
    has_time = "at" in document.__struct_fields__
    stable = msgspec.json.encode(msgspec.structs.replace(document, at="")) if has_time else body
    return _hash_bytes(stable)


def _hash_bytes(content: bytes) -> str:
    return sha256(content).hexdigest()[:20]


def respond_text(
    request: web.Request, content: str, content_type: str, *, max_age_s: int
) -> web.Response:
    """Respond with text and a weak ETag; 304 if the reader has that version."""
    body = content.encode()
    return _respond(request, body, content_type, _hash_bytes(body), max_age_s=max_age_s)


def _respond(
    request: web.Request, body: bytes, content_type: str, digest: str, *, max_age_s: int
) -> web.Response:
    headers = {"ETag": f'W/"{digest}"', "Cache-Control": f"public, max-age={max_age_s}"}
    if etag_matches(request, digest):
        return web.Response(status=304, headers=headers)
    response = web.Response(body=body, content_type=content_type, charset="utf-8", headers=headers)
    if len(body) > 1024:
        response.headers["Vary"] = "Accept-Encoding"
        response.enable_compression()
    return response


def answer_json(document: Struct, status: int = 200) -> web.Response:
    """Respond with JSON that no cache keeps."""
    return web.Response(
        body=msgspec.json.encode(document),
        status=status,
        content_type="application/json",
        charset="utf-8",
    )


def etag_matches(request: web.Request, digest: str) -> bool:
    if_none_match = request.headers.get("If-None-Match", "")
    tags = {tag.strip().removeprefix("W/").strip('"') for tag in if_none_match.split(",")}
    return digest in tags or if_none_match.strip() == "*"


def respond_file(
    request: web.Request, body: bytes, content_type: str, *, max_age_s: int
) -> web.Response:
    """Respond with an image, which other sites may show and caches keep."""
    digest = sha256(body).hexdigest()[:20]
    headers = {
        "ETag": f'"{digest}"',
        "Cache-Control": f"public, max-age={max_age_s}",
        "Vary": "Accept-Language",
        "Cross-Origin-Resource-Policy": "cross-origin",
    }
    if etag_matches(request, digest):
        return web.Response(status=304, headers=headers)
    return web.Response(body=body, content_type=content_type, headers=headers)
