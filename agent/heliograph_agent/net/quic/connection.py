"""Run a QUIC connection over a UDP socket, and its handshake as a recorded step.

aioquic decides what is sent; `QuicTransport` sends it and keeps the time. No task runs in the
background: a caller that waits for the peer runs turns until the awaited event has come.
"""

import asyncio
import logging
import ssl
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from heliograph.address import parse_literal
from heliograph.failure import Failure
from heliograph.observation import Tls
from heliograph_agent.net.failure_mapping import StepError
from heliograph_agent.net.step import StepFacts
from heliograph_agent.net.tcp import TrafficMeter
from heliograph_agent.net.tls import certificates
from heliograph_agent.net.tls.trust_store import Roots
from heliograph_agent.net.trace import StepResult
from heliograph_agent.net.udp import UdpSocket

if TYPE_CHECKING:
    from aioquic.quic.connection import QuicConnection
    from aioquic.quic.events import QuicEvent

_MAX_CHAIN = 16
_ALERTS = range(0x100, 0x200)  # RFC 9001 section 4.8: 0x100 and the number of the TLS alert
_REFUSED = 0x02
_UNREADABLE = (42, 43)  # our own alerts for a certificate that cannot be read
_LONG_HEADER = 0x80
# A page is read to MAX_BODY, an eighth of this. aioquic doubles its windows when half of one is
# claimed, by a single byte too, and buffers up to the highest offset: a dozen packets took 256 MB.
_MAX_CLAIMED = 4_194_304
_EXCESSIVE_LOAD = 0x107  # RFC 9114 section 8.1


class QuicEndedError(Exception):
    """Report the end; `code` is an error of QUIC or HTTP/3 (RFC 9000 section 20)."""

    def __init__(self, code: int, *, is_by_peer: bool, is_version_refused: bool = False) -> None:
        super().__init__(f"0x{code:x}")
        self.code = code
        self.is_by_peer = is_by_peer
        self.is_version_refused = is_version_refused  # the peer supports none of our versions


class QuicTransport:
    """Run one connection over one socket."""

    def __init__(
        self,
        connection: "QuicConnection",
        udp_socket: UdpSocket,
        meter: TrafficMeter,
    ) -> None:
        self.connection = connection
        self._udp_socket = udp_socket
        self._meter = meter
        self._now = asyncio.get_running_loop().time
        self._ended_error: QuicEndedError | None = None

    async def run_turn(self) -> None:
        """Send the due datagrams, then wait for one or for aioquic's timer.

        Raises OSError (ICMP), or QuicEndedError in the turn after the end, so that the caller
        can read the events before it.
        """
        self._ended_error = self._ended_error or self._find_end(b"")
        if self._ended_error is not None:
            raise self._ended_error
        self._send()
        try:
            async with asyncio.timeout_at(self.connection.get_timer()):
                data = await self._udp_socket.receive()
        except TimeoutError:
            self.connection.handle_timer(now=self._now())
        else:
            self._meter.count_bytes(len(data))
            self.connection.receive_datagram(data, self._udp_socket.peer, now=self._now())
            self._ended_error = self._find_end(data)

    def iter_events(self) -> Iterator["QuicEvent"]:
        """Yield the events since the last call."""
        while (event := self.connection.next_event()) is not None:
            yield event

    def close(self) -> None:
        """Send the peer a close and wait for nothing."""
        self.connection.close()
        with suppress(OSError):  # an ICMP error for an earlier datagram
            self._send()
        self._udp_socket.close()

    def _send(self) -> None:
        for data, _ in self.connection.datagrams_to_send(now=self._now()):
            self._meter.count_bytes(len(data))
            self._udp_socket.send(data)

    def _find_end(self, data: bytes) -> QuicEndedError | None:
        """Find the end of the connection in aioquic's internal state.

        aioquic reports an end only after the draining period, and without the side that made it.
        """
        event = self.connection._close_event  # noqa: SLF001 - aioquic keeps the reason nowhere else
        if event is None:
            # aioquic tells nowhere else what was claimed, and has no limit that stays.
            claimed_bytes = self.connection._local_max_data.used  # noqa: SLF001
            if claimed_bytes > _MAX_CLAIMED:
                return QuicEndedError(_EXCESSIVE_LOAD, is_by_peer=False)
            return None
        is_by_us = self.connection._close_pending  # noqa: SLF001 - an error it found, not yet sent
        return QuicEndedError(
            event.error_code,
            is_by_peer=not is_by_us,
            is_version_refused=_is_version_negotiation(data) and not is_by_us,
        )


async def open_quic(
    address: str, port: int, server_name: str, alpn: tuple[str, ...], meter: TrafficMeter
) -> QuicTransport:
    """Create a connection that is about to send its first packet. Raises OSError.

    Only version 1 is offered, as browsers do; no certificate is verified here.
    """
    from aioquic.quic.configuration import QuicConfiguration
    from aioquic.quic.connection import QuicConnection
    from aioquic.quic.packet import QuicProtocolVersion

    for name in ("quic", "http3"):  # a peer's errors are observations, not log lines
        logging.getLogger(name).disabled = True
    udp_socket = UdpSocket(address, port)
    connection = QuicConnection(
        configuration=QuicConfiguration(
            alpn_protocols=list(alpn),
            server_name=server_name,
            supported_versions=[QuicProtocolVersion.VERSION_1],
            verify_mode=ssl.CERT_NONE,
        )
    )
    connection.connect(udp_socket.peer, now=asyncio.get_running_loop().time())
    return QuicTransport(connection, udp_socket, meter)


def _is_version_negotiation(data: bytes) -> bool:
    """Recognize a Version Negotiation packet: long header, version 0 (RFC 8999, 6)."""
    return len(data) >= 5 and bool(data[0] & _LONG_HEADER) and data[1:5] == bytes(4)


def require_aioquic() -> None:
    """Raise ValueError, with the fix, when aioquic is not installed."""
    try:
        import aioquic.quic.connection  # noqa: F401 - the import is the test
    except ImportError as error:
        raise ValueError(
            "QUIC needs aioquic: run pip install '.[quic]' in a checkout of Heliograph."
        ) from error


@dataclass(frozen=True, slots=True)
class SystemQuicConnection:
    """Hold an open connection."""

    step_result: StepResult
    transport: QuicTransport

    def close(self) -> None:
        self.transport.close()


@dataclass(slots=True, kw_only=True)
class QuicHandshake:
    """Make one handshake; `step_facts` returns the facts so far."""

    server_name: str
    alpn: tuple[str, ...]
    transport: QuicTransport | None = None
    chain: list[bytes] = field(default_factory=list)
    chosen_alpn: str = ""  # of `alpn`
    alert: int | None = None

    async def run(
        self, address: str, port: int, roots: Roots | None, now_s: int, meter: TrafficMeter
    ) -> None:
        """Make the handshake; without `roots` any chain is accepted.

        Raises OSError, or StepError, also when the chain does not verify.
        """
        self.transport = await open_quic(address, port, self.server_name, self.alpn, meter)
        try:
            await self._wait_completed(self.transport)
        except QuicEndedError as end:
            raise StepError(self._classify_end(end)) from end
        finally:
            self.chain = _peer_chain(self.transport)
        certificates.check_chain(self.chain, roots, self.server_name, now_s)

    def step_facts(self) -> StepFacts:
        cipher = _cipher_name(self.transport) if self.chain else ""
        tls = Tls(
            server_name="" if parse_literal(self.server_name) else self.server_name,
            version="TLSv1.3" if cipher else "",
            cipher=cipher,
            alpn=self.chosen_alpn,
            alert=self.alert,
            chain=tuple(certificates.describe_certificate(der) for der in self.chain),
            library=_name_library(),
        )
        return {"tls": tls}

    async def _wait_completed(self, transport: QuicTransport) -> None:
        from aioquic.quic.events import HandshakeCompleted

        while True:
            await transport.run_turn()
            for event in transport.iter_events():
                if isinstance(event, HandshakeCompleted):
                    self.chosen_alpn = event.alpn_protocol or ""
                    return  # later events stay queued for the next reader

    def _classify_end(self, end: QuicEndedError) -> Failure:
        alert = end.code - _ALERTS.start if end.code in _ALERTS else None
        if end.is_version_refused:
            return Failure.QUIC_INCOMPATIBLE_VERSION
        if not end.is_by_peer:
            if alert is None:
                return Failure.UNEXPECTED_REPLY
            if alert in _UNREADABLE:
                return Failure.SSL_INVALID_CERTIFICATE
            return Failure.SSL_FAILED_HANDSHAKE
        self.alert = alert
        if alert is not None:
            return Failure.SSL_FAILED_HANDSHAKE
        return Failure.CONNECTION_REFUSED if end.code == _REFUSED else Failure.EOF_ERROR


def _peer_chain(transport: QuicTransport) -> list[bytes]:
    """Return the peer's chain in DER, leaf first, which aioquic keeps private."""
    from cryptography.hazmat.primitives.serialization import Encoding

    tls = transport.connection.tls
    leaf = tls._peer_certificate  # noqa: SLF001 - no public way
    others = tls._peer_certificate_chain  # noqa: SLF001 - as above
    if leaf is None:
        return []
    return [certificate.public_bytes(Encoding.DER) for certificate in (leaf, *others)][:_MAX_CHAIN]


def _name_library() -> str:
    import aioquic

    return f"aioquic {aioquic.__version__}"


def _cipher_name(transport: QuicTransport | None) -> str:
    """Return the cipher's name, in OpenSSL and in RFC 8446."""
    schedule = transport and transport.connection.tls.key_schedule
    return f"TLS_{schedule.cipher_suite.name}" if schedule else ""
