"""The JSON Feed of incidents, as published."""

from msgspec import Struct

from heliograph_collector.incidents.published.incident import ServiceScope
from heliograph_collector.model.published.fields import Confidence, Timestamp


class FeedAuthor(Struct, frozen=True):
    """The author of a feed."""

    name: str


class FeedExtension(Struct, frozen=True, kw_only=True):
    """The fields of an incident for programs."""

    state: str
    kind: str
    scope: ServiceScope
    confidence: Confidence


class FeedItem(Struct, frozen=True, kw_only=True, rename={"heliograph": "_heliograph"}):
    """One incident, updated in place."""

    id: str
    url: str
    title: str
    content_text: str
    date_published: Timestamp
    date_modified: Timestamp
    tags: tuple[str, ...]
    heliograph: FeedExtension


class JsonFeedDocument(Struct, frozen=True, kw_only=True):
    """JSON Feed 1.1."""

    version: str
    title: str
    home_page_url: str
    feed_url: str
    description: str
    language: str
    authors: tuple[FeedAuthor, ...]
    items: tuple[FeedItem, ...]
