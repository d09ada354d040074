"""Subscriber of the collector's published incidents."""

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp

_RECONNECT_S = 1.0
_REQUEST_TIMEOUT_S = 10.0
_MAX_EVENT = 1_048_576
_UNMEASURED = "nobody_measured"  # the reason of gaps of services, irrelevant to silences


@dataclass(slots=True)
class ObservedIncident:
    """One incident; times are seconds of the caller's clock."""

    id: str
    kind: str
    scope: Mapping[str, Any]
    first_s: float
    state: str
    confirmed_s: float | None = None
    closed_s: float | None = None


@dataclass(slots=True)
class IncidentSubscriber:
    """A subscriber that follows the stream and reads the list at each connection."""

    http: str
    clock_s: Callable[[], float]
    incidents: dict[str, ObservedIncident] = field(default_factory=dict)
    is_published: bool = False  # the collector has an incident list

    async def run(self) -> None:
        """Follow the stream and reconnect; never returns."""
        limits = aiohttp.ClientTimeout(total=None, sock_connect=_REQUEST_TIMEOUT_S, sock_read=60.0)
        async with aiohttp.ClientSession(
            f"http://{self.http}", timeout=limits, read_bufsize=_MAX_EVENT
        ) as session:
            while True:
                with suppress(aiohttp.ClientError, TimeoutError, ValueError, OSError):
                    await self._follow_stream(session)
                await asyncio.sleep(_RECONNECT_S)  # also after a stream that ended well

    async def _follow_stream(self, session: aiohttp.ClientSession) -> None:
        async with session.get("/api/v1/stream") as stream:
            stream.raise_for_status()
            async with session.get("/api/v1/incidents") as answer:
                if answer.status == 200:
                    self.is_published = True
                    for incident in (await answer.json()).get("incidents", []):
                        self.record_incident(incident)
            name = ""
            async for line in stream.content:
                decoded_line = line.decode().rstrip("\r\n")
                if decoded_line.startswith("event: "):
                    name = decoded_line.removeprefix("event: ")
                elif decoded_line.startswith("data: ") and name == "incident":
                    self.record_incident(json.loads(decoded_line.removeprefix("data: ")))

    async def is_blind(self) -> bool:
        """Return whether the collector has a coverage gap now; False without an answer."""
        limits = aiohttp.ClientTimeout(total=_REQUEST_TIMEOUT_S)
        try:
            async with (
                aiohttp.ClientSession(f"http://{self.http}", timeout=limits) as session,
                session.get("/api/v1/coverage") as answer,
            ):
                coverage = await answer.json() if answer.status == 200 else {}
        except (aiohttp.ClientError, TimeoutError, ValueError, OSError):
            return False
        return any(_is_blinding(gap, str(coverage["at"])) for gap in coverage.get("blind", []))

    def record_incident(self, incident: Mapping[str, Any]) -> None:
        """Record a new or changed incident."""
        now_s = self.clock_s()
        identity = str(incident["id"])
        state = str(incident["state"])
        observed = self.incidents.get(identity)
        if observed is None:
            kind = str(incident["kind"])
            scope = dict(incident["scope"])
            observed = self.incidents[identity] = ObservedIncident(
                identity, kind, scope, now_s, state
            )
        observed.scope = dict(incident["scope"])
        observed.state = state
        if state == "confirmed" and observed.confirmed_s is None:
            observed.confirmed_s = now_s
        if state in ("closed", "withdrawn") and observed.closed_s is None:
            observed.closed_s = now_s


def _is_blinding(gap: Mapping[str, Any], now: str) -> bool:
    """Return whether a gap covers all countries now; ISO times compare as text."""
    is_own_fault = gap["because"] != _UNMEASURED and not gap["country"]
    return bool(
        is_own_fault and gap["from"] <= now and (gap["until"] is None or gap["until"] > now)
    )
