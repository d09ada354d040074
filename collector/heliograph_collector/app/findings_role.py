"""Findings for volunteers: each session gets what is published about its agent's network.

The same readings are on the public page, so that nothing is disclosed. They travel in the session,
so that no volunteer has to visit the collector's page, and only when a state has changed.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Mapping

from heliograph.units import SECOND_US
from heliograph.v1 import intake_pb2 as pb
from heliograph_collector.http.anonymity import format_band
from heliograph_collector.http.snapshot import NetworkColumn, Snapshot
from heliograph_collector.http.snapshot_cache import SnapshotCache
from heliograph_collector.ingest.presence import AgentConnection, ConnectionTable
from heliograph_collector.store.clickhouse import StoreError

LOOK_S = 60.0  # assumed; bins of the snapshot are longer
OTHERS = 0  # the network of the column "other networks"
_Place = tuple[str, str]  # country, service


class FindingsRole:
    """Looks at the newest snapshot, and tells sessions."""

    def __init__(self, snapshots: SnapshotCache, connections: ConnectionTable) -> None:
        self._snapshots = snapshots
        self._connections = connections

    async def run(self) -> None:
        """Run until cancelled; the store must be open."""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                snapshot = await self._snapshots.current_snapshot()
            except StoreError:
                continue
            if not snapshot.is_outdated:
                tell_findings(snapshot, self._connections)


def tell_findings(snapshot: Snapshot, connections: ConnectionTable) -> None:
    """Queue the findings of each agent's network where a state is new to it."""
    columns = {(c.group.country, c.group.asn, c.group.access): c for c in snapshot.columns}
    states_of_networks = _count_states(snapshot)
    built: dict[int, tuple[pb.Findings, bytes]] = {}
    for connection in connections.list_newest():
        column = _find_column(columns, connection)
        if column is None:
            continue
        if id(column) not in built:
            built[id(column)] = _build_findings(snapshot, column, states_of_networks)
        findings, states = built[id(column)]
        is_new = states != connection.told_states
        if is_new and connection.offer(pb.CollectorMessage(findings=findings)):
            connection.told_states = states


def _find_column(
    columns: dict[tuple[str, int, str], NetworkColumn], connection: AgentConnection
) -> NetworkColumn | None:
    """Return the column of the agent's network, or else that of the country's other networks."""
    country, asn, access = connection.network
    return columns.get((country, asn, access)) or columns.get((country, OTHERS, ""))


def _build_findings(
    snapshot: Snapshot, column: NetworkColumn, states_of_networks: Mapping[_Place, Counter[str]]
) -> tuple[pb.Findings, bytes]:
    """Build the message, and its states alone: a count that changed is not told by itself.

    Of the country it counts networks whose state the page shows, so that it discloses no more.
    """
    titles = dict(snapshot.services)
    findings = pb.Findings(
        at_s=snapshot.at_us // SECOND_US, country=column.group.country, asn=column.group.asn
    )
    for name, reading in column.readings.items():
        if reading.cell is None:
            continue
        alike = states_of_networks.get((column.group.country, name), Counter())
        findings.findings.add(
            service=name,
            title=titles.get(name, name),
            state=reading.cell.state,
            since_s=reading.since.latest_us // SECOND_US if reading.since else 0,
            vantages=format_band(reading.cell.vantages, snapshot.k),
            networks=alike.total(),
            networks_alike=alike[reading.cell.state],
        )
    states = " ".join(f"{each.service}={each.state}" for each in findings.findings)
    return findings, f"{column.group.asn} {states}".encode()


def _count_states(snapshot: Snapshot) -> Mapping[_Place, Counter[str]]:
    """Count each country's networks by the state of each service, without what is withheld."""
    counts: defaultdict[_Place, Counter[str]] = defaultdict(Counter)
    for column in snapshot.columns:
        if column.group.asn != OTHERS:
            for name, reading in column.readings.items():
                if reading.cell is not None:
                    counts[column.group.country, name][reading.cell.state] += 1
    return counts
