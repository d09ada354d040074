"""A QUIC connection on its socket: aioquic decides what is sent, the wire sends it and keeps time.

No task runs behind: whoever wants something from the peer takes turns until it has come.
"""

import asyncio
import logging
import ssl
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from heliograph_agent.net.tcp import Count
from heliograph_agent.net.udp import Datagrams

if TYPE_CHECKING:
    from aioquic.quic.connection import QuicConnection
    from aioquic.quic.events import QuicEvent

_LONG_HEADER = 0x80


class QuicEndedError(Exception):
    """The connection is over. `code` is QUIC's or HTTP/3's error code (RFC 9000 section 20)."""

    def __init__(self, code: int, *, by_peer: bool, no_version: bool = False) -> None:
        super().__init__(f"0x{code:x}")
        self.code = code
        self.by_peer = by_peer
        self.no_version = no_version  # the peer speaks none of ours


class QuicWire:
    """One connection over one socket."""

    def __init__(
        self,
        connection: "QuicConnection",
        line: Datagrams,
        count: Count,
    ) -> None:
        self.connection = connection
        self._line = line
        self._count = count
        self._now = asyncio.get_running_loop().time
        self._end: QuicEndedError | None = None

    async def turn(self) -> None:
        """Send what is due, then wait for a datagram or for aioquic's timer.

        Raises OSError (ICMP), or QuicEndedError once what came before the end has been seen.
        """
        self._end = self._end or self._ended(b"")
        if self._end is not None:
            raise self._end
        self._send()
        try:
            async with asyncio.timeout_at(self.connection.get_timer()):
                data = await self._line.next()
        except TimeoutError:
            self.connection.handle_timer(now=self._now())
        else:
            self._receive(data)

    def events(self) -> Iterator["QuicEvent"]:
        """What has happened and was not yet told."""
        while (event := self.connection.next_event()) is not None:
            yield event

    def close(self) -> None:
        """Say so to the peer, and wait for nothing."""
        self.connection.close()
        with suppress(OSError):  # an ICMP error of what was sent before
            self._send()
        self._line.close()

    def _send(self) -> None:
        for data, _ in self.connection.datagrams_to_send(now=self._now()):
            self._count(len(data))
            self._line.send(data)

    def _receive(self, data: bytes) -> None:
        self._count(len(data))
        peer = self._line.peer
        self.connection.receive_datagram(data, peer, now=self._now())
        self._end = self._ended(data)

    def _ended(self, data: bytes) -> QuicEndedError | None:
        """aioquic tells of an end only when the draining period is over, and not who made it."""
        event = self.connection._close_event  # noqa: SLF001 - why it closed, kept nowhere else
        if event is None:
            return None
        by_us = self.connection._close_pending  # noqa: SLF001 - a fault it found, not yet sent
        return QuicEndedError(
            event.error_code, by_peer=not by_us, no_version=_negotiates(data) and not by_us
        )


async def open_quic(
    address: str, port: int, server_name: str, alpn: tuple[str, ...], count: Count
) -> QuicWire:
    """A connection about to send its first packet. Raises OSError.

    Only version 1 is offered, as browsers do; no certificate is verified here.
    """
    from aioquic.quic.configuration import QuicConfiguration
    from aioquic.quic.connection import QuicConnection
    from aioquic.quic.packet import QuicProtocolVersion

    for name in ("quic", "http3"):  # a peer's misbehaviour is an observation, not a line in a log
        logging.getLogger(name).disabled = True
    line = Datagrams(address, port)
    connection = QuicConnection(
        configuration=QuicConfiguration(
            alpn_protocols=list(alpn),
            server_name=server_name,
            supported_versions=[QuicProtocolVersion.VERSION_1],
            verify_mode=ssl.CERT_NONE,
        )
    )
    connection.connect(line.peer, now=asyncio.get_running_loop().time())
    return QuicWire(connection, line, count)


def _negotiates(data: bytes) -> bool:
    """A Version Negotiation packet: long header, version 0 (RFC 8999 section 6)."""
    return len(data) >= 5 and bool(data[0] & _LONG_HEADER) and data[1:5] == bytes(4)
