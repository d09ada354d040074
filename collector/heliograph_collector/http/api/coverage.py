"""`/api/v1/coverage`: where and when we were blind and why, and where too few look."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aiohttp import web

from heliograph_collector.http import labels
from heliograph_collector.http.anonymity import band
from heliograph_collector.http.api.parameters import COUNTRY, SINCE, UNTIL, parse, write_time
from heliograph_collector.http.api.status import total_band
from heliograph_collector.http.backend import Feed
from heliograph_collector.http.headers import public_json
from heliograph_collector.http.incident_cache import Shelf
from heliograph_collector.http.problem import Problem
from heliograph_collector.http.snapshot import Snapshot
from heliograph_collector.http.snapshot_cache import Desk

Json = dict[str, Any]
COVERAGE = (COUNTRY, SINCE, UNTIL)
MAX_GAPS = 1_000
_SECOND_US = 1_000_000
_WEEK_US = 7 * 86_400_000_000
_MOST_US = 366 * 86_400_000_000
UNMEASURED = "nobody_measured"


class Blindness:
    def __init__(self, feed: Feed, shelf: Shelf, desk: Desk) -> None:
        self._feed, self._shelf, self._desk = feed, shelf, desk

    async def __call__(self, request: web.Request) -> web.Response:
        asked = parse(request.query, COVERAGE)
        now_us = self._feed.clock.wall_us() // 1_000_000 * 1_000_000
        until_us = asked.get("until", now_us)
        since_us = asked.get("since", until_us - _WEEK_US)
        _check(since_us, until_us)
        world = await self._desk.now()
        known = set(countries(world)) | {i["scope"]["country"] for i in self._shelf.all()}
        rows = [*self._feed.blind(since_us, until_us), *_unmeasured(world, since_us, until_us)]
        told = gaps(rows, asked.get("country", ""), known if world.k > 1 else None)
        body = {
            "at": write_time(now_us),
            "since": write_time(since_us),
            "until": write_time(until_us),
            "k_anonymity": world.k,
            "blind": told[-MAX_GAPS:],
            "complete": len(told) <= MAX_GAPS,
            "countries": looking(world, asked.get("country", "")),
        }
        return public_json(request, body, max_age_s=15)


def _check(since_us: int, until_us: int) -> None:
    if not 0 < until_us - since_us <= _MOST_US:
        raise Problem(
            400,
            "Bad parameter",
            "The parameter since must be before until, by a year at most.",
            parameter="since",
            allowed=f"a time in the 366 days before {write_time(until_us)}",
        )


def gaps(rows: Iterable[Mapping[str, Any]], country: str, known: set[str] | None) -> list[Json]:
    """In order of time. Of countries that are shown nowhere nothing is told: somebody is there."""
    told = [
        row
        for row in rows
        if (not row["country"] or known is None or row["country"] in known)
        and (not country or row["country"] in ("", country))
    ]
    return [gap(row) for row in sorted(told, key=lambda row: (row["from"], row["country"]))]


def gap(row: Mapping[str, Any]) -> Json:
    """In whole seconds, and no shorter by it: exactly, it may be when one vantage came or went."""
    because = str(row["because"])
    return {
        "from": write_time(row["from"] // _SECOND_US * _SECOND_US),
        "until": None
        if row["until"] is None
        else write_time(-(-row["until"] // _SECOND_US) * _SECOND_US),
        "because": because,
        "sentence": labels.BLIND.get(because, because.replace("_", " ")),
        "country": row["country"],
    }


def _unmeasured(world: Snapshot, since_us: int, until_us: int) -> list[Json]:
    """Times without one vote from anywhere; they are known of the last hours alone."""
    return [
        {"from": first, "until": last, "because": UNMEASURED, "country": ""}
        for first, last in world.coverage.blind
        if first < until_us and since_us < last
    ]


def countries(world: Snapshot) -> dict[str, int]:
    """Vantages that are shown, by country."""
    people: dict[str, int] = {}
    for column in world.columns:
        people[column.group.country] = people.get(column.group.country, 0) + column.vantages
    return people


def looking(world: Snapshot, country: str) -> Sequence[Json]:
    """Nobody and too few are the same answer: else it would tell that somebody is there."""
    people = countries(world)
    codes = [country] if country else sorted(people)
    return [
        {
            "country": code,
            "title": labels.country(code),
            "vantages": total_band(people[code], world.k) if code in people else band(0, world.k),
            "enough": people.get(code, 0) >= world.k,
        }
        for code in codes
    ]
