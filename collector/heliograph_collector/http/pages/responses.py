"""Responses with their policies: of pages, of frames for other sites, of pictures."""

import asyncio
from collections.abc import Mapping
from functools import partial

from aiohttp import web

from heliograph.units import SECOND_US
from heliograph_collector.aggregate.query_cache import Ttl
from heliograph_collector.http.charts.share_image import render_png
from heliograph_collector.http.headers import respond_file
from heliograph_collector.http.i18n import Locale
from heliograph_collector.http.pages import world_page
from heliograph_collector.http.snapshot_cache import SnapshotCache

# The forms of a page may lead to this site alone.
_FORM_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_FRAME_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors *"
)
_SVG_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox"


def html_response(content: str, status: int = 200) -> web.Response:
    """Respond with a page that caches must revalidate, one per language."""
    headers = {"Cache-Control": "no-cache", "Vary": "Accept-Language, Accept-Encoding"}
    response = web.Response(text=content, status=status, content_type="text/html", headers=headers)
    response.enable_compression()
    return response


def form_response(content: str) -> web.Response:
    """Respond with a page that has a form, which may lead to this site alone."""
    response = html_response(content)
    response.headers["Content-Security-Policy"] = _FORM_POLICY
    return response


def frame_response(content: str) -> web.Response:
    """Respond with a small page that other sites may show in a frame."""
    response = html_response(content)
    response.headers["Content-Security-Policy"] = _FRAME_POLICY
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    return response


def unavailable_response(reason: str, assets: Mapping[str, str], t: Locale) -> web.Response:
    """Respond with a page that explains why the store cannot answer."""
    response = html_response(world_page.render_unavailable(reason, assets, t), 503)
    response.headers["Retry-After"] = "3"
    return response


def svg_response(request: web.Request, svg: str, *, max_age_s: int) -> web.Response:
    response = respond_file(request, svg.encode(), "image/svg+xml", max_age_s=max_age_s)
    response.headers["Content-Security-Policy"] = _SVG_POLICY
    return response


async def png_response(
    request: web.Request, svg: str, snapshot_cache: SnapshotCache, *, max_age_s: int
) -> web.Response:
    """Respond with a picture, which is rendered once for all readers of its age."""
    png = await snapshot_cache.page_cache.get(
        ("png", svg),
        partial(asyncio.to_thread, render_png, svg),
        Ttl(fresh_us=max_age_s * SECOND_US),
    )
    return respond_file(request, png, "image/png", max_age_s=max_age_s)
