"""The sockets: UDP and TCP on one port, bounded in number, time and rate."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TypeAlias, cast

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from heliograph.dns_beacon import sealed_in
from heliograph_collector.ingest.dns import Take

MAX_QUERY = 512  # bytes
MORE = 64  # that an answer may have beyond its question
_SOA = "{zone} {zone} 1 3600 600 604800 0"


@dataclass(frozen=True, slots=True)
class Asked:
    """A query that is answered; `sealed` is what its name holds, None for nothing of ours."""

    query: dns.message.Message
    zone: str
    rcode: dns.rcode.Rcode = dns.rcode.NOERROR
    sealed: bytes | None = None
    soa: bool = False

    def answer(self, address: str) -> bytes:
        """`address` is "" where there is nothing to say. Never longer than question and MORE."""
        response = dns.message.make_response(self.query, recursion_available=False)
        response.set_rcode(self.rcode)
        if self.rcode == dns.rcode.NOERROR:
            response.flags |= dns.flags.AA
        question = self.query.question[0]
        if address:
            response.answer.append(dns.rrset.from_text(question.name, 0, "IN", "AAAA", address))
        if self.soa:
            text = _SOA.format(zone=f"{self.zone.strip('.')}.")
            response.answer.append(dns.rrset.from_text(question.name, 0, "IN", "SOA", text))
        return response.to_wire()


def read(wire: bytes, zone: str) -> Asked | None:
    """None for what is better met with silence."""
    if len(wire) > MAX_QUERY:
        return None
    try:
        query = dns.message.from_wire(wire)
    except (dns.exception.DNSException, ValueError):
        return None
    if query.flags & dns.flags.QR or len(query.question) != 1:
        return None
    if query.opcode() != dns.opcode.QUERY:
        return Asked(query, zone, dns.rcode.NOTIMP)
    question = query.question[0]
    apex = dns.name.from_text(zone)
    if question.rdclass != dns.rdataclass.IN or not question.name.is_subdomain(apex):
        return Asked(query, zone, dns.rcode.REFUSED)
    if question.name == apex:
        return Asked(query, zone, soa=question.rdtype == dns.rdatatype.SOA)
    sealed = None
    if question.rdtype == dns.rdatatype.AAAA:
        sealed = sealed_in(question.name.to_text(), zone)
    return Asked(query, zone, sealed=sealed)


AT_ONCE = 64  # words that are looked at; more are dropped, and asked again by whoever sent them
CALLS = 32  # over TCP
CALL_S = 5.0
TAKE_S = 3.0  # as long as a resolver waits
Allow: TypeAlias = Callable[[str], bool]  # an address, which is forgotten


class PortTakenError(Exception):
    """Somebody listens there already, or the address is not this machine's."""


@asynccontextmanager
async def serving(take: Take, allow: Allow, host: str, port: int, zone: str) -> AsyncIterator[int]:
    """Answers inside the block; yields the port. Raises PortTakenError."""
    desk = _Desk(take, allow, zone)
    server, udp, port = await _opened(desk, host, port)
    async with asyncio.TaskGroup() as desk.group:
        await server.start_serving()
        try:
            yield port
        finally:
            udp.close()
            server.close()
            desk.close()


async def _opened(
    desk: "_Desk", host: str, port: int
) -> tuple[asyncio.Server, asyncio.DatagramTransport, int]:
    """Both on one port. Raises PortTakenError."""
    loop = asyncio.get_running_loop()
    try:
        server = await asyncio.start_server(
            desk.called, host, port, limit=2 * MAX_QUERY, start_serving=False
        )
    except OSError as error:
        raise PortTakenError(f"{host}:{port}") from error
    port = int(server.sockets[0].getsockname()[1])
    try:
        udp, _ = await loop.create_datagram_endpoint(
            lambda: _Datagrams(desk), local_addr=(host, port)
        )
    except OSError as error:
        server.close()
        raise PortTakenError(f"{host}:{port}") from error
    return server, udp, port


class _Desk:
    """What both sockets share."""

    def __init__(self, take: Take, allow: Allow, zone: str) -> None:
        self._take, self._allow, self._zone = take, allow, zone
        self.group: asyncio.TaskGroup | None = None  # of the words that are looked at
        self._tasks: set[asyncio.Task[None]] = set()
        self._calls = 0

    def read(self, wire: bytes, address: str) -> Asked | None:
        return read(wire, self._zone) if self._allow(address) else None

    async def answer(self, asked: Asked) -> bytes | None:
        """None when it took too long: nothing is said rather than something untrue."""
        if asked.sealed is None:
            return asked.answer("")
        try:
            async with asyncio.timeout(TAKE_S):
                return asked.answer(await self._take(asked.sealed))
        except TimeoutError:
            return None

    def datagram(self, transport: asyncio.DatagramTransport, wire: bytes, peer: "_Peer") -> None:
        asked = self.read(wire, str(peer[0]))
        if asked is None:
            return
        if asked.sealed is None:
            transport.sendto(asked.answer(""), peer)
        elif self.group is not None and len(self._tasks) < AT_ONCE:
            self._begin(self.group, self._reply(transport, asked, peer))

    def called(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.group is None or self._calls >= CALLS or len(self._tasks) >= AT_ONCE:
            writer.transport.abort()
        else:
            self._calls += 1
            self._begin(self.group, self._call(reader, writer))

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()

    def _begin(self, group: asyncio.TaskGroup, work: Coroutine[object, object, None]) -> None:
        task = group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _reply(
        self, transport: asyncio.DatagramTransport, asked: Asked, peer: "_Peer"
    ) -> None:
        said = await self.answer(asked)
        if said is not None and not transport.is_closing():
            transport.sendto(said, peer)

    async def _call(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One question, its length in front (RFC 7766)."""
        try:
            with suppress(OSError, EOFError, TimeoutError):
                async with asyncio.timeout(CALL_S):
                    size = int.from_bytes(await reader.readexactly(2), "big")
                    if size > MAX_QUERY:
                        return
                    address = (writer.get_extra_info("peername") or ("",))[0]
                    asked = self.read(await reader.readexactly(size), str(address))
                    said = await self.answer(asked) if asked else None
                    if said is not None:
                        writer.write(len(said).to_bytes(2, "big") + said)
                        await writer.drain()
        finally:
            self._calls -= 1
            writer.close()


_Peer: TypeAlias = tuple[str, int] | tuple[str, int, int, int]


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, desk: _Desk) -> None:
        self._desk = desk
        self._transport = cast("asyncio.DatagramTransport", None)  # once there is one

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: "_Peer") -> None:
        self._desk.datagram(self._transport, data, addr)
