"""What the collector publishes meanwhile: its incidents, as a subscriber sees them."""

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp

_AGAIN_S = 1.0
_ASK_S = 10.0
_MAX_EVENT = 1_048_576
_UNMEASURED = "nobody_measured"  # of services, which a silence has nothing to do with


@dataclass(slots=True)
class Seen:
    """One incident; moments in seconds by the caller's clock."""

    id: str
    kind: str
    scope: Mapping[str, Any]
    first_s: float
    state: str
    confirmed_s: float | None = None
    closed_s: float | None = None


@dataclass(slots=True)
class Watch:
    """`run` follows the live stream, and asks for the list whenever that (re)starts."""

    http: str
    clock_s: Callable[[], float]
    incidents: dict[str, Seen] = field(default_factory=dict)
    published: bool = False  # this collector has an incident list at all

    async def run(self) -> None:
        """Never returns; a collector that is away is asked again."""
        limits = aiohttp.ClientTimeout(total=None, sock_connect=_ASK_S, sock_read=60.0)
        async with aiohttp.ClientSession(
            f"http://{self.http}", timeout=limits, read_bufsize=_MAX_EVENT
        ) as session:
            while True:
                with suppress(aiohttp.ClientError, TimeoutError, ValueError, OSError):
                    await self._follow(session)
                await asyncio.sleep(_AGAIN_S)  # a stream that ended well is dialled no faster

    async def _follow(self, session: aiohttp.ClientSession) -> None:
        async with session.get("/api/v1/stream") as stream:
            stream.raise_for_status()
            async with session.get("/api/v1/incidents") as answer:
                if answer.status == 200:
                    self.published = True
                    for incident in (await answer.json()).get("incidents", []):
                        self.saw(incident)
            name = ""
            async for line in stream.content:
                text = line.decode().rstrip("\r\n")
                if text.startswith("event: "):
                    name = text.removeprefix("event: ")
                elif text.startswith("data: ") and name == "incident":
                    self.saw(json.loads(text.removeprefix("data: ")))

    async def blind(self) -> bool:
        """Whether the collector says that it cannot tell a silence just now; no answer is no."""
        limits = aiohttp.ClientTimeout(total=_ASK_S)
        try:
            async with (
                aiohttp.ClientSession(f"http://{self.http}", timeout=limits) as session,
                session.get("/api/v1/coverage") as answer,
            ):
                told = await answer.json() if answer.status == 200 else {}
        except (aiohttp.ClientError, TimeoutError, ValueError, OSError):
            return False
        return any(_lasts(gap, str(told["at"])) for gap in told.get("blind", []))

    def saw(self, incident: Mapping[str, Any]) -> None:
        """One row, new or changed."""
        now_s, identity, state = self.clock_s(), str(incident["id"]), str(incident["state"])
        seen = self.incidents.get(identity)
        if seen is None:
            kind, scope = str(incident["kind"]), dict(incident["scope"])
            seen = self.incidents[identity] = Seen(identity, kind, scope, now_s, state)
        seen.state, seen.scope = state, dict(incident["scope"])
        if state == "confirmed" and seen.confirmed_s is None:
            seen.confirmed_s = now_s
        if state in ("closed", "withdrawn") and seen.closed_s is None:
            seen.closed_s = now_s


def _lasts(gap: Mapping[str, Any], now: str) -> bool:
    """Everywhere, for a fault of the collector's own. Times of one form are in order as text."""
    ours = gap["because"] != _UNMEASURED and not gap["country"]
    return bool(ours and gap["from"] <= now and (gap["until"] is None or gap["until"] > now))
