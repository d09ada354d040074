"""Send a probe message over a stream or in a datagram, and read its reply."""

import asyncio
from dataclasses import dataclass, replace

from heliograph.failure import Failure, Operation
from heliograph.observation import Exchange, Tls
from heliograph_agent.net.failure_mapping import StepError
from heliograph_agent.net.probe_message import (
    MAX_REPLY,
    ProbeMessage,
    ProbeReply,
    ProtocolMismatch,
    QuicProbeMessage,
    TlsProbeMessage,
)
from heliograph_agent.net.step import StepFacts
from heliograph_agent.net.tcp import USUAL_SEGMENT, TrafficMeter, read_segment_bytes
from heliograph_agent.net.tls.fingerprint import add_shape
from heliograph_agent.net.trace import ByteReader, ByteWriter
from heliograph_agent.net.udp import UdpSocket

_PROBE_TIMEOUT_S = 1.0  # RFC 9002 section 6.2.2: without a measured round trip, rounded
_NO_REPLY = ProbeReply("")


@dataclass(slots=True)
class MessageExchange:
    """Exchange one message; `step_facts` returns the facts so far."""

    message: ProbeMessage
    reply: ProbeReply = _NO_REPLY
    sent_bytes: int = 0
    received_bytes: int = 0
    request: bytes = b""
    segment_bytes: int = USUAL_SEGMENT

    async def run_over_stream(self, reader: ByteReader, writer: ByteWriter) -> None:
        """Send the message over a stream and read its reply.

        Raises OSError, StepError, or EOFError when the peer closed before a complete reply.
        """
        self.request = self.message.make_request()
        self.segment_bytes = read_segment_bytes(writer.transport)
        writer.write(self.request)
        self.sent_bytes = len(self.request)
        await writer.drain()
        received = bytearray()
        while len(received) < MAX_REPLY:
            data = await reader.read(MAX_REPLY - len(received))
            if not data:
                raise EOFError
            received += data
            self.received_bytes = len(received)
            if self._parse_reply(bytes(received)):
                return
        raise StepError(Failure.UNEXPECTED_REPLY)

    async def run_in_datagram(
        self, address: str, port: int, deadline_s: float, meter: TrafficMeter
    ) -> None:
        """Send the message in a datagram, a QUIC hello in several, and read its reply.

        A QUIC hello without a reply is sent again, as clients do, because one lost packet of two
        must not look like a filter. Otherwise a datagram is a whole reply or none. Others are
        ignored until the deadline, because anybody can send datagrams to us. Raises OSError (a
        closed port answers by ICMP), TimeoutError, or StepError when only other datagrams came.
        """
        udp_socket = UdpSocket(address, port)
        has_foreign_reply = False
        self.request = self.message.make_request()
        try:
            async with asyncio.timeout(deadline_s):
                sender = _DatagramSender(udp_socket, meter, self._list_datagrams())
                sender.send()
                self.sent_bytes = len(self.request)
                while True:
                    data = await sender.receive()
                    self.received_bytes += len(data)
                    if self._is_reply(data):
                        return
                    has_foreign_reply = True
        except TimeoutError:
            if has_foreign_reply:
                raise StepError(Failure.UNEXPECTED_REPLY) from None
            raise
        finally:
            udp_socket.close()

    @property
    def operation(self) -> Operation:
        """Return the handshake that a hello begins, else exchange."""
        if isinstance(self.message, QuicProbeMessage):
            return Operation.QUIC_HANDSHAKE
        is_hello = isinstance(self.message, TlsProbeMessage)
        return Operation.TLS_HANDSHAKE if is_hello else Operation.EXCHANGE

    def step_facts(self) -> StepFacts:
        """Return the exchange and, for a TLS hello, the facts of the hello."""
        exchange = Exchange(
            protocol=self.message.name,
            reply=self.reply.label,
            sent_bytes=self.sent_bytes,
            received_bytes=self.received_bytes,
            differences=self.reply.differences,
        )
        if isinstance(self.message, TlsProbeMessage):
            return {"exchange": exchange, "tls": self._describe_hello(self.message)}
        return {"exchange": exchange}

    def _describe_hello(self, message: TlsProbeMessage) -> Tls:
        facts = message.tls_facts()
        if not isinstance(message, QuicProbeMessage):
            return add_shape(facts, self.request, self.segment_bytes)
        shaped = add_shape(facts, self.request, self.segment_bytes, transport="q")
        # Pieces of the name may be in both datagrams, in an order that means nothing.
        return replace(shaped, hello_segments=len(message.make_datagrams()), name_segment=0)

    def _list_datagrams(self) -> tuple[bytes, ...]:
        if isinstance(self.message, QuicProbeMessage):
            return self.message.make_datagrams()
        return (self.request,)

    def _parse_reply(self, received: bytes) -> bool:
        """Tell whether the reply is complete. Raises StepError when it is invalid."""
        try:
            reply = self.message.parse_reply(received)
        except ProtocolMismatch as error:
            raise StepError(Failure.UNEXPECTED_REPLY) from error
        self.reply = reply or self.reply
        if isinstance(self.message, TlsProbeMessage) and self.message.tls_facts().alert is not None:
            raise StepError(Failure.SSL_FAILED_HANDSHAKE)
        return reply is not None

    def _is_reply(self, datagram: bytes) -> bool:
        try:
            return self._parse_reply(datagram)
        except StepError as error:
            if error.failure is Failure.SSL_FAILED_HANDSHAKE:  # an alert is a reply
                raise
            return False


class _DatagramSender:
    """Send datagrams; repeat a QUIC hello's until an answer (RFC 9002 section 6.2)."""

    def __init__(
        self, udp_socket: UdpSocket, meter: TrafficMeter, datagrams: tuple[bytes, ...]
    ) -> None:
        self._udp_socket = udp_socket
        self._meter = meter
        self._datagrams = datagrams
        self._now = asyncio.get_running_loop().time
        self._pause_s = _PROBE_TIMEOUT_S
        self._resend_at: float | None = None

    def send(self) -> None:
        """Send all datagrams. Raises OSError."""
        for datagram in self._datagrams:
            self._udp_socket.send(datagram)
            self._meter.count_bytes(len(datagram))
        if len(self._datagrams) > 1:
            self._resend_at = self._now() + self._pause_s
            self._pause_s *= 2

    async def receive(self) -> bytes:
        """Return the next datagram. The caller bounds the wait. Raises OSError."""
        while True:
            try:
                data = await self._udp_socket.receive(self._resend_at)
            except TimeoutError:
                self.send()
                continue
            self._meter.count_bytes(len(data))
            return data
