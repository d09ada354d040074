"""Serve RFC 9116 (security.txt), RFC 9309 (robots.txt), sitemaps, and the icon."""

from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

from aiohttp import web

from heliograph_collector.http.backend import Feed
from heliograph_collector.http.headers import respond_text
from heliograph_collector.http.incident_cache import IncidentCache
from heliograph_collector.http.request_addresses import find_site_address

SECURITY_DAYS = 180  # RFC 9116, 2.5.5: less than a year ahead
_SITE_FILE_AGE_S = 3_600
# Pages may be indexed. An API query costs the store, and crawlers follow links without end.
ROBOTS = "User-agent: *\nDisallow: /api/\nDisallow: /v1/\nDisallow: /console\nDisallow: /metrics\n"
SITE_PAGES = ("/", "/incidents", "/about", "/methodology", "/dumps/", "/docs")
_SITEMAP = "http://www.sitemaps.org/schemas/sitemap/0.9"
_MAX_INCIDENTS = 40_000  # of 50,000 addresses in a sitemap (sitemaps.org, "Sitemap index files")


class SiteFiles:
    """The files and their routes."""

    def __init__(self, feed: Feed, incident_cache: IncidentCache, icon_path: str) -> None:
        self._feed = feed
        self._incident_cache = incident_cache
        self._icon_path = icon_path

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_get("/.well-known/security.txt", self.security, name="security")
        router.add_get("/robots.txt", self.robots, name="robots")
        router.add_get("/sitemap.xml", self.sitemap)
        router.add_get("/favicon.ico", self.icon, name="favicon")

    async def security(self, request: web.Request) -> web.Response:
        today_us = self._feed.clock.wall_us()
        body = build_security_txt(
            self._feed.site.security_contact, self._feed.site.public_url, today_us
        )
        return respond_text(request, body, "text/plain", max_age_s=_SITE_FILE_AGE_S)

    async def robots(self, request: web.Request) -> web.Response:
        base = find_site_address(self._feed, request)
        body = ROBOTS + (f"Sitemap: {base}/sitemap.xml\n" if base else "")
        return respond_text(request, body, "text/plain", max_age_s=_SITE_FILE_AGE_S)

    async def sitemap(self, request: web.Request) -> web.Response:
        """Respond with the pages for search engines, the newest incidents first."""
        base = find_site_address(self._feed, request)
        incidents = self._incident_cache.all_incidents()[:_MAX_INCIDENTS]
        countries = sorted({i.scope.country for i in incidents if i.scope.country})
        root = ET.Element("urlset", xmlns=_SITEMAP)
        services = [f"/services/{name}" for name in self._feed.services]
        for path in (*SITE_PAGES, *services, *(f"/countries/{code}" for code in countries)):
            _add_address(root, base + path)
        for incident in incidents:
            _add_address(root, base + incident.links.page, incident.updated)
        body = '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode")
        return respond_text(request, body, "application/xml", max_age_s=_SITE_FILE_AGE_S)

    async def icon(self, request: web.Request) -> web.Response:
        """Lead browsers that request the icon without reading the page to it."""
        return web.Response(status=302, headers={"Location": self._icon_path})


def build_security_txt(contact: str, public_url: str, now_us: int) -> str:
    """Build the file.

    Args:
        contact: a mailto: or https: URI; "" for the mailbox `security` of the page's own domain,
            which RFC 2142 reserves for this.
        public_url: the page's address, "" if unknown.
        now_us: the wall clock. The file expires at a midnight, so that it changes once a day.
    """
    host = (urlsplit(public_url).hostname if public_url else None) or "localhost"
    now = datetime.fromtimestamp(now_us // 1_000_000, UTC)
    midnight = now.replace(hour=0, minute=0, second=0)
    lines = [
        f"Contact: {contact or f'mailto:security@{host}'}",
        f"Expires: {midnight + timedelta(days=SECURITY_DAYS):%Y-%m-%dT%H:%M:%SZ}",
        "Preferred-Languages: en",
    ]
    if public_url:
        lines.append(f"Canonical: {public_url}/.well-known/security.txt")
    return "".join(f"{line}\n" for line in lines)


def _add_address(parent: ET.Element, address: str, changed: str = "") -> None:
    entry = ET.SubElement(parent, "url")
    ET.SubElement(entry, "loc").text = address
    if changed:
        ET.SubElement(entry, "lastmod").text = changed
