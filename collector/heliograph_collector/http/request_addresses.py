"""Addresses of a request: of the requested site, and of those on the path to it."""

import re

from aiohttp import web

from heliograph_collector.http.backend import SiteSource

_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:[0-9]{1,5})?")


def find_site_address(source: SiteSource, request: web.Request) -> str:
    """Return the site's address for links that leave it: feeds, pictures, print.

    It is the configured one, else the one that the reader used; "" if that is invalid. Readers then
    resolve relative links.
    """
    return source.site.public_url or _read_origin(request)


def _read_origin(request: web.Request) -> str:
    behind_tls = request.headers.get("X-Forwarded-Proto", "") == "https"
    scheme = "https" if behind_tls else request.scheme
    return f"{scheme}://{request.host}" if _HOST.fullmatch(request.host) else ""


def forwarded_for(request: web.Request) -> str:
    """Return the addresses on the request's path, the peer last; ingest judges them."""
    return ",".join([*request.headers.getall("X-Forwarded-For", ()), request.remote or ""])
