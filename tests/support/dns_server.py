"""A name server that answers by a script: lies, garbage, silence; UDP and TCP.

    with dns_server(lambda query: [answer(query, "www.example.test. 60 IN A 192.0.2.1")]) as server:
        config = NetConfig(resolver=server.address)

The script gets the query's bytes and returns the datagrams (over TCP: messages) to send back.
`server.queries` is what was asked, in order.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import dns.flags
import dns.message
import dns.rcode
import dns.rrset

from support.background import in_background
from support.ports import HOST, free_port
from support.tcp_server import Handler, serving
from support.udp_server import Script, serving_udp


@dataclass(slots=True)
class DnsServer:
    port: int
    queries: list[bytes] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    @property
    def names(self) -> list[str]:
        """Return the names of all queries, as sent, without the final dot."""
        return [
            dns.message.from_wire(query).question[0].name.to_text(omit_final_dot=True)
            for query in self.queries
        ]


def answer(query: bytes, *records: str, rcode: dns.rcode.Rcode = dns.rcode.NOERROR) -> bytes:
    """Return a well-formed reply; records in zone-file form, one set each."""
    reply = dns.message.make_response(dns.message.from_wire(query), recursion_available=True)
    reply.set_rcode(rcode)
    for record in records:
        name, ttl, _, kind, data = record.split(maxsplit=4)
        reply.answer.append(dns.rrset.from_text(name, int(ttl), "IN", kind, data))
    return reply.to_wire()


def truncated(query: bytes) -> bytes:
    """Return a reply with the TC bit and no answer: the client must ask by TCP."""
    reply = dns.message.make_response(dns.message.from_wire(query), recursion_available=True)
    reply.flags |= dns.flags.TC
    return reply.to_wire()


def with_other_id(reply: bytes) -> bytes:
    """Return a blind forger's reply: the right question under the wrong id."""
    return bytes((reply[0] ^ 0xFF, reply[1])) + reply[2:]


@in_background
@asynccontextmanager
async def dns_server(udp: Script, tcp: Script | None = None) -> AsyncIterator[DnsServer]:
    """Run the server; without `tcp`, the script for UDP answers TCP too."""
    server = DnsServer(free_port())

    def answer_datagram(query: bytes) -> Sequence[bytes]:
        server.queries.append(query)
        return udp(query)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = int.from_bytes(await reader.readexactly(2), "big")
        query = await reader.readexactly(size)
        server.queries.append(query)
        for reply in (tcp or udp)(query):
            writer.write(len(reply).to_bytes(2, "big") + reply)
        await writer.drain()

    async with serving_udp(answer_datagram, port=server.port), serving(serve, port=server.port):
        yield server


def answer_stream(reply: Callable[[bytes], bytes]) -> Handler:
    """Return a handler for one query over a connection (RFC 7766), in clear or TLS."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        query = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
        message = reply(query)
        writer.write(len(message).to_bytes(2, "big") + message)
        await writer.drain()

    return handle
