"""A beacon by DNS before a real intake: taken in once, answered, and no amplifier."""

import asyncio
import random
import struct
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import dns.asyncquery
import dns.message
import dns.rcode
import pytest

from heliograph import dns_beacon, keys
from heliograph.clock import SystemClock
from heliograph.voice_code import CLASSES, ServiceState, StatusReport
from heliograph_agent.net.config import NetConfig
from heliograph_agent.net.system_net import SystemNetFactory
from heliograph_agent.net.trace import StepTrace
from heliograph_agent.state import Collector, State
from heliograph_agent.uplink.dns_beacon import DnsBeacon, StatesByClass
from heliograph_collector.ingest.dns_server import (
    MAX_EXTRA_BYTES,
    MAX_QUERY_BYTES,
    MAX_TCP_CONNECTIONS,
    build_whoami_answer,
    parse_query,
    serve_dns,
)
from heliograph_collector.ingest.geo.lookup import GeoLookup
from heliograph_collector.ingest.rate_limits import BURST_S, PREFIX_PER_S, QueryRateLimit
from heliograph_collector.ingest.voice_reports import FIRST_SEQUENCE
from heliograph_collector.model.errors import PortTakenError
from heliograph_collector.model.records import JournalRow, RowKind
from support.hand_clock import HandClock
from support.intake import HOST, Caller, IngestServer, enrolled, ingest_server

CLOCK = SystemClock()
ZONE = "b.collector.example"
LIVES = dict.fromkeys(CLASSES, ServiceState.UNKNOWN) | {
    "dns": ServiceState.ANSWERS,
    "foreign": ServiceState.FAILS,
}
DEADLINE_S = 120.0
PRIVATE = bytes(range(32))


class Source:
    """A source of the values that an agent's beacon reports."""

    def get_zone(self) -> str:
        return ZONE

    def get_service_states(self) -> StatesByClass:
        return LIVES


@dataclass
class DnsEntrance:
    server: IngestServer
    port: int

    async def ask(self, name: str, kind: str = "AAAA", *, tcp: bool = False) -> dns.message.Message:
        query = dns.message.make_query(name, kind, use_edns=True)
        by = dns.asyncquery.tcp if tcp else dns.asyncquery.udp
        reply = await by(query, HOST, timeout=DEADLINE_S, port=self.port)
        assert len(reply.to_wire()) <= len(query.to_wire()) + MAX_EXTRA_BYTES
        return reply

    async def said(self, name: str, *, tcp: bool = False) -> str:
        """The address that was answered, "" for none."""
        answer = (await self.ask(name, tcp=tcp)).answer
        return answer[0][0].to_text() if answer else ""

    async def words(self) -> list[JournalRow]:
        return await self.server.rows(RowKind.ENVELOPE)


def serve(server: IngestServer, port: int = 0) -> AbstractAsyncContextManager[int]:
    limit = QueryRateLimit(server.intake.geo, CLOCK)
    return serve_dns(server.intake.beacon_handler, limit, HOST, port, ZONE)


@asynccontextmanager
async def door(data: Path) -> AsyncIterator[DnsEntrance]:
    async with ingest_server(data) as server, serve(server) as port:
        yield DnsEntrance(server, port)


@pytest.fixture
async def at(tmp_path: Path) -> AsyncIterator[DnsEntrance]:
    async with door(tmp_path) as at:
        yield at


def name_by(caller: Caller, minute: int, sealing: keys.SealingKey) -> tuple[str, str]:
    """Return the name to query, and the expected answer."""
    key = caller.signer.derive_shared_key(sealing.public, keys.BEACON)
    name = dns_beacon.make_query_name(
        StatusReport(minute, LIVES), key, caller.id, sealing.public, ZONE
    )
    sealed = dns_beacon.extract_sealed(name, ZONE)
    assert sealed is not None
    return name, dns_beacon.make_answer(key, sealed)


def now_min() -> int:
    return CLOCK.wall_us() // 60_000_000


async def test_beacon_is_stored_once_and_answered_each_time(at: DnsEntrance) -> None:
    caller, minute = await enrolled(at.server), now_min()
    name, answer = name_by(caller, minute, at.server.keyring.sealing)
    assert await at.said(name) == answer
    assert await at.said(name.upper()) == answer, "its answer may have been lost"
    assert await at.said(name, tcp=True) == answer
    again, other = name_by(caller, minute, at.server.keyring.sealing)
    assert (await at.said(again), other != answer) == (other, True)
    (row,) = await at.words()
    assert (row.carrier, row.sequence, row.agent) == ("dns", FIRST_SEQUENCE + minute, caller.id)
    assert row.prefix == "", "a resolver is nobody's vantage"


async def test_agent_sends_beacon_and_verifies_its_answer(tmp_path: Path) -> None:
    async with door(tmp_path / "data") as at:
        caller = await enrolled(at.server, signer=keys.SigningKey(PRIVATE))
        state = State(tmp_path / "agent")
        state.prepare()
        state.write("agent.key", PRIVATE)
        keyring = at.server.keyring
        known = Collector(
            endpoint="", pin=bytes(32), certificate="", signing_key=keyring.signing.public,
            sealing_key=keyring.sealing.public, agent=caller.id,
        )  # fmt: skip
        word = DnsBeacon(state, Source())
        words, trace = word.make_query(known, CLOCK.wall_us()), StepTrace(CLOCK)
        assert words is not None
        net = SystemNetFactory(NetConfig(resolver=f"{HOST}:{at.port}"), CLOCK, random.Random(1))
        await net.bind(trace).resolve(words.name, query_type="AAAA")
        assert word.record(words, trace, CLOCK.monotonic_us())
        (row,) = await at.words()
        assert row.carrier == "dns"


async def test_forged_stale_and_revoked_beacons_are_not_answered(at: DnsEntrance) -> None:
    caller, minute = await enrolled(at.server), now_min()
    sealing = at.server.keyring.sealing
    good, _ = name_by(caller, minute, sealing)
    swapped = ("b" if good[70] != "b" else "c").join((good[:70], good[71:]))
    old, _ = name_by(caller, minute - 5_000, sealing)
    ahead, _ = name_by(caller, minute + 60, sealing)
    elsewhere, _ = name_by(caller, minute, keys.SealingKey(bytes(32)))
    revoked = await enrolled(at.server)
    gone, _ = name_by(revoked, minute, sealing)
    at.server.fleet.revoke_agent(revoked.id, 1)
    at.server.intake.directory.reload_fleet(force=True)
    for name in (swapped, old, ahead, elsewhere, gone, f"www.{ZONE}", ZONE):
        assert await at.said(name) == ""
    assert await at.words() == []


@pytest.mark.parametrize("tcp", [False, True])
async def test_whoami_tells_the_resolvers_network_and_no_address(
    at: DnsEntrance, *, tcp: bool
) -> None:
    reply = await at.ask(f"WhoAmI.{ZONE}", "A", tcp=tcp)
    assert [record.to_text() for record in reply.answer[0]] == ["127.0.0.0"]
    assert reply.answer[0].ttl == 0, "a later resolver must not get it"
    for kind in ("AAAA", "TXT", "ANY"):
        empty = await at.ask(f"whoami.{ZONE}", kind)
        assert (empty.rcode(), empty.answer) == (dns.rcode.NOERROR, [])
    assert await at.words() == []


def test_whoami_cuts_an_ipv6_address_to_its_network() -> None:
    query = parse_query(dns.message.make_query(f"whoami.{ZONE}", "AAAA").to_wire(), ZONE)
    assert query is not None
    wire = build_whoami_answer(query, "2001:db8:1:2::53")
    assert dns.message.from_wire(wire).answer[0][0].to_text() == "2001:db8:1::"
    assert dns.message.from_wire(build_whoami_answer(query, "192.0.2.53")).answer == []


async def test_other_zones_are_refused(at: DnsEntrance) -> None:
    refused = await at.ask("www.example.org")
    assert (refused.rcode(), len(refused.answer)) == (dns.rcode.REFUSED, 0)
    soa = await at.ask(ZONE, "SOA")
    assert soa.answer[0].name.to_text() == f"{ZONE}."
    for kind in ("ANY", "TXT", "NS", "A"):
        empty = await at.ask(f"x.{ZONE}", kind)
        assert (empty.rcode(), empty.answer) == (dns.rcode.NOERROR, [])


@pytest.mark.parametrize(
    "wire",
    [
        b"",
        b"\0" * 11,
        random.Random(1).randbytes(300),
        dns.message.make_response(dns.message.make_query(ZONE, "SOA")).to_wire(),
        dns.message.make_query(ZONE, "SOA").to_wire() + bytes(MAX_QUERY_BYTES),
        struct.pack("!6H", 1, 0, 2, 0, 0, 0) + b"\x01x\0\0\x01\0\x01" * 2,
    ],
)
def test_malformed_query_gets_no_answer(wire: bytes) -> None:
    assert parse_query(wire, ZONE) is None


def _crafted(counts: tuple[int, int, int, int], name: bytes, record: bytes) -> bytes:
    """Return a query full of records that each point to a name of 100 labels."""
    head = struct.pack(">HH4H", 1, 0x100, *counts) + name + struct.pack(">HH", 28, 1)
    return (head + record * MAX_QUERY_BYTES)[:MAX_QUERY_BYTES]


LONG_NAME = b"\1a" * 100 + b"\0"
CNAME = b"\xc0\x0c" + struct.pack(">HHIH", 5, 1, 0, 2) + b"\xc0\x0c"
OPT = b"\0" + struct.pack(">HHIH", 41, 1_232, 0, 480) + bytes((253, 233, 0, 0)) * 120


@pytest.mark.parametrize(
    "wire",
    [
        _crafted((1, 21, 0, 0), LONG_NAME, CNAME),
        _crafted((1, 0, 0, 21), LONG_NAME, CNAME),
        _crafted((50, 0, 0, 0), LONG_NAME, b"\xc0\x0c" + struct.pack(">HH", 28, 1)),
        _crafted((1, 0, 0, 1), b"\0", b"\0" + struct.pack(">HHIH", 55, 1, 0, 470)),
        _crafted((1, 0, 0, 1), b"\0", OPT),
        _crafted((1, 0, 0, 0), b"\1a" * 126 + b"\0", b""),
        _crafted((1, 0, 0, 0), b"\xc0\x04", b""),
    ],
    ids=["answers", "extras", "questions", "another extra", "options", "labels", "pointer"],
)
def test_no_query_costs_more_than_its_question(wire: bytes) -> None:
    """Counted in calls; the first cost 55,000, which is 60 ms of the event loop."""
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        query = parse_query(wire, ZONE)
        if query is not None:
            query.build_answer("")
    finally:
        sys.setprofile(None)
    assert calls < 3_000


def test_edns_is_answered_in_kind() -> None:
    for edns in (True, False):
        query = dns.message.make_query(f"a.{ZONE}", "TXT", use_edns=edns)
        asked = parse_query(query.to_wire(), ZONE)
        assert asked is not None
        assert (dns.message.from_wire(asked.build_answer("")).edns >= 0) is edns


def test_answer_is_hardly_longer_than_the_query() -> None:
    rng, said = random.Random(2), 0
    for _ in range(2_000):
        labels = [bytes(rng.choices(b"abcABC09", k=rng.randint(1, 60))).decode() for _ in range(3)]
        name = ".".join((*labels[: rng.randint(0, 3)], rng.choice([ZONE, "example.org"])))
        query = dns.message.make_query(
            name[-250:], rng.choice(["A", "AAAA", "ANY", "NS", "SOA", "DNSKEY", "TXT"]),
            use_edns=rng.random() < 0.5, payload=4_096, want_dnssec=rng.random() < 0.5,
        )  # fmt: skip
        wire = query.to_wire()
        asked = parse_query(wire, ZONE)
        if asked is not None:
            said += 1
            more = len(asked.build_answer("2a00::1" if asked.sealed else "")) - len(wire)
            assert more <= (MAX_EXTRA_BYTES if asked.wants_soa or asked.sealed else 0)
    assert said > 1_500


def test_query_rate_is_limited_per_prefix(tmp_path: Path) -> None:
    clock = HandClock()
    limit = QueryRateLimit(GeoLookup(tmp_path / "none", tmp_path / "none", bytes(32)), clock)
    asked = int(PREFIX_PER_S * BURST_S)
    assert sum(limit.allows(f"192.0.2.{n % 250}") for n in range(3 * asked)) == asked
    assert limit.allows("198.51.100.1"), "others are"
    clock.advance_us(1_000_000)
    assert sum(limit.allows("192.0.2.9") for _ in range(100)) == int(PREFIX_PER_S)


async def test_idle_tcp_connections_of_some_networks_shut_nobody_out(at: DnsEntrance) -> None:
    """Whole sites hold all places and ask nothing; others come in all the same."""
    idle = []
    async with asyncio.timeout(DEADLINE_S):
        for number in range(MAX_TCP_CONNECTIONS + 8):
            source = (f"127.0.{number % 5}.1", 0)
            idle.append(await asyncio.open_connection(HOST, at.port, local_addr=source))
        soa = await at.ask(ZONE, "SOA", tcp=True)
    assert soa.answer
    for _, writer in idle:
        writer.close()


async def test_one_network_has_a_share_of_the_tcp_connections(at: DnsEntrance) -> None:
    """One network has a share of the TCP connections, and displaces no other."""
    async with asyncio.timeout(DEADLINE_S):
        other = await asyncio.open_connection(HOST, at.port, local_addr=("127.0.9.1", 0))
        flood = [await asyncio.open_connection(HOST, at.port) for _ in range(MAX_TCP_CONNECTIONS)]
        for reader, _ in flood[: MAX_TCP_CONNECTIONS // 2]:
            with suppress(ConnectionError):
                assert await reader.read() == b""
        wire = dns.message.make_query(ZONE, "SOA").to_wire()
        other[1].write(len(wire).to_bytes(2, "big") + wire)
        assert await other[0].readexactly(2), "its place was not taken"
    for _, writer in (other, *flood):
        writer.close()


async def test_idle_tcp_connection_is_closed_and_taken_port_raises(at: DnsEntrance) -> None:
    reader, writer = await asyncio.open_connection(HOST, at.port)
    writer.write(b"\xff\xff")
    async with asyncio.timeout(DEADLINE_S):
        assert await reader.read() == b""
    writer.close()
    with pytest.raises(PortTakenError):
        async with serve(at.server, at.port):
            pytest.fail("two listen on one port")
