"""The evidence, for the operator only: observations, verdicts and the rules that made them."""

import base64
import binascii
import re
from typing import Any

from aiohttp import web

from heliograph_collector.http.api import measurement_json, ooni_document
from heliograph_collector.http.api.parameters import (
    ACCESS,
    ASN,
    COUNTRY,
    CURSOR,
    EXPERIMENT,
    FORMAT,
    LIMIT,
    REGION,
    SERVICE,
    SINCE,
    STATE,
    UNTIL,
    parse,
)
from heliograph_collector.http.backend import Feed
from heliograph_collector.http.basic_auth import Operator
from heliograph_collector.http.problem import Problem
from heliograph_collector.model.records import MeasurementFilter

MANY = (
    COUNTRY,
    REGION,
    ASN,
    ACCESS,
    SERVICE,
    EXPERIMENT,
    STATE,
    SINCE,
    UNTIL,
    CURSOR,
    LIMIT,
)
ONE = (FORMAT,)
_ID = re.compile("[0-9a-f]{32}")


class Measurements:
    def __init__(self, feed: Feed, operator: Operator) -> None:
        self._feed, self._operator = feed, operator

    async def many(self, request: web.Request) -> web.Response:
        await self._operator.require(request)
        asked = parse(request.query, MANY)
        position = read_cursor(asked.pop("cursor", ""))
        limit = asked.pop("limit", 100)
        try:
            found = await self._feed.measurements(_filter(asked), position, limit)
        except ValueError:
            raise _not_ours() from None
        return web.json_response(
            {
                "measurements": [measurement_json.document(*judged) for judged in found.items],
                "next": write_cursor(found.next) if found.next else None,
            }
        )

    async def one(self, request: web.Request) -> web.Response:
        await self._operator.require(request)
        asked = parse(request.query, ONE)
        id_ = request.match_info["id"]
        judged = await self._feed.measurement(id_) if _ID.fullmatch(id_) else None
        if judged is None:
            raise Problem(
                404,
                "No such measurement",
                "Ids have 32 hex digits and are kept for a limited time.",
            )
        if asked.get("format") == "ooni":
            return web.json_response(ooni_document.document(*judged))
        return web.json_response(measurement_json.document(*judged))


def _filter(asked: dict[str, Any]) -> MeasurementFilter:
    times = {f"{name}_us": asked.pop(name) for name in ("since", "until") if name in asked}
    return MeasurementFilter(**asked, **times)


def write_cursor(position: str) -> str:
    """Opaque to readers, so that the store may change its mind."""
    return base64.urlsafe_b64encode(position.encode()).decode().rstrip("=")


def read_cursor(cursor: str) -> str:
    """Raises Problem."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        return base64.b64decode(padded, altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise _not_ours() from None


def _not_ours() -> Problem:
    return Problem(
        400,
        "Bad parameter",
        "The parameter cursor is not one of ours; start again without it.",
        parameter="cursor",
        allowed=CURSOR.allowed,
    )
