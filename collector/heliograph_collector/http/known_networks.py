"""Which networks anything public names: of an unknown one zeros would pass for a measurement."""

from typing import Protocol

from heliograph.units import DAY_US
from heliograph_collector.http.backend import ArchiveSource, SiteSource
from heliograph_collector.http.incident_cache import IncidentCache
from heliograph_collector.http.problem import Problem, unknown_name
from heliograph_collector.http.snapshot_cache import SnapshotCache
from heliograph_collector.model.history import Axis, HistoryFilter
from heliograph_collector.model.imported import ImportedFilter
from heliograph_collector.store.clickhouse import StoreError

ALLOWED = "a network that a country's page or /search names"
_FIRST_DAY_US = 14_610 * DAY_US  # 2010-01-01, the first day that a question may name


class NetworkSource(ArchiveSource, SiteSource, Protocol):
    """The archive, and the table of names."""


class KnownNetworks:
    """The networks of the present, of incidents, of the archive, and of the table of names.

    Only public facts decide, so that an answer tells nothing of networks of too few vantages.
    """

    def __init__(
        self, feed: NetworkSource, incident_cache: IncidentCache, snapshot_cache: SnapshotCache
    ) -> None:
        self._feed = feed
        self._incident_cache = incident_cache
        self._snapshot_cache = snapshot_cache

    async def require(self, asn: int | None) -> int | None:
        """Return a number; None if none is asked. Raises Problem 404 for an unknown network."""
        if asn is not None and not await self.is_known(asn):
            raise self.refuse(asn)
        return asn

    def refuse(self, asn: int) -> Problem:
        return unknown_name("network", f"AS{asn}", ALLOWED)

    async def is_known(self, asn: int) -> bool:
        """Return whether a network is known, or nobody can tell: while there is nothing at all."""
        if not asn or self._feed.site.network_names.name_network(asn):
            return True
        if any(
            asn in (incident.scope.asn, *(part.asn for part in incident.parts))
            for incident in self._incident_cache.all_incidents()
        ):
            return True
        try:
            columns = (await self._snapshot_cache.current_snapshot()).columns
            if any(column.group.asn == asn for column in columns):
                return True
            return await self._is_in_archive(asn, is_nothing_now=not columns)
        except StoreError:
            return True

    async def _is_in_archive(self, asn: int, *, is_nothing_now: bool) -> bool:
        """Return whether any day of ours, or of an import, has a network. Raises StoreError."""
        now_us = self._feed.clock.wall_us()
        history = await self._feed.read_history(
            HistoryFilter(axes=[Axis.NETWORK], since_us=_FIRST_DAY_US, until_us=now_us, asn=asn)
        )
        if history.rows or (is_nothing_now and history.first_us is None):
            return True
        others = await self._feed.read_imported(
            ImportedFilter(since_us=_FIRST_DAY_US, until_us=now_us, asn=asn),
            2,  # targets: of so long a time half as many are read
        )
        return bool(others.rows)
