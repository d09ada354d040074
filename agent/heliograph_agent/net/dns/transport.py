"""Send one question to one server, over UDP or TCP."""

import asyncio
from dataclasses import dataclass, field

from heliograph.clock import Clock
from heliograph.failure import Failure
from heliograph.observation import DnsReply
from heliograph_agent.net.dns.message import DnsQuestion, DnsResponse
from heliograph_agent.net.failure_mapping import StepError
from heliograph_agent.net.tcp import TrafficMeter, open_tcp
from heliograph_agent.net.trace import ByteReader, ByteWriter
from heliograph_agent.net.udp import UdpSocket

_MAX_LATER = 16  # replies kept after the first


@dataclass(slots=True, kw_only=True)
class Linger:
    """Configure how long to listen after the first UDP reply, and hold later replies.

    Only replies with our id and question are kept. A datagram with another id proves nothing
    about the path, because anybody can send such datagrams to us.
    """

    seconds: float
    clock: Clock
    later: list[DnsReply] = field(default_factory=list)
    listened_us: int = 0  # not part of the lookup's duration

    async def listen(self, question: DnsQuestion, udp_socket: UdpSocket, sent_us: int) -> None:
        began_us = self.clock.monotonic_us()
        deadline = asyncio.get_running_loop().time() + self.seconds
        try:
            while len(self.later) < _MAX_LATER:
                reply = question.parse_reply(await udp_socket.receive(deadline))
                after_us = self.clock.monotonic_us() - sent_us
                if reply is not None:
                    self.later.append(
                        DnsReply(after_us=after_us, rcode=reply.rcode, answers=reply.answers)
                    )
        except OSError:  # the time is over, or an ICMP error came after a good reply
            pass
        finally:
            self.listened_us += self.clock.monotonic_us() - began_us


async def ask_udp(
    question: DnsQuestion,
    server: tuple[str, int],
    deadline_s: float,
    meter: TrafficMeter,
    linger: Linger | None,
) -> DnsResponse:
    """Send a question over UDP and return the first datagram that answers it.

    Other datagrams are ignored until the deadline, because anybody can send datagrams to us. A
    truncated reply is returned as such. Raises OSError (a refused port answers by ICMP),
    TimeoutError, or StepError when only replies to other questions came.
    """
    udp_socket = UdpSocket(*server)
    foreign_failure: Failure | None = None  # of the first other datagram
    try:
        deadline = asyncio.get_running_loop().time() + deadline_s
        sent_us = linger.clock.monotonic_us() if linger else 0
        udp_socket.send(question.wire)
        meter.count_bytes(len(question.wire))
        while True:
            datagram = await udp_socket.receive(deadline)
            meter.count_bytes(len(datagram))
            reply = question.parse_reply(datagram)
            if reply is not None:
                break
            foreign_failure = foreign_failure or _classify_foreign(question, datagram)
        if linger is not None and linger.seconds > 0:
            await linger.listen(question, udp_socket, sent_us)
    except TimeoutError:
        if foreign_failure is not None:
            raise StepError(foreign_failure) from None
        raise
    else:
        return reply
    finally:
        udp_socket.close()


def _classify_foreign(question: DnsQuestion, datagram: bytes) -> Failure:
    if question.is_other_id(datagram):
        return Failure.DNS_REPLY_WITH_WRONG_QUERY_ID
    return Failure.DNS_SERVER_MISBEHAVING


async def ask_tcp(
    question: DnsQuestion, server: tuple[str, int], deadline_s: float, meter: TrafficMeter
) -> DnsResponse:
    """Send a question over TCP. Raises OSError, EOFError, TimeoutError or StepError."""
    async with asyncio.timeout(deadline_s):
        connection = await open_tcp(*server, meter)
        try:
            return await ask_stream(question, connection.receive_buffer, connection)
        finally:
            connection.transport.abort()


async def ask_stream(question: DnsQuestion, reader: ByteReader, writer: ByteWriter) -> DnsResponse:
    """Send a question over a connection (RFC 7766), unbounded; raise as `ask_tcp`."""
    writer.write(len(question.wire).to_bytes(2, "big") + question.wire)
    size = int.from_bytes(await reader.readexactly(2), "big")
    reply = question.parse_reply(await reader.readexactly(size))
    if reply is None:
        raise StepError(Failure.DNS_SERVER_MISBEHAVING)
    return reply


async def ask_server(
    question: DnsQuestion,
    server: tuple[str, int],
    deadline_s: float,
    meter: TrafficMeter,
    linger: Linger | None = None,
) -> DnsResponse:
    """Send a question over UDP, and over TCP when the UDP reply is truncated."""
    reply = await ask_udp(question, server, deadline_s, meter, linger)
    return await ask_tcp(question, server, deadline_s, meter) if reply.truncated else reply
