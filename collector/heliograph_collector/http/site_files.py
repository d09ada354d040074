"""Files that machines expect at fixed paths: security.txt (RFC 9116) and robots.txt (RFC 9309)."""

from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from aiohttp import web

from heliograph_collector.http.backend import Feed
from heliograph_collector.http.headers import respond_text

SECURITY_DAYS = 180  # RFC 9116, 2.5.5: less than a year ahead
_MAX_AGE_S = 3_600
# Pages may be indexed. An API query costs the store, and crawlers follow links without end.
ROBOTS = "User-agent: *\nDisallow: /api/\nDisallow: /v1/\nDisallow: /console\nDisallow: /metrics\n"


class SiteFiles:
    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_get("/.well-known/security.txt", self.security, name="security")
        router.add_get("/robots.txt", self.robots, name="robots")

    async def security(self, request: web.Request) -> web.Response:
        today_us = self._feed.clock.wall_us()
        body = build_security_txt(self._feed.security_contact, self._feed.public_url, today_us)
        return respond_text(request, body, "text/plain", max_age_s=_MAX_AGE_S)

    async def robots(self, request: web.Request) -> web.Response:
        return respond_text(request, ROBOTS, "text/plain", max_age_s=_MAX_AGE_S)


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
