"""Send one question to one server, over UDP or TCP."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from heliograph.failure import Failure
from heliograph.observation import DnsReply
from heliograph_agent.net.dns.message import DnsQuestion, DnsResponse
from heliograph_agent.net.failure_mapping import StepError
from heliograph_agent.net.tcp import CountBytes, open_tcp
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
    elapsed_us: Callable[[], int]
    later: list[DnsReply] = field(default_factory=list)
    listened_us: int = 0  # not part of the lookup's duration

    async def listen(self, question: DnsQuestion, udp_socket: UdpSocket, sent_us: int) -> None:
        began_us = self.elapsed_us()
        deadline = asyncio.get_running_loop().time() + self.seconds
        try:
            while len(self.later) < _MAX_LATER:
                reply = question.parse_reply(await udp_socket.receive(deadline))
                after_us = self.elapsed_us() - sent_us
                if reply is not None:
                    self.later.append(
                        DnsReply(after_us=after_us, rcode=reply.rcode, answers=reply.answers)
                    )
        except OSError:  # the time is over, or an ICMP error came after a good reply
            pass
        finally:
            self.listened_us += self.elapsed_us() - began_us


async def ask_udp(
    question: DnsQuestion,
    server: tuple[str, int],
    deadline_s: float,
    count: CountBytes,
    linger: Linger | None = None,
) -> DnsResponse:
    """Send a question over UDP and return the first datagram that answers it.

    Other datagrams are ignored until the deadline, because anybody can send datagrams to us. A
    truncated reply is returned as such. Raises OSError (a refused port answers by ICMP),
    TimeoutError, or StepError when only replies to other questions came.
    """
    udp_socket = UdpSocket(*server)
    foreign_failures: list[Failure] = []
    try:
        deadline = asyncio.get_running_loop().time() + deadline_s
        sent_us = linger.elapsed_us() if linger else 0
        udp_socket.send(question.wire)
        count(len(question.wire))
        reply = await _first_reply(question, udp_socket, deadline, foreign_failures, count)
        if linger is not None and linger.seconds > 0:
            await linger.listen(question, udp_socket, sent_us)
    except TimeoutError:
        if foreign_failures:
            raise StepError(foreign_failures[0]) from None
        raise
    else:
        return reply
    finally:
        udp_socket.close()


async def _first_reply(
    question: DnsQuestion,
    udp_socket: UdpSocket,
    deadline: float,
    foreign_failures: list[Failure],
    count: CountBytes,
) -> DnsResponse:
    while True:
        datagram = await udp_socket.receive(deadline)
        count(len(datagram))
        reply = question.parse_reply(datagram)
        if reply is not None:
            return reply
        foreign_failures.append(
            Failure.DNS_REPLY_WITH_WRONG_QUERY_ID
            if question.is_other_id(datagram)
            else Failure.DNS_SERVER_MISBEHAVING
        )
        del foreign_failures[1:]


async def ask_tcp(
    question: DnsQuestion, server: tuple[str, int], deadline_s: float, count: CountBytes
) -> DnsResponse:
    """Send a question over TCP. Raises OSError, EOFError, TimeoutError or StepError."""
    async with asyncio.timeout(deadline_s):
        connection = await open_tcp(server[0], server[1], count)
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
    count: CountBytes,
    linger: Linger | None = None,
) -> DnsResponse:
    """Send a question over UDP, and over TCP when the UDP reply is truncated."""
    reply = await ask_udp(question, server, deadline_s, count, linger)
    return await ask_tcp(question, server, deadline_s, count) if reply.truncated else reply
