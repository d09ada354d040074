"""What any machine may read: the status and the timelines."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from heliograph_collector.http.api import status
from heliograph_collector.http.api.parameters import (
    ACCESS,
    ASN,
    BIN,
    BINS,
    COUNTRY,
    REGION,
    SERVICE,
    SINCE,
    UNTIL,
    parse,
    write_time,
)
from heliograph_collector.http.backend import Feed
from heliograph_collector.http.headers import Prepared, prepared, public_json, public_prepared
from heliograph_collector.http.problem import Problem
from heliograph_collector.http.snapshot_cache import Desk, series

STATUS = (COUNTRY,)
TIMELINE = (COUNTRY, REGION, ASN, ACCESS, SERVICE, SINCE, UNTIL, BIN)
MAX_ROWS = 2_016  # a week in steps of five minutes
_DAY_US = 86_400_000_000
_SCOPE = ("country", "region", "asn", "access", "service")


class Reading:
    def __init__(self, feed: Feed, desk: Desk) -> None:
        self._feed, self._desk = feed, desk

    async def status(self, request: web.Request) -> web.Response:
        asked = parse(request.query, STATUS)
        world, country = await self._desk.now(), asked.get("country", "")

        def make() -> Prepared:
            return prepared(status.document(world, country))

        told = await self._desk.made(world, ("status", country), make)
        return public_prepared(request, told, max_age_s=5)

    async def timeline(self, request: web.Request) -> web.Response:
        asked = parse(request.query, TIMELINE)
        since_us, until_us, bin_s = span(asked, self._feed.clock.wall_us())
        scope = {name: asked[name] for name in _SCOPE if name in asked}
        cells = await series(self._feed, since_us, until_us, bin_s, scope)
        width, k = bin_s * 1_000_000, self._feed.k_anonymity
        body = {
            "since": write_time(since_us),
            "until": write_time(until_us),
            "bin_s": bin_s,
            "k_anonymity": k,
            "scope": {name: scope.get(name) for name in _SCOPE},
            "cells": [
                status.row(cell, since_us + index * width, k) for index, cell in enumerate(cells)
            ],
        }
        return public_json(request, body, max_age_s=30)


def span(asked: Mapping[str, Any], now_us: int) -> tuple[int, int, int]:
    """(since, until, bin width in seconds), aligned outward to bins. Raises Problem."""
    bin_s = asked.get("bin", BINS["5m"])
    width = bin_s * 1_000_000
    until = asked.get("until", now_us)
    since = asked.get("since", until - _DAY_US)
    if since >= until:
        raise Problem(
            400,
            "Bad parameter",
            "The parameter since must be before until (which is now when not given).",
            parameter="since",
            allowed=f"a time before {write_time(until)}",
        )
    first, last = since // width * width, -(-until // width) * width
    if (last - first) // width > MAX_ROWS:
        raise Problem(
            400,
            "Bad parameter",
            f"That is more than {MAX_ROWS} rows; take a wider bin or a shorter time.",
            parameter="bin",
            allowed=", ".join(
                name for name, s in BINS.items() if (last - first) // (s * 1_000_000) <= MAX_ROWS
            )
            or "a shorter time",
        )
    return first, last, bin_s
