"""A name server that answers as a script says: lies, garbage, silence; UDP and TCP on one port.

    with dns_server(lambda query: [answer(query, "www.example.test. 60 IN A 192.0.2.1")]) as server:
        config = NetConfig(resolver=server.address)

The script gets the query's bytes and returns the datagrams (over TCP: messages) to send back.
`server.queries` is what was asked, in order.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import cast

import dns.flags
import dns.message
import dns.rcode
import dns.rrset

from support.background import background
from support.ports import HOST, free_port
from support.tcp_server import Handler, serving

Script = Callable[[bytes], Sequence[bytes]]


@dataclass(slots=True)
class DnsServer:
    port: int
    queries: list[bytes] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    @property
    def names(self) -> list[str]:
        """The names asked for, as sent, without the final dot."""
        return [
            dns.message.from_wire(query).question[0].name.to_text(omit_final_dot=True)
            for query in self.queries
        ]


def answer(query: bytes, *records: str, rcode: dns.rcode.Rcode = dns.rcode.NOERROR) -> bytes:
    """A well-formed reply; records in zone-file form, one set each."""
    reply = dns.message.make_response(dns.message.from_wire(query), recursion_available=True)
    reply.set_rcode(rcode)
    for record in records:
        name, ttl, _, kind, data = record.split(maxsplit=4)
        reply.answer.append(dns.rrset.from_text(name, int(ttl), "IN", kind, data))
    return reply.to_wire()


def truncated(query: bytes) -> bytes:
    """The TC bit and no answer: ask again over TCP."""
    reply = dns.message.make_response(dns.message.from_wire(query), recursion_available=True)
    reply.flags |= dns.flags.TC
    return reply.to_wire()


def with_other_id(reply: bytes) -> bytes:
    """What a blind forger sends: the right question under the wrong id."""
    return bytes((reply[0] ^ 0xFF, reply[1])) + reply[2:]


@contextmanager
def dns_server(udp: Script, tcp: Script | None = None) -> Iterator[DnsServer]:
    """`tcp` defaults to the script for UDP."""

    def manager() -> AbstractAsyncContextManager[DnsServer]:
        return _serving(udp, tcp or udp)

    with background(manager) as server:
        yield server


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer, script: Script) -> None:
        self._server = server
        self._script = script
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._server.queries.append(data)
        assert self._transport is not None
        for reply in self._script(data):
            self._transport.sendto(reply, addr)


@asynccontextmanager
async def _serving(udp: Script, tcp: Script) -> AsyncIterator[DnsServer]:
    server = DnsServer(free_port())
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        lambda: _Datagrams(server, udp), local_addr=(HOST, server.port)
    )

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = int.from_bytes(await reader.readexactly(2), "big")
        query = await reader.readexactly(size)
        server.queries.append(query)
        for reply in tcp(query):
            writer.write(len(reply).to_bytes(2, "big") + reply)
        await writer.drain()

    try:
        async with serving(serve, port=server.port):
            yield server
    finally:
        transport.close()


def answer_stream(reply: Callable[[bytes], bytes]) -> Handler:
    """A handler for one question over a connection (RFC 7766), in clear or in TLS."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        query = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
        message = reply(query)
        writer.write(len(message).to_bytes(2, "big") + message)
        await writer.drain()

    return handle
