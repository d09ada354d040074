"""A session gets its network's published findings once per change of state."""

import asyncio
from dataclasses import replace

from heliograph.observation import Link
from heliograph.v1 import intake_pb2 as pb
from heliograph_collector.app.publish_role import tell_findings
from heliograph_collector.fleet.registry import EnrolledAgent
from heliograph_collector.http.backend import AgentCounts
from heliograph_collector.http.snapshot import (
    ChangeBracket,
    NetworkColumn,
    NetworkGroup,
    ServiceReading,
    Snapshot,
    SnapshotCoverage,
)
from heliograph_collector.ingest.geo.lookup import PeerLocation
from heliograph_collector.ingest.presence import AgentConnection, ConnectionTable
from heliograph_collector.model.records import Cell, VerdictState

AT_US = 1_641_420_000_000_000


def connection(number: int, asn: int) -> AgentConnection:
    agent = EnrolledAgent(
        id=bytes([number]) * 16, public_key=bytes(32), version="", role="volunteer",
        created_s=0, last_seen_s=None, revoked_s=None,
    )  # fmt: skip
    return AgentConnection(
        agent=agent, location=PeerLocation("KZ", asn), hello=pb.Hello(access="mobile"),
        last_heard_us=0, outbox=asyncio.Queue(4),
    )  # fmt: skip


def column(asn: int, access: str, **states: VerdictState | None) -> NetworkColumn:
    readings = {}
    for name, state in states.items():
        cell = state and Cell(
            country="KZ", region="", asn=asn, access=access, service=name, start_us=AT_US,
            bin_s=300, vantages=33, reachable=0, blocked=30, down=0, unknown=3, silent=0,
            state=state, confidence=0.9,
        )  # fmt: skip
        since = ChangeBracket(AT_US - 1_500_000_000, AT_US - 1_200_000_000)
        readings[name] = ServiceReading(service=name, cell=cell or None, since=since, strip=())
    group = NetworkGroup("KZ", asn, access)
    return NetworkColumn(group=group, link=Link.ONLINE, vantages=33, silent=0, readings=readings)


def snapshot(*columns: NetworkColumn) -> Snapshot:
    coverage = SnapshotCoverage(
        agents=AgentCounts(), vantages=0, first_us=None, gaps=(), country_gaps={}
    )
    return Snapshot(
        at_us=AT_US, since_us=0, k=5, services=(("telegram", "Telegram"),), columns=columns,
        coverage=coverage,
    )  # fmt: skip


def take(connection: AgentConnection) -> list[pb.Findings]:
    found = []
    while not connection.outbox.empty():
        message = connection.outbox.get_nowait()
        assert message is not None
        found.append(message.findings)
    return found


async def test_an_agent_is_told_in_how_many_networks_of_its_country_it_is_alike() -> None:
    table = ConnectionTable()
    here = connection(1, 9_198)
    table.add(here)
    blocked = VerdictState.BLOCKED
    abroad = column(15_169, "fixed", telegram=blocked)
    shown = snapshot(
        column(9_198, "mobile", telegram=blocked),
        column(48_503, "mobile", telegram=VerdictState.REACHABLE),
        column(29_355, "mobile", telegram=blocked),
        column(48_716, "hosting", telegram=None),  # withheld, or without fresh data
        column(0, "", telegram=blocked),
        replace(abroad, group=NetworkGroup("DE", 15_169, "fixed")),
    )
    tell_findings(shown, table)
    (told,) = take(here)
    assert (told.findings[0].networks_alike, told.findings[0].networks) == (2, 3)
    own, *_ = shown.columns
    tell_findings(snapshot(own), table)
    assert take(here) == [], "a count that changed is not told by itself"


async def test_an_agent_is_told_of_its_own_network_when_a_state_is_new() -> None:
    table = ConnectionTable()
    here, small = connection(1, 9_198), connection(2, 64_500)
    for each in (here, small):
        table.add(each)
    blocked, others = VerdictState.BLOCKED, column(0, "", telegram=VerdictState.REACHABLE)
    first = snapshot(column(9_198, "mobile", telegram=blocked, signal=None), others)
    tell_findings(first, table)
    (told,) = take(here)
    (finding,) = told.findings  # nothing is said of what is withheld, or has no fresh data
    assert (told.asn, finding.title, finding.state, finding.vantages) == (
        9_198, "Telegram", "blocked", "20-49",
    )  # fmt: skip
    assert finding.since_s == AT_US // 1_000_000 - 1_200
    assert [(each.asn, each.findings[0].state) for each in take(small)] == [(0, "reachable")]

    tell_findings(replace(first, at_us=AT_US + 60_000_000), table)
    assert take(here) == [], "no state has changed"
    tell_findings(snapshot(column(9_198, "mobile", telegram=VerdictState.UNKNOWN)), table)
    assert [each.findings[0].state for each in take(here)] == ["unknown"]
    assert take(small) == [], "its network is not shown now, and nothing is made up"


async def test_an_agent_of_which_nothing_is_published_learns_once_where_it_is() -> None:
    table = ConnectionTable()
    abroad = connection(1, 9_009)
    abroad.hello.country = "DE"
    nowhere = connection(2, 1)
    nowhere.vantage = replace(nowhere.vantage, country="ZZ")
    table.add(abroad)
    table.add(nowhere)
    tell_findings(snapshot(), table)
    tell_findings(snapshot(), table)
    (told,) = take(abroad)
    assert (told.country, told.asn, len(told.findings)) == ("KZ", 0, 0)
    assert take(nowhere) == []
    tell_findings(snapshot(column(9_009, "mobile", telegram=VerdictState.BLOCKED)), table)
    assert [each.service for each in take(abroad)[0].findings] == ["telegram"]
