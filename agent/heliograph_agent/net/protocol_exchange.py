"""Send a probe message over a stream or in a datagram, and read its reply."""

import asyncio
from dataclasses import dataclass

from heliograph.failure import Failure, Operation
from heliograph.observation import Exchange
from heliograph_agent.net.failure_mapping import StepError
from heliograph_agent.net.probe_message import (
    MAX_REPLY,
    ProbeMessage,
    ProbeReply,
    ProtocolMismatch,
    TlsProbeMessage,
)
from heliograph_agent.net.step import StepFacts
from heliograph_agent.net.tcp import USUAL_SEGMENT, TrafficMeter, read_segment_bytes
from heliograph_agent.net.tls.fingerprint import add_shape
from heliograph_agent.net.trace import ByteReader, ByteWriter
from heliograph_agent.net.udp import UdpSocket

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
        """Send the message in a datagram and read its reply.

        A datagram is a whole reply or none. Others are ignored until the deadline, because
        anybody can send datagrams to us. Raises OSError (a closed port answers by ICMP),
        TimeoutError, or StepError when only other datagrams came.
        """
        udp_socket = UdpSocket(address, port)
        has_foreign_reply = False
        try:
            async with asyncio.timeout(deadline_s):
                request = self.message.make_request()
                udp_socket.send(request)
                self.sent_bytes = len(request)
                meter.count_bytes(len(request))
                while True:
                    data = await udp_socket.receive()
                    meter.count_bytes(len(data))
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
        """Return tls_handshake for a TLS hello, which begins a handshake, else exchange."""
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
            facts = self.message.tls_facts()
            return {
                "exchange": exchange,
                "tls": add_shape(facts, self.request, self.segment_bytes),
            }
        return {"exchange": exchange}

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
        except StepError:
            return False
