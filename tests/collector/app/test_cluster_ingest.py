"""The leader's decisions on agents, from reports of ingest hosts, by a set clock."""

from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec
import pytest

from heliograph import services
from heliograph.units import MINUTE_US
from heliograph.v1 import intake_pb2 as pb
from heliograph_collector.app.cluster_ingest import ClusterIngest
from heliograph_collector.app.cluster_messages import HostReport, Resync
from heliograph_collector.app.host_board import DEAD_US, GRACE_US
from heliograph_collector.app.ingest_messages import (
    Departure,
    Offer,
    SessionRecord,
    SessionsChanged,
)
from heliograph_collector.detect.signal_reader import SignalReader
from heliograph_collector.detect.silence.detector import CoverageGap, SilenceDetector
from heliograph_collector.fleet import Fleet, open_keyring
from heliograph_collector.fleet.plans import build_default_plan, issue_plan
from heliograph_collector.fleet.registry import EnrolledAgent
from heliograph_collector.ingest.agent_directory import AgentDirectory
from heliograph_collector.ingest.geo.lookup import GeoLookup, PeerLocation
from heliograph_collector.model.records import JournalRow, RowKind
from support.hand_clock import HandClock
from support.intake import HOST
from support.written_journal import WrittenJournal

SECOND = 1_000_000
ROW_US = 1_641_380_400_000_099  # of each arrival; when the clock begins
SILENCE_S = 38  # 2.5 heartbeats of 15 s, and a little


@dataclass
class SilentBus:
    is_connected: bool = True


@dataclass
class Led:
    """A leader, and hosts that are played."""

    ingest: ClusterIngest
    journal: WrittenJournal
    bus: SilentBus
    clock: HandClock
    agents: list[EnrolledAgent]
    numbers: dict[str, int] = field(default_factory=dict)

    async def report(self, host: str, *, skipped: int = 0, **fields: Any) -> None:
        """Send a host's report; its first says that it has no sessions yet."""
        number = self.numbers[host] = self.numbers.get(host, 0) + 1 + skipped
        if number == 1:
            fields = {"open_keys": [], "is_again": True} | fields
        now_us = self.clock.monotonic_us() + 7  # a host's clock is its own
        report = HostReport(number=number, at_us=now_us, position=0, ranges_applied=0, **fields)
        await self.ingest.take(host, report)
        if number == 1:
            self.list_orders()  # it is asked to tell all again

    async def arrive(self, host: str, agent: int, key: int = 1, **fields: Any) -> None:
        await self.report(host, sessions=self.session(agent, key), **fields)

    def session(self, agent: int, key: int = 1) -> SessionsChanged:
        record = SessionRecord(
            key=key,
            agent=self.agents[agent],
            location=PeerLocation(country="KZ", asn=9198),
            hello=pb.Hello(country="KZ").SerializeToString(),
            arrived_us=self.clock.monotonic_us() + 7,
            row_us=ROW_US,
            carrier="session/0a",
        )
        return SessionsChanged(added=[record], agents=[], states=[], ended=[])

    async def tell_past(self, host: str, agent: int, reason: str, *, ended_s: int) -> None:
        """Report a session that ended before this leader asked."""
        heard_us = self.clock.monotonic_us() + 7 - ended_s * SECOND
        changes = self.session(agent, key=90 + agent)
        (record,) = changes.added
        past = SessionsChanged(
            added=[msgspec.structs.replace(record, arrived_us=heard_us - SECOND)],
            agents=[], states=[], ended=[],
            departures=[Departure(90 + agent, reason, "", heard_us)],
        )  # fmt: skip
        await self.report(host, sessions=past, is_past=True)

    async def leave(self, host: str, reason: str, goodbye: str = "", key: int = 1) -> None:
        heard_us = self.clock.monotonic_us() + 7
        departure = Departure(key, reason, goodbye, heard_us, heard_us + SECOND)
        changes = SessionsChanged(
            added=[], agents=[], states=[], ended=[key], departures=[departure]
        )
        await self.report(host, sessions=changes)

    async def pass_time(self, seconds: int, *hosts: str) -> None:
        """Let time pass while these hosts report each second."""
        for _ in range(seconds):
            self.clock.advance_us(SECOND)
            for host in hosts:
                await self.report(host)
            await self.ingest.judge()

    def list_orders(self) -> list[object]:
        orders: list[object] = []
        while not self.ingest._orders.empty():
            orders.append(self.ingest._orders.get_nowait()[1])
        return orders


def read_gaps(rows: Sequence[JournalRow]) -> list[CoverageGap]:
    """Return the coverage gaps that the detectors find in these rows."""
    reader = SignalReader(b"s" * 32)
    detector = SilenceDetector()
    for row in rows:
        for signal in reader.read_row(row, reader.derive_pseudonym(row.agent)):
            detector.on_signal(signal)
    return detector.coverage_gaps


@pytest.fixture
async def led(tmp_path: Path) -> AsyncIterator[Led]:
    clock = HandClock()
    with closing(Fleet(tmp_path)) as fleet:
        keyring = open_keyring(tmp_path, [HOST])
        plan = build_default_plan(services.load_shipped_services())
        issue_plan(fleet, keyring.signing, plan, clock.wall_us() // SECOND)
        now_s = clock.wall_us() // SECOND
        agents = [
            fleet.enrol_agent(
                fleet.create_invite(role="volunteer", uses=1, now_s=now_s, expires_s=now_s + 3_600),
                bytes([number]) * 32,
                "test",
                now_s,
            )
            for number in range(3)
        ]
        journal = WrittenJournal()
        bus = SilentBus()
        geo = GeoLookup(Path("absent"), Path("absent"), keyring.secret)
        # The bus and the journal of the model are not those of the servers.
        ingest = ClusterIngest(bus, journal, AgentDirectory(fleet), geo, clock)  # type: ignore[arg-type]
        await ingest.start()
        journal.rows.clear()
        yield Led(ingest, journal, bus, clock, agents)


async def test_agent_that_left_all_hosts_is_lost_since_it_was_heard(led: Led) -> None:
    await led.report("a")
    await led.arrive("a", 0)
    heard_us = led.clock.wall_us()
    await led.leave("a", "closed")
    await led.pass_time(SILENCE_S, "a")
    assert led.journal.list_kinds() == [RowKind.START, RowKind.LOST]
    assert led.journal.rows[1].agent == led.agents[0].id
    assert led.journal.rows[1].heard_us == heard_us
    assert led.journal.rows[1].closed_us == heard_us + SECOND
    assert led.journal.rows[1].carrier == "session/0a"


async def test_agent_that_moves_to_another_host_is_there(led: Led) -> None:
    for host in ("a", "b"):
        await led.report(host)
    await led.arrive("a", 0)
    await led.arrive("b", 0)
    await led.leave("a", "closed")
    await led.pass_time(5 * SILENCE_S, "a", "b")
    assert led.journal.list_kinds() == [RowKind.START]
    (session,) = led.ingest.connections
    assert session.offer(pb.CollectorMessage())
    (order,) = led.list_orders()
    assert isinstance(order, Offer)


async def test_goodbye_at_one_host_ends_what_is_half_open_at_another(led: Led) -> None:
    for host in ("a", "b"):
        await led.report(host)
    await led.arrive("a", 0)
    await led.arrive("b", 0)
    await led.leave("b", "goodbye", "shutdown")
    await led.leave("a", "silent")
    await led.pass_time(5 * SILENCE_S, "a", "b")
    assert led.journal.list_kinds() == [RowKind.START], "its host has written the goodbye"


async def test_agents_of_a_dead_host_are_unknown_and_then_not_counted(led: Led) -> None:
    """Agents of a dead host are unknown, then not counted; coverage has the fault."""
    for host in ("a", "b"):
        await led.report(host)
    await led.arrive("a", 0, key=1)
    await led.arrive("a", 1, key=2)
    await led.pass_time(DEAD_US // SECOND, "b")
    assert led.journal.list_kinds() == [RowKind.START, RowKind.FAULT, RowKind.FAULT]
    assert b'"country":"KZ"' in led.journal.rows[1].body
    await led.arrive("b", 1, key=1)
    await led.pass_time(2 * GRACE_US // SECOND, "b")
    assert led.journal.list_kinds()[3:] == [RowKind.GOODBYE, RowKind.FAULT]
    goodbye = led.journal.rows[3]
    assert goodbye.agent == led.agents[0].id
    (gap,) = read_gaps(led.journal.rows[1:])
    assert gap.country == "KZ"
    assert gap.until_us == goodbye.received_us, "as long as one of them was unknown"
    assert gap.until_us - gap.since_us == pytest.approx(DEAD_US + GRACE_US, abs=2 * SECOND)


async def test_gap_of_a_dead_host_ends_when_its_agents_are_back(led: Led) -> None:
    for host in ("a", "b"):
        await led.report(host)
    await led.arrive("a", 0)
    await led.pass_time(DEAD_US // SECOND + 20, "b")
    (gap,) = read_gaps(led.journal.rows[1:])
    assert gap.until_us > led.clock.wall_us() + GRACE_US // 2, "it is open"
    await led.arrive("b", 0)
    await led.pass_time(2, "b")
    (gap,) = read_gaps(led.journal.rows[1:])
    assert led.clock.wall_us() - 2 * SECOND <= gap.until_us <= led.clock.wall_us()


async def test_nobody_is_lost_while_a_host_is_not_heard(led: Led) -> None:
    """The agent that left may be there: until that host is dead, nothing is decided."""
    for host in ("a", "b"):
        await led.report(host)
    await led.arrive("a", 0)
    await led.leave("a", "closed")
    await led.pass_time(SILENCE_S - 10, "a", "b")
    await led.pass_time(DEAD_US // SECOND - 1, "a")
    assert led.journal.list_kinds() == [RowKind.START]
    await led.pass_time(2, "a")
    assert RowKind.LOST in led.journal.list_kinds()


async def test_new_leader_asks_for_all_and_records_their_arrivals(led: Led) -> None:
    led.numbers["a"] = 40  # it has reported to another
    await led.arrive("a", 0)
    assert [type(order) for order in led.list_orders()] == [Resync]
    assert led.ingest.problems() == ["1 of 1 ingest hosts are not heard."]
    await led.arrive("a", 0, open_keys=[1], is_again=True)
    await led.ingest.judge()
    assert led.journal.list_kinds() == [RowKind.START, RowKind.ARRIVAL]
    assert not led.ingest.problems()


async def test_agent_that_left_while_none_led_is_lost_at_once(led: Led) -> None:
    """An agent that left between leaders is lost once every host has reported.

    It is not lost if it is at another host by then.
    """
    led.clock.advance_us(100 * SECOND)
    await led.ingest.judge()
    led.ingest.board.expect("b", led.clock.monotonic_us())
    await led.report("a")
    await led.tell_past("a", 0, "silent", ended_s=SILENCE_S)
    await led.tell_past("a", 1, "silent", ended_s=SILENCE_S)
    await led.pass_time(3, "a")
    assert RowKind.LOST not in led.journal.list_kinds()
    await led.arrive("b", 1)
    await led.pass_time(3, "a", "b")
    (lost,) = [row for row in led.journal.rows if row.kind is RowKind.LOST]
    assert lost.agent == led.agents[0].id
    heard_s = (led.clock.wall_us() - lost.heard_us) / SECOND
    assert heard_s == pytest.approx(SILENCE_S + 6, abs=1)
    arrived = [row.agent for row in led.journal.rows if row.kind is RowKind.ARRIVAL]
    assert arrived == [led.agents[1].id], "the other is not here"


@pytest.mark.parametrize("went_there", [False, True])
async def test_agent_is_lost_beside_a_dead_host_only_if_it_did_not_go_there(
    led: Led, went_there: bool
) -> None:
    """An agent of a host that died unreported is lost, unless it has moved.

    The journal has the agents that arrived there.
    """
    led.ingest.board.expect("b", led.clock.monotonic_us())
    await led.report("a")
    await led.arrive("a", 0)
    told = JournalRow(kind=RowKind.ARRIVAL, agent=led.agents[0].id, received_us=ROW_US)
    written_again = replace(told, received_us=ROW_US + 5, heard_us=ROW_US)
    elsewhere = [replace(told, received_us=ROW_US + 7)] if went_there else []
    led.journal.arrivals = [told, written_again, *elsewhere]
    await led.leave("a", "silent")
    await led.pass_time(DEAD_US // SECOND + SILENCE_S, "a")
    assert (RowKind.LOST in led.journal.list_kinds()) is not went_there
    await led.pass_time(GRACE_US // SECOND, "a")
    assert RowKind.LOST in led.journal.list_kinds(), "who did not come back is lost in the end"


async def test_loss_of_all_hosts_is_a_restart_and_no_silence(led: Led) -> None:
    await led.report("a")
    await led.arrive("a", 0)
    heard_us = led.clock.wall_us()
    await led.pass_time(DEAD_US // SECOND + 100)
    await led.arrive("a", 0, skipped=3)
    await led.arrive("a", 0, open_keys=[1], is_again=True)
    await led.pass_time(GRACE_US // SECOND, "a")
    kinds = [kind for kind, _ in groupby(led.journal.list_kinds())]
    assert kinds == [RowKind.START, RowKind.FAULT, RowKind.START, RowKind.ARRIVAL]
    starts = [row for row in led.journal.rows if row.kind is RowKind.START]
    assert {row.heard_us for row in starts[1:]} == {heard_us}, "one fault that goes on"
    assert [row.carrier for row in starts] == ["takeover", *[""] * (len(starts) - 1)]


async def test_own_stall_or_lost_link_makes_nobody_silent(led: Led) -> None:
    await led.report("a")
    await led.arrive("a", 0)
    await led.leave("a", "closed")
    led.clock.advance_us(600 * SECOND)
    await led.ingest.judge()
    led.bus.is_connected = False
    await led.pass_time(600)
    led.bus.is_connected = True
    await led.ingest.judge()
    assert led.journal.list_kinds() == [RowKind.START]


async def test_start_goes_on_after_own_stall_until_each_host_has_told_all(led: Led) -> None:
    """After a leader's own stall, the start ends only when each host has reported all.

    A new leader has the report of one host and hangs: the grace is over, but not for the agents of
    the other host.
    """
    led.ingest.board.expect("b", led.clock.monotonic_us())
    await led.report("a")
    await led.arrive("a", 0)
    led.clock.advance_us(2 * GRACE_US)
    await led.ingest.judge()
    starts = list(led.journal.rows)
    assert led.journal.list_kinds() == [RowKind.START, RowKind.START]
    assert starts[0].heard_us == starts[1].heard_us, "one start that goes on"
    assert [type(order) for order in led.list_orders()] == [Resync], "who arrived, arrives again"
    await led.arrive("b", 1)
    led.clock.advance_us(2 * GRACE_US)
    await led.ingest.judge()
    later = led.journal.list_kinds()[2:]
    assert RowKind.START not in later, "a stall of a leader that knows all hosts awaits nobody"


async def test_start_that_goes_on_leaves_agents_of_a_dead_host_unknown(led: Led) -> None:
    """A start that lasts leaves agents of a dead host unknown, so it must be given up.

    The host was seen since the start, so the detectors do not await it.
    """
    led.ingest.board.expect("b", led.clock.monotonic_us())
    for host in ("a", "c"):
        await led.report(host)
    await led.arrive("a", 0)
    for _ in range(GRACE_US // SECOND + 60):
        await led.pass_time(1, "c")
        led.numbers["b"] = led.numbers.get("b", 1)
        await led.report("b", skipped=1)  # never whole: it is asked for all, in vain
    starts = led.journal.list_kinds().count(RowKind.START)
    assert starts >= GRACE_US // MINUTE_US
    assert [row.agent for row in led.journal.rows if row.kind is RowKind.GOODBYE] == [
        led.agents[0].id
    ]


async def test_new_host_tells_again_those_who_arrived_before_the_start(led: Led) -> None:
    """A new host's report again lists agents that arrived before the leader's start.

    While a new leader hung, a host began: its reports waited, and its agents' rows are older.
    """
    first = HostReport(number=1, at_us=0, position=0, ranges_applied=0, open_keys=[], is_again=True)
    await led.ingest.take("a", first)
    assert [type(order) for order in led.list_orders()] == [Resync]
    led.numbers["a"] = 1
    await led.arrive("a", 0)
    await led.arrive("a", 0, open_keys=[1], is_again=True)
    await led.ingest.judge()
    assert led.journal.list_kinds() == [RowKind.START, RowKind.ARRIVAL]
    assert led.list_orders() == [], "it is asked once"


async def test_rows_wait_for_a_journal_that_is_down(led: Led) -> None:
    await led.report("a")
    await led.arrive("a", 0)
    await led.leave("a", "closed")
    led.journal.is_down = True
    await led.pass_time(2 * SILENCE_S, "a")
    led.journal.is_down = False
    await led.pass_time(1, "a")
    assert led.journal.list_kinds() == [RowKind.START, RowKind.LOST]


async def test_missed_report_is_made_up_for(led: Led) -> None:
    await led.report("a")
    await led.arrive("a", 0, skipped=1)
    assert len(led.ingest.connections) == 0
    assert [type(order) for order in led.list_orders()] == [Resync]
    await led.arrive("a", 0, open_keys=[1], is_again=True)
    await led.arrive("a", 0, open_keys=[], is_again=True, key=2)
    assert [getattr(session, "key", 0) for session in led.ingest.connections] == [2]
