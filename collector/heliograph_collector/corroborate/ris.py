"""RIPE RIS Live: BGP updates as they happen, over a WebSocket.

One connection, with a filter for each network we follow (`path`: it originates) and one for each
of its prefixes (a withdrawal has no path). It must listen before an incident to know what was
there; its past cannot be asked for.
"""

import asyncio
import ipaddress
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Annotated, Any

import aiohttp
import msgspec

from heliograph_collector.corroborate.fetch import decode, retry_after_s
from heliograph_collector.corroborate.incident import Entity
from heliograph_collector.corroborate.polling import backoff_s
from heliograph_collector.corroborate.routes import (
    MINUTE_US,
    Minute,
    Routes,
    Update,
)
from heliograph_collector.corroborate.series import Evidence, Point, Series
from heliograph_collector.corroborate.source import Means, SourceError

NAME = "ris"
ATTRIBUTION = "RIPE NCC, Routing Information Service (RIS Live)."
MOST_ASNS = 64
_PAGE = "https://ris-live.ripe.net/"
_MOST_FRAME = 131_072
_MOST_NETWORKS = 4_096  # of one update; BGP's own messages are shorter
_FRESH_S = 300.0  # an update stamped further from now is not of now
_WELL_S = 600.0  # a connection that lasted so long was no failure
_NORMAL = "ris_message", "ris_subscribe_ok", "ris_rrc_list", "ris_error", "pong"

log = logging.getLogger("heliograph.corroborate")


@dataclass(frozen=True, slots=True, kw_only=True)
class RisConfig:
    url: str = "wss://ris-live.ripe.net/v1/ws/"
    prefixes: Mapping[str, int] = field(default_factory=dict)  # prefix → origin, from a file
    quiet_s: float = 30.0  # then it is asked whether it is still there
    deadline_s: float = 20.0


class _Announcement(msgspec.Struct):
    prefixes: list[str] = []


class _Update(msgspec.Struct):
    timestamp: float
    peer: str
    host: str = ""
    type: str = ""
    path: list[Any] = []
    announcements: list[_Announcement] = []
    withdrawals: list[str] = []


class _Frame(msgspec.Struct):
    type: Annotated[str, msgspec.Meta(max_length=64)]
    data: msgspec.Raw = msgspec.Raw(b"null")


def frame_of(text: str) -> _Frame:
    """Raises SourceError."""
    frame = decode("RIS Live", text.encode(errors="replace"), _Frame)
    if frame.type not in _NORMAL:
        raise SourceError("RIS Live sent a message of an unknown kind.")
    return frame


def update_of(data: msgspec.Raw, now_us: int) -> Update | None:
    """The data of a ris_message; None for what is no update, or is not of now.

    Raises SourceError.
    """
    told = decode("RIS Live", bytes(data), _Update)
    if told.type != "UPDATE" or abs(told.timestamp - now_us / 1e6) > _FRESH_S:
        return None
    announced = (prefix for group in told.announcements for prefix in group.prefixes)
    origin = told.path[-1] if told.path else 0
    return Update(
        peer=f"{told.host[:64]} {told.peer[:64]}",
        origin=origin if isinstance(origin, int) else 0,  # an AS_SET is nobody's
        announced=_networks(announced),
        withdrawn=_networks(told.withdrawals),
    )


def _networks(texts: Iterable[str]) -> tuple[str, ...]:
    """Each in the one usual spelling; RIS Live also writes 2605:de00:bb:0:0:0:0:0/48."""
    return tuple(dict.fromkeys(filter(None, map(network, islice(texts, _MOST_NETWORKS)))))


def network(text: str) -> str:
    """ "" for what is no prefix."""
    try:
        return str(ipaddress.ip_network(text[:64], strict=False))
    except ValueError:
        return ""


def filter_of(name: str) -> dict[str, Any]:
    """A subscription's data, for a prefix or for an origin's number."""
    options = {"includeRaw": False, "acknowledge": True}
    wanted = {"prefix": name, "moreSpecific": False} if "/" in name else {"path": f"{name}$"}
    return {"type": "UPDATE", **wanted, "socketOptions": options}


def visible(minutes: Iterable[Minute], least: int = 5) -> tuple[Point, ...]:
    """The share of known prefixes that is not gone; of fewer than `least` nothing is said."""
    return tuple(Point(m.at_us, 1.0 - m.gone / m.known) for m in minutes if m.known >= least)


class RisLive:
    name = NAME
    every_s = 60.0

    def __init__(self, config: RisConfig, means: Means) -> None:
        self._config, self._means = config, means
        self._routes = Routes(config.prefixes)
        self._networks: dict[str, set[int]] = {}  # country → the networks of it that we follow
        self._asns: frozenset[int] = frozenset()
        self._asked: set[str] = set()  # prefixes and origins that this connection filters by
        self._changed = True  # there may be something to subscribe to
        self._live = False  # this connection's subscription was acknowledged

    def follow(self, entities: Sequence[Entity]) -> None:
        """The networks among them, the first 64; a country stands for its networks."""
        chosen = list(dict.fromkeys(e for e in entities if e.asn))[:MOST_ASNS]
        self._networks = {}
        for entity in chosen:
            self._networks.setdefault(entity.country, set()).add(entity.asn)
        asns = frozenset(e.asn for e in chosen)
        if asns != self._asns:
            self._asns, self._changed = asns, True
            self._routes.follow(asns)

    async def ask(self, entity: Entity, since_us: int, until_us: int) -> list[Evidence]:
        """From memory."""
        asns = {entity.asn} if entity.asn else self._networks.get(entity.country, set())
        points = visible(self._routes.minutes(asns))
        series = Series(
            source=NAME,
            signal="visible_prefixes",
            entity=entity,
            read_us=self._means.clock.wall_us(),
            url=_PAGE,
            attribution=ATTRIBUTION,
            step_us=MINUTE_US,
            points=tuple(p for p in points if since_us <= p.at_us < until_us),
        )
        return [series] if series.points else []

    async def run(self) -> None:
        """Listens, and connects again when the connection breaks, for ever."""
        failures = 0
        while True:
            while not self._asns:  # nothing to listen for: nobody is troubled
                await self._means.pause(self._config.quiet_s)
            began_us = self._means.clock.monotonic_us()
            again_s = None
            try:
                await self._listen()
            except SourceError as error:
                log.warning("%s", error)
                again_s = error.again_s
            self._routes.deaf()
            lasted_s = (self._means.clock.monotonic_us() - began_us) / 1e6
            failures = 1 if lasted_s >= _WELL_S else failures + 1
            await self._means.pause(backoff_s(failures, again_s, self._means.rng))

    async def _listen(self) -> None:
        """Until there is nothing to follow. Raises SourceError."""
        try:
            async with (
                asyncio.timeout(self._config.deadline_s) as opening,
                self._means.session.ws_connect(
                    self._config.url,
                    params={"client": "heliograph-collector"},
                    compress=0,  # a packed frame could be a bomb
                    max_msg_size=_MOST_FRAME,
                    timeout=aiohttp.ClientWSTimeout(ws_close=2.0),
                ) as socket,
            ):
                opening.reschedule(None)
                await self._hear(socket)
        except aiohttp.WSServerHandshakeError as error:
            text = error.headers.get("Retry-After", "") if error.headers else ""
            again_s = retry_after_s(text, self._means.clock.wall_us())
            raise SourceError(f"RIS Live answered {error.status}.", again_s) from None
        except TimeoutError:
            raise SourceError("RIS Live let us wait too long.") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise SourceError(f"RIS Live cannot be reached ({type(error).__name__}).") from None

    async def _hear(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._asked, self._changed, self._live = set(), True, False
        called = False
        while self._asns:
            await self._subscribe(socket)
            text = await self._next(socket)
            self._routes.tick(self._means.clock.wall_us())
            if text is not None:
                called = False
                self._take(text)
            elif called:
                raise SourceError("RIS Live has fallen silent.")
            else:
                called = True
                await self._send(socket, "ping", None)

    async def _next(self, socket: aiohttp.ClientWebSocketResponse) -> str | None:
        """The next text; None when it was quiet. Raises SourceError."""
        try:
            message = await socket.receive(timeout=self._config.quiet_s)
        except TimeoutError:
            return None
        if message.type is not aiohttp.WSMsgType.TEXT:
            raise SourceError("RIS Live ended the connection.")
        return str(message.data)

    async def _subscribe(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """To what is followed and not yet asked for; what is followed no more is left."""
        if not self._changed:
            return
        self._changed = False
        wanted = {*map(str, self._asns), *self._routes.prefixes}
        for name in sorted(self._asked - wanted):
            await self._send(socket, "ris_unsubscribe", filter_of(name))
        for name in sorted(wanted - self._asked):
            await self._send(socket, "ris_subscribe", filter_of(name))
        self._asked = wanted

    async def _send(self, socket: aiohttp.ClientWebSocketResponse, kind: str, data: object) -> None:
        text = msgspec.json.encode({"type": kind, "data": data}).decode()
        async with asyncio.timeout(self._config.deadline_s):
            await socket.send_str(text)

    def _take(self, text: str) -> None:
        frame = frame_of(text)
        now_us = self._means.clock.wall_us()
        if frame.type == "ris_error":
            raise SourceError("RIS Live complained about us, or that we are too slow.")
        if frame.type == "ris_subscribe_ok" and not self._live:
            self._live = True
            self._routes.live(now_us)
        if frame.type == "ris_message":
            update = update_of(frame.data, now_us)
            self._changed |= update is not None and self._routes.take(update)
