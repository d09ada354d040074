"""RIPE RIS Live: live BGP updates over a WebSocket.

One connection has a filter for each followed origin network (`path`) and one for each of its
prefixes, because a withdrawal has no path. The source has no history: it must be connected before
an incident to know which prefixes were announced.

States of the connection: idle while nothing is followed; subscribing after connect; live once RIS
Live acknowledged the subscription. Minutes count only while the connection is live. A lost
connection clears the last states of the peers, and the client reconnects after a backoff. After
`quiet_s` without a message the client sends a ping; a second quiet period ends the connection.
"""

import asyncio
import ipaddress
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Annotated

import aiohttp
import msgspec

from heliograph.units import MINUTE_US
from heliograph_collector.corroborate.fetch import decode_json, parse_retry_after_s
from heliograph_collector.corroborate.incident import Entity
from heliograph_collector.corroborate.routes import Minute, Routes, Update
from heliograph_collector.corroborate.series import Point, SeriesEvidence, SourceEvidence
from heliograph_collector.corroborate.source import SourceContext, SourceError, compute_backoff_s

NAME = "ris"
_MIN_PREFIXES = 5  # assumed
ATTRIBUTION = "RIPE NCC, Routing Information Service (RIS Live)."
MAX_ASNS = 64
_PAGE = "https://ris-live.ripe.net/"
_MAX_FRAME_BYTES = 131_072
_MAX_NETWORKS = 4_096  # networks in one update; BGP messages have fewer
_FRESH_S = 300.0  # an update with a timestamp further from now is ignored
_STEADY_S = 600.0  # a connection that lasted this long does not count as a failure
_NORMAL = "ris_message", "ris_subscribe_ok", "ris_rrc_list", "ris_error", "pong"

log = logging.getLogger("heliograph.corroborate")


@dataclass(frozen=True, slots=True, kw_only=True)
class RisConfig:
    url: str = "wss://ris-live.ripe.net/v1/ws/"
    prefixes: Mapping[str, int] = field(default_factory=dict)  # prefix → origin ASN, from a file
    quiet_s: float = 30.0  # after this silence the client sends a ping
    deadline_s: float = 20.0


class _Announcement(msgspec.Struct):
    prefixes: list[str] = []


class _Update(msgspec.Struct):
    timestamp: float
    peer: str
    host: str = ""
    type: str = ""
    path: list[int | list[int]] = []  # a list is an AS_SET
    announcements: list[_Announcement] = []
    withdrawals: list[str] = []


class _Frame(msgspec.Struct):
    type: Annotated[str, msgspec.Meta(max_length=64)]
    data: msgspec.Raw = msgspec.Raw(b"null")


def parse_frame(message: str) -> _Frame:
    """Parse a frame of the stream. Raises SourceError."""
    frame = decode_json("RIS Live", message.encode(errors="replace"), _Frame)
    if frame.type not in _NORMAL:
        raise SourceError("RIS Live sent a message of an unknown kind.")
    return frame


def parse_update(data: msgspec.Raw, now_us: int) -> Update | None:
    """Parse the data of a ris_message; None if it is no update or not current.

    Raises SourceError.
    """
    message = decode_json("RIS Live", bytes(data), _Update)
    if message.type != "UPDATE" or abs(message.timestamp - now_us / 1e6) > _FRESH_S:
        return None
    announced = (prefix for group in message.announcements for prefix in group.prefixes)
    origin = message.path[-1] if message.path else 0
    return Update(
        peer=f"{message.host[:64]} {message.peer[:64]}",
        origin=origin if isinstance(origin, int) else 0,  # an AS_SET is no single origin
        announced=_normalize_prefixes(announced),
        withdrawn=_normalize_prefixes(message.withdrawals),
    )


def _normalize_prefixes(texts: Iterable[str]) -> tuple[str, ...]:
    """Normalize the spelling of prefixes.

    RIS Live also writes 2605:de00:bb:0:0:0:0:0/48.
    """
    return tuple(dict.fromkeys(filter(None, map(normalize_prefix, islice(texts, _MAX_NETWORKS)))))


def normalize_prefix(prefix: str) -> str:
    """Return the canonical form of a prefix; "" if it is invalid."""
    try:
        return str(ipaddress.ip_network(prefix[:64], strict=False))
    except ValueError:
        return ""


class _SocketOptions(msgspec.Struct, rename="camel"):
    include_raw: bool = False
    acknowledge: bool = True


class _Filter(msgspec.Struct, rename="camel"):
    type: str = "UPDATE"
    prefix: str | msgspec.UnsetType = msgspec.UNSET
    more_specific: bool | msgspec.UnsetType = msgspec.UNSET
    path: str | msgspec.UnsetType = msgspec.UNSET
    socket_options: _SocketOptions = msgspec.field(default_factory=_SocketOptions)


def build_filter(name: str) -> _Filter:
    """Build the data of a subscription, for a prefix or for an origin ASN."""
    return _Filter(prefix=name, more_specific=False) if "/" in name else _Filter(path=f"{name}$")


def compute_visible_share(minutes: Iterable[Minute]) -> tuple[Point, ...]:
    """Compute the visible share of known prefixes; skip minutes with too few of them."""
    return tuple(
        Point(m.at_us, 1.0 - m.withdrawn_prefixes / m.known_prefixes)
        for m in minutes
        if m.known_prefixes >= _MIN_PREFIXES
    )


class RisLive:
    name = NAME
    every_s = 60.0

    def __init__(self, config: RisConfig, context: SourceContext) -> None:
        self._config = config
        self._context = context
        self._routes = Routes(config.prefixes)
        self._networks: dict[str, set[int]] = {}  # country → its followed networks
        self._asns: frozenset[int] = frozenset()
        self._subscribed: set[str] = set()  # prefixes and origins in the filters of this connection
        self._has_changed = True  # new filters may be due
        self._is_live = False  # the server acknowledged a subscription of this connection

    def follow(self, entities: Sequence[Entity]) -> None:
        """Follow the networks among the entities, at most 64.

        A country means its networks in the list.
        """
        chosen = list(dict.fromkeys(e for e in entities if e.asn))[:MAX_ASNS]
        self._networks = {}
        for entity in chosen:
            self._networks.setdefault(entity.country, set()).add(entity.asn)
        asns = frozenset(e.asn for e in chosen)
        if asns != self._asns:
            self._asns = asns
            self._has_changed = True
            self._routes.follow(asns)

    async def ask(self, entity: Entity, since_us: int, until_us: int) -> list[SourceEvidence]:
        """Return the evidence in memory, without a query."""
        asns = {entity.asn} if entity.asn else self._networks.get(entity.country, set())
        points = compute_visible_share(self._routes.minutes(asns))
        series = SeriesEvidence(
            source=NAME,
            signal="visible_prefixes",
            entity=entity,
            read_us=self._context.clock.wall_us(),
            url=_PAGE,
            attribution=ATTRIBUTION,
            step_us=MINUTE_US,
            points=tuple(p for p in points if since_us <= p.at_us < until_us),
        )
        return [series] if series.points else []

    async def run(self) -> None:
        """Listen and reconnect until cancelled."""
        failures = 0
        while True:
            while not self._asns:  # nothing to follow, so no connection
                await self._context.pause(self._config.quiet_s)
            began_us = self._context.clock.monotonic_us()
            retry_s = None
            try:
                await self._listen()
            except SourceError as error:
                log.warning("%s", error)
                retry_s = error.retry_s
            self._routes.on_disconnect()
            lasted_s = (self._context.clock.monotonic_us() - began_us) / 1e6
            failures = 1 if lasted_s >= _STEADY_S else failures + 1
            await self._context.pause(compute_backoff_s(failures, retry_s, self._context.rng))

    async def _listen(self) -> None:
        """Listen until nothing is followed. Raises SourceError."""
        try:
            async with (
                asyncio.timeout(self._config.deadline_s) as opening,
                self._context.session.ws_connect(
                    self._config.url,
                    params={"client": "heliograph-collector"},
                    compress=0,  # a compressed frame could be a decompression bomb
                    max_msg_size=_MAX_FRAME_BYTES,
                    timeout=aiohttp.ClientWSTimeout(ws_close=2.0),
                ) as socket,
            ):
                opening.reschedule(None)
                await self._receive_loop(socket)
        except aiohttp.WSServerHandshakeError as error:
            retry_header = error.headers.get("Retry-After", "") if error.headers else ""
            retry_s = parse_retry_after_s(retry_header, self._context.clock.wall_us())
            raise SourceError(f"RIS Live answered {error.status}.", retry_s) from None
        except TimeoutError:
            raise SourceError("RIS Live let us wait too long.") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise SourceError(f"RIS Live cannot be reached ({type(error).__name__}).") from None

    async def _receive_loop(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._subscribed = set()
        self._has_changed = True
        self._is_live = False
        is_ping_sent = False
        while self._asns:
            await self._subscribe(socket)
            message = await self._read_message(socket)
            self._routes.tick(self._context.clock.wall_us())
            if message is not None:
                is_ping_sent = False
                self._handle_message(message)
            elif is_ping_sent:
                raise SourceError("RIS Live has fallen silent.")
            else:
                is_ping_sent = True
                await self._send(socket, "ping", None)

    async def _read_message(self, socket: aiohttp.ClientWebSocketResponse) -> str | None:
        """Return the next text message; None after a quiet period. Raises SourceError."""
        try:
            message = await socket.receive(timeout=self._config.quiet_s)
        except TimeoutError:
            return None
        if message.type is not aiohttp.WSMsgType.TEXT:
            raise SourceError("RIS Live ended the connection.")
        return str(message.data)

    async def _subscribe(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Subscribe to new filters and unsubscribe from those no longer followed."""
        if not self._has_changed:
            return
        self._has_changed = False
        followed = {*map(str, self._asns), *self._routes.prefixes}
        for name in sorted(self._subscribed - followed):
            await self._send(socket, "ris_unsubscribe", build_filter(name))
        for name in sorted(followed - self._subscribed):
            await self._send(socket, "ris_subscribe", build_filter(name))
        self._subscribed = followed

    async def _send(self, socket: aiohttp.ClientWebSocketResponse, kind: str, data: object) -> None:
        payload = msgspec.json.encode({"type": kind, "data": data}).decode()
        async with asyncio.timeout(self._config.deadline_s):
            await socket.send_str(payload)

    def _handle_message(self, message: str) -> None:
        frame = parse_frame(message)
        now_us = self._context.clock.wall_us()
        if frame.type == "ris_error":
            raise SourceError("RIS Live complained about us, or that we are too slow.")
        if frame.type == "ris_subscribe_ok" and not self._is_live:
            self._is_live = True
            self._routes.on_subscribed(now_us)
        if frame.type == "ris_message":
            update = parse_update(frame.data, now_us)
            self._has_changed |= update is not None and self._routes.apply_update(update)
