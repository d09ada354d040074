"""DNS server for beacons: it answers only for its zone, with short answers.

The name `whoami` in the zone answers with the network of the resolver that asks (A for IPv4, AAAA
for IPv6), so that an agent learns which resolver stands behind its own. Nothing is stored.

UDP and TCP share one port. Both are limited in number, time and rate; over TCP each network has a
share of the connections, and the newest displaces the oldest.
"""

import asyncio
import logging
import sqlite3
import struct
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
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

from heliograph import dns_beacon, keys
from heliograph.address import enclosing_network
from heliograph.clock import Clock
from heliograph.dns_beacon import extract_sealed
from heliograph.pending_connections import PendingConnections
from heliograph.units import MINUTE_US
from heliograph_collector.fleet.code_store import VoiceCodeStore
from heliograph_collector.fleet.keyring import SealingKeys
from heliograph_collector.ingest.agent_directory import AgentDirectory
from heliograph_collector.ingest.rate_limits import QueryRateLimit
from heliograph_collector.ingest.voice_reports import build_code, deliver_codes
from heliograph_collector.model.errors import PortTakenError
from heliograph_collector.store.journal.journal import JournalError
from heliograph_collector.store.journal.protocol import JournalProtocol

CARRIER = "dns"
log = logging.getLogger("heliograph.intake")


@dataclass(frozen=True, slots=True)
class DnsBeaconHandler:
    """Open and store beacons."""

    code_store: VoiceCodeStore
    sealing_keys: SealingKeys
    directory: AgentDirectory
    journal: JournalProtocol
    clock: Clock

    async def handle(self, sealed: bytes) -> str:
        """Return the address that acknowledges a beacon, once it is on disk.

        A repeated beacon gets the same answer, because the first answer may have been lost, and
        counts once. An invalid beacon gets "".
        """
        try:
            answer = await asyncio.to_thread(self._open_and_store, sealed)
        except sqlite3.Error as error:
            log.warning("a word by DNS was not kept: %s", error)
            return ""
        try:
            if answer:
                await deliver_codes(self.code_store, self.directory, self.journal)
        except (sqlite3.Error, JournalError) as error:
            log.warning("a word by DNS has to wait: %s", error)
        return answer

    def _open_and_store(self, sealed: bytes) -> str:
        for sealing_key in self.sealing_keys.list_all():
            with suppress(dns_beacon.BeaconError):
                return self._verify_beacon(
                    dns_beacon.open_beacon(sealed, sealing_key), sealing_key, sealed
                )
        return ""

    def _verify_beacon(
        self, beacon: dns_beacon.OpenedBeacon, sealing_key: keys.SealingKey, sealed: bytes
    ) -> str:
        agent = self.directory.get(beacon.agent)
        now_us = self.clock.wall_us()
        if agent is None or agent.revoked_s is not None:
            return ""
        for public_key in self.directory.list_keys(agent.id):
            with suppress(ValueError):  # not a point of the curve: such a key proves nothing
                key = sealing_key.derive_shared_key(public_key, keys.BEACON)
                report = beacon.verify_report(key, now_us // MINUTE_US)
                if report is not None:
                    self.code_store.add(build_code(report, agent, now_us, CARRIER))
                    return dns_beacon.make_answer(key, sealed)
        return ""


MAX_QUERY_BYTES = 512
MAX_EXTRA_BYTES = 64  # by which an answer may exceed its question
_MAX_LABELS = 8  # below the zone; a beacon has three. An answer costs the square of the labels
_LABEL_LIMIT = 64  # a longer length is a pointer (RFC 1035 section 4.1.4)
_OPT_START = b"\0\0\x29"  # the root's name and type OPT
WHOAMI = "whoami"  # label below the zone
_SOA = "{zone} {zone} 1 3600 600 604800 0"


@dataclass(frozen=True, slots=True)
class DnsQuery:
    """Query that gets an answer; `sealed` is the content of its name, None if invalid."""

    query: dns.message.Message
    zone: str
    rcode: dns.rcode.Rcode = dns.rcode.NOERROR
    sealed: bytes | None = None
    wants_soa: bool = False
    wants_querier: bool = False

    def build_answer(self, address: str) -> bytes:
        """Build the answer, at most MAX_EXTRA_BYTES longer than the question."""
        response = dns.message.make_response(self.query, recursion_available=False)
        response.set_rcode(self.rcode)
        if self.rcode == dns.rcode.NOERROR:
            response.flags |= dns.flags.AA
        question = self.query.question[0]
        if address:
            rdtype = "AAAA" if ":" in address else "A"
            if rdtype == dns.rdatatype.to_text(question.rdtype):
                response.answer.append(dns.rrset.from_text(question.name, 0, "IN", rdtype, address))
        if self.wants_soa:
            soa_text = _SOA.format(zone=f"{self.zone.strip('.')}.")
            response.answer.append(dns.rrset.from_text(question.name, 0, "IN", "SOA", soa_text))
        return response.to_wire()


def build_whoami_answer(query: DnsQuery, querier: str) -> bytes:
    """Build the answer to a query without a beacon.

    The answer to a whoami query is the querier's /24 or /48.
    """
    network = enclosing_network(querier) if query.wants_querier else ""
    return query.build_answer(network.partition("/")[0])


def _parse_message(wire: bytes, max_labels: int) -> dns.message.Message | None:
    """Parse header and question of a plain query, and whether it has EDNS (RFC 6891).

    Nothing else is parsed: records with compressed names in 512 bytes cost 60 ms, which at the rate
    of queries that is let in would hold the event loop for good.
    """
    if not 12 < len(wire) <= MAX_QUERY_BYTES:
        return None
    questions, answers, authorities, extras = struct.unpack_from(">4H", wire, 4)
    if (questions, answers, authorities) != (1, 0, 0) or extras > 1:
        return None
    end = 12  # of the name, which nothing before it can shorten by a pointer
    labels = 0
    while end < len(wire) and 0 < wire[end] < _LABEL_LIMIT:
        end += 1 + wire[end]
        labels += 1
    if wire[end : end + 1] != b"\0" or labels > max_labels:
        return None
    try:
        query = dns.message.from_wire(wire, question_only=True)
    except (dns.exception.DNSException, ValueError):
        return None
    if wire[end + 5 :].startswith(_OPT_START):
        query.use_edns(0)
    return query


def parse_query(wire: bytes, zone: str) -> DnsQuery | None:
    """Parse a query; return None for one that gets no answer."""
    query = _parse_message(wire, zone.count(".") + 1 + _MAX_LABELS)
    if query is None or query.flags & dns.flags.QR or len(query.question) != 1:
        return None
    if query.opcode() != dns.opcode.QUERY:
        return DnsQuery(query, zone, dns.rcode.NOTIMP)
    question = query.question[0]
    apex = dns.name.from_text(zone)
    if question.rdclass != dns.rdataclass.IN or not question.name.is_subdomain(apex):
        return DnsQuery(query, zone, dns.rcode.REFUSED)
    if question.name == apex:
        return DnsQuery(query, zone, wants_soa=question.rdtype == dns.rdatatype.SOA)
    if question.name == dns.name.from_text(WHOAMI, origin=apex):
        return DnsQuery(query, zone, wants_querier=True)
    sealed = None
    if question.rdtype == dns.rdatatype.AAAA:
        sealed = extract_sealed(question.name.to_text(), zone)
    return DnsQuery(query, zone, sealed=sealed)


MAX_BEACONS_IN_WORK = 64  # beacons; further ones are dropped, and their resolvers repeat them
MAX_TCP_CONNECTIONS = 32  # over TCP
TCP_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 3.0  # assumed; how long a resolver waits


@asynccontextmanager
async def serve_dns(
    beacon_handler: DnsBeaconHandler, limit: QueryRateLimit, host: str, port: int, zone: str
) -> AsyncIterator[int]:
    """Serve DNS inside the block and yield the port. Raises PortTakenError."""
    handler = _QueryHandler(beacon_handler, limit, zone)
    server, udp, port = await _open_sockets(handler, host, port)
    async with asyncio.TaskGroup() as handler.group:
        await server.start_serving()
        try:
            yield port
        finally:
            udp.close()
            server.close()
            handler.close()


async def _open_sockets(
    handler: "_QueryHandler", host: str, port: int
) -> tuple[asyncio.Server, asyncio.DatagramTransport, int]:
    """Open TCP and UDP sockets on one port. Raises PortTakenError."""
    loop = asyncio.get_running_loop()
    try:
        server = await asyncio.start_server(
            handler.on_connection, host, port, limit=2 * MAX_QUERY_BYTES, start_serving=False
        )
    except OSError as error:
        raise PortTakenError(f"{host}:{port}") from error
    port = int(server.sockets[0].getsockname()[1])
    try:
        udp, _ = await loop.create_datagram_endpoint(
            partial(_DatagramProtocol, handler), local_addr=(host, port)
        )
    except OSError as error:
        server.close()
        raise PortTakenError(f"{host}:{port}") from error
    return server, udp, port


class _QueryHandler:
    """Handler of queries, limits and tasks for both sockets."""

    def __init__(self, beacon_handler: DnsBeaconHandler, limit: QueryRateLimit, zone: str) -> None:
        self._beacon_handler = beacon_handler
        self._limit = limit
        self._zone = zone
        self.group: asyncio.TaskGroup | None = None  # of beacons in work
        self._tasks: set[asyncio.Task[None]] = set()
        self._tcp_connections = PendingConnections(MAX_TCP_CONNECTIONS)

    def parse_allowed(self, wire: bytes, address: str) -> DnsQuery | None:
        return parse_query(wire, self._zone) if self._limit.allows(address) else None

    async def answer_query(self, query: DnsQuery, querier: str) -> bytes | None:
        """Answer a query; return None after a timeout, because a late answer may be false."""
        if query.sealed is None:
            return build_whoami_answer(query, querier)
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                return query.build_answer(await self._beacon_handler.handle(query.sealed))
        except TimeoutError:
            return None

    def on_datagram(self, transport: asyncio.DatagramTransport, wire: bytes, peer: "_Peer") -> None:
        query = self.parse_allowed(wire, str(peer[0]))
        if query is None:
            return
        if query.sealed is None:
            transport.sendto(build_whoami_answer(query, str(peer[0])), peer)
        elif self.group is not None and self._count_datagrams() < MAX_BEACONS_IN_WORK:
            self._start_task(self.group, self._reply_datagram(transport, query, peer))

    def on_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.group is None or len(self._tasks) >= MAX_BEACONS_IN_WORK + MAX_TCP_CONNECTIONS:
            writer.transport.abort()
        else:
            self._start_task(self.group, self._serve_connection(reader, writer))

    def _count_datagrams(self) -> int:
        return len(self._tasks) - len(self._tcp_connections)

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()

    def _start_task(self, group: asyncio.TaskGroup, reply: Coroutine[object, object, None]) -> None:
        task = group.create_task(reply)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _reply_datagram(
        self, transport: asyncio.DatagramTransport, query: DnsQuery, peer: "_Peer"
    ) -> None:
        answer = await self.answer_query(query, str(peer[0]))
        if answer is not None and not transport.is_closing():
            transport.sendto(answer, peer)

    async def _serve_connection(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Answer one length-prefixed query (RFC 7766)."""
        address = str((writer.get_extra_info("peername") or ("",))[0])
        networks = self._limit.list_networks(address)
        try:
            with suppress(OSError, EOFError, TimeoutError):
                async with self._tcp_connections.hold_place(networks, TCP_TIMEOUT_S):
                    size = int.from_bytes(await reader.readexactly(2), "big")
                    if size > MAX_QUERY_BYTES:
                        return
                    query = self.parse_allowed(await reader.readexactly(size), address)
                    answer = await self.answer_query(query, address) if query else None
                    if answer is not None:
                        writer.write(len(answer).to_bytes(2, "big") + answer)
                        await writer.drain()
        finally:
            writer.close()


_Peer: TypeAlias = tuple[str, int] | tuple[str, int, int, int]


class _DatagramProtocol(asyncio.DatagramProtocol):
    def __init__(self, handler: _QueryHandler) -> None:
        self._handler = handler
        self._transport = cast("asyncio.DatagramTransport", None)  # set by connection_made

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: "_Peer") -> None:
        self._handler.on_datagram(self._transport, data, addr)
