"""The page about the collector: operator, data license, privacy, volunteering."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import urlsplit

from aiohttp import web
from markupsafe import Markup

from heliograph import __version__
from heliograph_collector.http import i18n
from heliograph_collector.http.api.parameters import LANG, parse
from heliograph_collector.http.backend import Feed, Publisher
from heliograph_collector.http.pages.responses import html_response
from heliograph_collector.http.request_addresses import find_site_address
from heliograph_collector.http.templates import PageContent, render_page

PAGE_PARAMETERS = (LANG,)


@dataclass(frozen=True, slots=True, kw_only=True)
class AboutContent(PageContent):
    template: ClassVar[str] = "about.html"
    publisher: Publisher
    contact: Markup
    base: str
    k: int
    version: str
    has_names: bool
    has_methodology: bool


class AboutPage:
    def __init__(self, feed: Feed, assets: Mapping[str, str]) -> None:
        self._feed = feed
        self._assets = assets
        self._has_names = bool(feed.site.network_names.find_networks("a", 1))

    async def page(self, request: web.Request) -> web.Response:
        parse(request.query, PAGE_PARAMETERS)
        feed = self._feed
        publisher = feed.site.publisher
        content = render_page(
            AboutContent(
                t=i18n.request_locale(request),
                assets=self._assets,
                publisher=publisher,
                contact=format_contact(publisher.contact),
                base=find_site_address(feed, request),
                k=feed.k_anonymity,
                version=__version__,
                has_names=self._has_names,
                has_methodology=bool(feed.site.method.rules),
            )
        )
        return html_response(content)


def format_contact(contact: str) -> Markup:
    """Format a mailto: or https: URI as a link with copyable text; "" for none."""
    if not contact:
        return Markup()
    address = contact.removeprefix("mailto:").partition("?")[0]
    if urlsplit(contact).scheme == "https":
        address = contact.removeprefix("https://")
    return Markup('<a href="{}" rel="noreferrer"><bdi>{}</bdi></a>').format(contact, address)
