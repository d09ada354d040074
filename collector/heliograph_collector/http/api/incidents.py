"""Incidents for those who ask: as JSON, as feeds to subscribe to."""

import re
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from heliograph_collector.http.api import feeds
from heliograph_collector.http.api.measurements import read_cursor, write_cursor
from heliograph_collector.http.api.parameters import (
    COUNTRY,
    CURSOR,
    INCIDENT_STATE,
    KIND,
    LIMIT,
    SERVICE,
    SINCE,
    UNTIL,
    parse,
)
from heliograph_collector.http.backend import Feed
from heliograph_collector.http.headers import public_json, public_text
from heliograph_collector.http.incident_cache import Shelf
from heliograph_collector.http.incident_document import Json, chosen, page, place_of
from heliograph_collector.http.problem import Problem

MANY = (COUNTRY, SERVICE, INCIDENT_STATE, KIND, SINCE, UNTIL, CURSOR, LIMIT)
FEEDS = (COUNTRY, SERVICE, INCIDENT_STATE, KIND, LIMIT)
ID = re.compile("[A-Za-z0-9_-]{1,64}")
_IN_A_FEED = 100
_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:[0-9]{1,5})?")


class Cases:
    def __init__(self, feed: Feed, shelf: Shelf) -> None:
        self._feed, self._shelf = feed, shelf

    async def many(self, request: web.Request) -> web.Response:
        asked = parse(request.query, MANY)
        position = read_cursor(asked.get("cursor", ""))
        found = chosen(self._shelf.all(), asked)
        rows, following = page(found, position, asked.get("limit", 100))
        body = {
            "k_anonymity": self._feed.k_anonymity,
            "incidents": [self._shelf.told(row) for row in rows],
            "next": write_cursor(following) if following else None,
        }
        return public_json(request, body, max_age_s=5)

    async def one(self, request: web.Request) -> web.Response:
        parse(request.query, ())
        told = self._shelf.told(found(self._shelf, request))
        return public_json(request, told, max_age_s=5)

    async def atom(self, request: web.Request) -> web.Response:
        asked = parse(request.query, FEEDS)
        text = feeds.atom(self._newest(asked), *self._place(request, asked))
        return public_text(request, text, "application/atom+xml", text.encode(), max_age_s=60)

    async def json_feed(self, request: web.Request) -> web.Response:
        asked = parse(request.query, FEEDS)
        body = feeds.json_feed(self._newest(asked), *self._place(request, asked))
        response = public_json(request, body, max_age_s=60)
        if response.status == 200:
            response.content_type = "application/feed+json"
        return response

    def _newest(self, asked: Mapping[str, Any]) -> list[Json]:
        """By their last change, as readers of feeds expect."""
        some = chosen(self._shelf.all(), asked)
        some.sort(key=lambda i: (i["updated"], place_of(i)), reverse=True)
        return some[: asked.get("limit", _IN_A_FEED)]

    def _place(self, request: web.Request, asked: Mapping[str, Any]) -> tuple[str, str, str, str]:
        seed = self._feed.public_key.hex()
        return origin(request), request.path_qs, seed, asked.get("country", "")


def found(shelf: Shelf, request: web.Request) -> Json:
    """Raises Problem 404, also for those of too few: the answer is the same."""
    id_ = request.match_info["id"]
    incident = shelf.one(id_) if ID.fullmatch(id_) else None
    if incident is None:
        raise Problem(
            404,
            "No such incident",
            "No incident has this id; those that there are, are at /api/v1/incidents.",
        )
    return incident


def origin(request: web.Request) -> str:
    """Our address as the reader knows it; "" when that is no address. Readers then resolve it."""
    behind_tls = request.headers.get("X-Forwarded-Proto", "") == "https"
    scheme = "https" if behind_tls else request.scheme
    return f"{scheme}://{request.host}" if _HOST.fullmatch(request.host) else ""
