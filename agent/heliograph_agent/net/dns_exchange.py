"""One question to one server, over UDP or TCP."""

import asyncio

from heliograph.failure import Failure
from heliograph_agent.net.dns_message import Question, Reply
from heliograph_agent.net.failures import StepError
from heliograph_agent.net.tcp import Count, open_wire

_MAX_WAITING = 64  # datagrams; a flood of forgeries fills no memory


class _Datagrams(asyncio.DatagramProtocol):
    """A connected socket: the kernel lets pass only what comes from the server's address."""

    def __init__(self) -> None:
        self.arrived: asyncio.Queue[bytes | Exception] = asyncio.Queue(_MAX_WAITING)

    def datagram_received(self, data: bytes, addr: tuple[str | int, ...]) -> None:
        del addr
        self._put(data)

    def error_received(self, exc: Exception) -> None:
        self._put(exc)

    def _put(self, item: bytes | Exception) -> None:
        if not self.arrived.full():
            self.arrived.put_nowait(item)


async def ask_udp(
    question: Question, server: tuple[str, int], deadline_s: float, count: Count
) -> Reply:
    """The first datagram that answers the question; what does not is passed over until then, since
    anybody may throw datagrams at us. A truncated reply is returned as such.

    Raises OSError (a refused port answers by ICMP), TimeoutError, or StepError when nothing
    but replies to other questions came.
    """
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(_Datagrams, remote_addr=server)
    strangers: list[Failure] = []
    try:
        async with asyncio.timeout(deadline_s):
            transport.sendto(question.wire)
            count(len(question.wire))
            return await _first_reply(question, protocol, strangers, count)
    except TimeoutError:
        if strangers:
            raise StepError(strangers[0]) from None
        raise
    finally:
        transport.close()


async def _first_reply(
    question: Question, protocol: _Datagrams, strangers: list[Failure], count: Count
) -> Reply:
    while True:
        item = await protocol.arrived.get()
        if isinstance(item, Exception):
            raise item
        count(len(item))
        reply = question.reply(item)
        if reply is not None:
            return reply
        strangers.append(
            Failure.DNS_REPLY_WITH_WRONG_QUERY_ID
            if question.is_other_id(item)
            else Failure.DNS_SERVER_MISBEHAVING
        )
        del strangers[1:]


async def ask_tcp(
    question: Question, server: tuple[str, int], deadline_s: float, count: Count
) -> Reply:
    """Raises OSError, EOFError, TimeoutError, or StepError when the reply is no answer."""
    async with asyncio.timeout(deadline_s):
        reader, writer = await open_wire(server[0], server[1], count)
        try:
            writer.write(len(question.wire).to_bytes(2, "big") + question.wire)
            size = int.from_bytes(await reader.readexactly(2), "big")
            reply = question.reply(await reader.readexactly(size))
        finally:
            writer.transport.abort()
    if reply is None:
        raise StepError(Failure.DNS_SERVER_MISBEHAVING)
    return reply


async def ask(
    question: Question, server: tuple[str, int], deadline_s: float, count: Count
) -> Reply:
    """UDP, and over TCP when the server says that its reply did not fit."""
    reply = await ask_udp(question, server, deadline_s, count)
    return await ask_tcp(question, server, deadline_s, count) if reply.truncated else reply
