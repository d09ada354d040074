"""Subscriber of the collector's published incidents."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import aiohttp
import msgspec

from heliograph.clock import Clock

_RECONNECT_S = 1.0
_REQUEST_TIMEOUT_S = 10.0
_MAX_EVENT = 1_048_576
_UNMEASURED = "nobody_measured"  # the reason of gaps of services, irrelevant to silences


def open_plain_session(http: str, limits: aiohttp.ClientTimeout) -> aiohttp.ClientSession:
    """Open a session with a collector whose answers are never decompressed (bombs)."""
    return aiohttp.ClientSession(
        f"http://{http}",
        timeout=limits,
        read_bufsize=_MAX_EVENT,
        auto_decompress=False,
        headers={"Accept-Encoding": "identity"},
    )


IncidentScope = Mapping[str, str | int | None]  # country, region, asn, access, service


class IncidentMessage(msgspec.Struct):
    """An incident as the collector publishes it."""

    id: str
    kind: str
    state: str
    scope: dict[str, str | int | None]


class _IncidentList(msgspec.Struct):
    incidents: list[IncidentMessage] = []


class ObservedGap(msgspec.Struct, rename={"since": "from"}):
    because: str
    country: str | None
    since: str
    until: str | None


class _Coverage(msgspec.Struct):
    at: str = ""
    blind: list[ObservedGap] = []


@dataclass(slots=True)
class ObservedIncident:
    """One incident; times are seconds of the caller's clock."""

    id: str
    kind: str
    scope: IncidentScope
    first_s: float
    state: str
    confirmed_s: float | None = None
    closed_s: float | None = None
    widened_s: list[float] = field(default_factory=list)  # when its scope became another

    @property
    def is_silence(self) -> bool:
        return self.kind == "network_silence"


@dataclass(slots=True)
class IncidentSubscriber:
    """A subscriber that follows the stream and reads the list at each connection."""

    http: str
    clock: Clock
    incidents: dict[str, ObservedIncident] = field(default_factory=dict)
    is_published: bool = False  # the collector has an incident list

    async def run(self) -> None:
        """Follow the stream and reconnect; never returns."""
        limits = aiohttp.ClientTimeout(total=None, sock_connect=_REQUEST_TIMEOUT_S, sock_read=60.0)
        async with open_plain_session(self.http, limits) as session:
            while True:
                with suppress(aiohttp.ClientError, TimeoutError, OSError, msgspec.DecodeError):
                    await self._follow_stream(session)
                await asyncio.sleep(_RECONNECT_S)  # also after a stream that ended well

    async def _follow_stream(self, session: aiohttp.ClientSession) -> None:
        async with session.get("/api/v1/stream") as stream:
            stream.raise_for_status()
            async with session.get("/api/v1/incidents") as answer:
                if answer.status == 200:
                    self.is_published = True
                    body = await answer.read()
                    for incident in msgspec.json.decode(body, type=_IncidentList).incidents:
                        self.record_incident(incident)
            name = b""
            async for line in stream.content:
                field_name, _, content = line.rstrip(b"\r\n").partition(b": ")
                if field_name == b"event":
                    name = content
                elif field_name == b"data" and name == b"incident":
                    self.record_incident(msgspec.json.decode(content, type=IncidentMessage))

    async def is_blind(self) -> bool:
        """Return whether the collector has a coverage gap now; False without an answer."""
        limits = aiohttp.ClientTimeout(total=_REQUEST_TIMEOUT_S)
        try:
            async with (
                open_plain_session(self.http, limits) as session,
                session.get("/api/v1/coverage") as answer,
            ):
                body = await answer.read() if answer.status == 200 else b"{}"
            coverage = msgspec.json.decode(body, type=_Coverage)
        except (aiohttp.ClientError, TimeoutError, OSError, msgspec.DecodeError):
            return False
        return any(_is_blinding(gap, coverage.at) for gap in coverage.blind)

    def record_incident(self, incident: IncidentMessage) -> None:
        """Record a new or changed incident."""
        now_s = self.clock.monotonic_us() / 1e6
        observed = self.incidents.setdefault(
            incident.id,
            ObservedIncident(incident.id, incident.kind, incident.scope, now_s, incident.state),
        )
        if observed.confirmed_s is None:
            observed.kind = incident.kind  # a silence may turn out to be a block of the collector
        if observed.scope != incident.scope:
            observed.widened_s.append(now_s)
        observed.scope = incident.scope
        observed.state = incident.state
        if incident.state == "confirmed" and observed.confirmed_s is None:
            observed.confirmed_s = now_s
        if incident.state in ("closed", "withdrawn") and observed.closed_s is None:
            observed.closed_s = now_s


def _is_blinding(gap: ObservedGap, now: str) -> bool:
    """Return whether a gap covers all countries now; ISO times compare as text."""
    is_own_fault = gap.because != _UNMEASURED and not gap.country
    return is_own_fault and gap.since <= now and (gap.until is None or gap.until > now)
