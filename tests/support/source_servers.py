"""The outside sources on loopback: their paths, JSON, WebSocket, and failures.

The shapes are those of IODA's API v2, Cloudflare's API v4 and RIS Live, as documented and recorded.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Any

from aiohttp import ClientSession, WSMsgType, web
from msgspec.structs import replace

from heliograph_collector.corroborate import SourceContext
from heliograph_collector.incidents.published.incident import (
    BracketDocument,
    IncidentSummary,
    PartDocument,
    ServiceScope,
)
from heliograph_collector.model.scope import Scope
from support.hand_clock import HandClock
from support.waiting import until_true
from support.web_app import serve_app

TOKEN = "radar-token-0123456789"
Manner = Callable[[web.Request], Awaitable[web.StreamResponse]]
COPYRIGHT = (
    "This data is Copyright (c) 2021 Georgia Tech Research Corporation. All Rights Reserved."
)


def ioda(kind: str, data: object, error: str | None = None) -> dict[str, Any]:
    times = {
        "requestTime": "2022-01-05T14:00:01+00:00",
        "responseTime": "2022-01-05T14:00:02+00:00",
    }
    return {
        "type": kind, "metadata": times, "error": error, "perf": None, "data": data,
        "requestParameters": {"from": "0", "until": "1", "datasource": None, "maxPoints": None},
        "copyright": COPYRIGHT,
    }  # fmt: skip


def signal(
    code: str, datasource: str, begin_s: int, step_s: int, values: Sequence[float | None]
) -> dict[str, Any]:
    return {
        "entityType": "country" if code.isalpha() else "asn", "entityCode": code,
        "entityName": "Kazakhstan", "entityFqid": f"geo.provider.AS.{code}",
        "datasource": datasource, "subtype": "", "from": begin_s,
        "until": begin_s + step_s * len(values), "step": step_s, "nativeStep": step_s,
        "values": list(values),
    }  # fmt: skip


def event(location: str, start_s: int, duration_s: int) -> dict[str, Any]:
    return {
        "location": location, "start": start_s, "duration": duration_s, "uncertainty": None,
        "method": "median", "datasource": "ping-slash24", "status": 0, "fraction": None,
        "score": 5321.7, "location_name": "Kazakhstan", "overlaps_window": False,
    }  # fmt: skip


def flows(begin_s: int, values: Sequence[float], normalization: str = "MIN0_MAX") -> dict[str, Any]:
    hours = [begin_s + 3_600 * i for i in range(len(values))]
    return {
        "success": True,
        "errors": [],
        "messages": [],
        "result": {
            "meta": {
                "aggInterval": "ONE_HOUR",
                "confidenceInfo": {"annotations": [], "level": 5},
                "dateRange": [{"startTime": utc(begin_s), "endTime": utc(begin_s)}],
                "lastUpdated": utc(hours[-1]),
                "normalization": normalization,
                "units": [{"name": "*", "value": "bytes"}],
            },
            "serie_0": {
                "timestamps": [utc(at) for at in hours],
                "values": [f"{value:.6f}" for value in values],
            },
        },
    }


def anomalies(*spans: tuple[int, int | None]) -> dict[str, Any]:
    found = [
        {
            "uuid": "55a57f33-8bc0-4984-b4df-fdaff72df39d",
            "type": "LOCATION",
            "status": "UNVERIFIED",
            "startDate": utc(since),
            **({"endDate": utc(until)} if until else {}),
            "locationDetails": {"code": "KZ", "name": "Kazakhstan"},
            "visibleInDataSources": ["AGGREGATED_HTTP_REQUESTS"],
        }
        for since, until in spans
    ]
    return {"success": True, "errors": [], "result": {"trafficAnomalies": found}}


def outages(*spans: tuple[int, int | None]) -> dict[str, Any]:
    fields = {
        "id": "550", "asns": [], "asnsDetails": [], "dataSource": "ALL", "eventType": "OUTAGE",
        "locations": ["KZ"], "locationsDetails": [{"code": "KZ", "name": "Kazakhstan"}],
        "origins": [], "originsDetails": [], "linkedUrl": "https://example.com", "scope": None,
        "outage": {"outageCause": "GOVERNMENT_DIRECTED", "outageType": "NATIONWIDE"},
    }  # fmt: skip
    annotations = [
        fields | {"startDate": utc(since), "endDate": utc(until) if until else None}
        for since, until in spans
    ]
    return {"success": True, "errors": [], "result": {"annotations": annotations}}


KZ = Scope("KZ")


def incident(
    earliest: str,
    latest: str,
    name: str = "kz",
    *,
    parts: Sequence[Scope] = (KZ,),
    **changes: Any,
) -> IncidentSummary:
    """Return a confirmed silence of Kazakhstan, or of the first part, as the feed has it."""
    widest = parts[0]
    cells = tuple(
        PartDocument(
            country=part.country, region=part.region, asn=part.asn, access=part.access,
            votes="20", share=0.9, networks=2, spared=(),
        )
        for part in parts
    )  # fmt: skip
    return replace(
        IncidentSummary(
            id=name, kind="network_silence", label="", state="confirmed", detected="confirmed",
            confirmed_by=(), withdrawn_by="", operator=None, title="", sentence="",
            scope=ServiceScope(
                country=widest.country, region=widest.region, asn=widest.asn,
                access=widest.access, service="",
            ),
            started=BracketDocument(earliest, latest), ended=None, suspected=latest,
            confirmed=latest, closed=None, layer="", method="", confidence=0.9, parts=cells,
            turns=(), phases=(), hints=(), held=(),
        ),
        **changes,
    )  # fmt: skip


def bgp(
    at_s: float,
    peer: str,
    *,
    path: Sequence[Any] = (),
    announced: Sequence[str] = (),
    withdrawn: Sequence[str] = (),
) -> dict[str, Any]:
    """Return a ris_message as rrc25 sends it."""
    data: dict[str, Any] = {
        "timestamp": at_s,
        "peer": peer,
        "peer_asn": "13781",
        "id": f"{peer}-019541923d760008",
        "host": "rrc25.ripe.net",
        "type": "UPDATE",
        "path": list(path),
        "community": [[6762, 30]] if path else [],
        "announcements": [{"next_hop": peer, "prefixes": list(announced)}] if announced else [],
        "withdrawals": list(withdrawn),
    }
    return {"type": "ris_message", "data": data}


def utc(at_s: float) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%dT%H:%M:%SZ}"


@dataclass
class Outside:
    """`answers` by path; `manner` instead of everything. `asked` is what came."""

    answers: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    manner: Manner | None = None
    asked: list[web.Request] = field(default_factory=list)
    heard: asyncio.Queue[dict[str, Any]] = field(default_factory=asyncio.Queue)
    sockets: list[web.WebSocketResponse] = field(default_factory=list)
    acknowledge: bool = True
    url: str = ""

    @asynccontextmanager
    async def serve(self) -> AsyncIterator["Outside"]:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.answer)
        async with serve_app(app) as self.url:
            yield self

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        if self.manner is not None:
            return await self.manner(request)
        if request.path == "/v1/ws/":
            return await self._stream(request)
        radar = request.path.startswith("/client/v4/")
        if radar and request.headers.get("Authorization") != f"Bearer {TOKEN}":
            errors = [{"code": 10000, "message": "Authentication error"}]
            return web.json_response({"success": False, "errors": errors}, status=403)
        key = f"{request.path}?{request.query.get('datasource', '')}".rstrip("?")
        return web.json_response(self.answers[key])

    async def _stream(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets.append(socket)
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                break
            told = json.loads(message.data)
            self.heard.put_nowait(told)
            await self._reply(socket, told)
        return socket

    async def _reply(self, socket: web.WebSocketResponse, told: dict[str, Any]) -> None:
        if told["type"] == "ping":
            await socket.send_json({"type": "pong", "data": None})
        elif told["type"] == "ris_subscribe" and self.acknowledge:
            data = dict(told["data"])
            options = data.pop("socketOptions", {})
            reply = {"subscription": data, "socketOptions": options}
            await socket.send_json({"type": "ris_subscribe_ok", "data": reply})

    async def tell(self, *frames: Mapping[str, Any]) -> None:
        for frame in frames:
            await self.sockets[-1].send_json(frame)


@dataclass
class Pauses:
    """Replace waiting: each pause moves the hand clock at once, and is recorded."""

    clock: HandClock = field(default_factory=HandClock)
    taken: list[float] = field(default_factory=list)
    most: int = 1_000_000  # the one after it has no end, and is `done`
    done: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)
        if len(self.taken) > self.most:
            self.done.set()
            await asyncio.Event().wait()
        self.clock.advance_us(int(seconds * 1e6))
        await asyncio.sleep(0)

    def context(self, session: ClientSession) -> SourceContext:
        return SourceContext(session=session, clock=self.clock, rng=Random(1), pause=self)

    async def until(self, count: int) -> None:
        await until_true(lambda: len(self.taken) >= count)
