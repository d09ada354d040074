"""The present: a snapshot, and the incidents of the log entry that it follows."""

from collections.abc import Sequence
from dataclasses import dataclass

from heliograph_collector.http.incident_cache import IncidentCache
from heliograph_collector.http.incident_document import IncidentFilter
from heliograph_collector.http.snapshot import Snapshot
from heliograph_collector.http.snapshot_cache import SnapshotCache
from heliograph_collector.incidents.published.incident import IncidentDocument
from heliograph_collector.store.clickhouse import StoreError

_TRIES = 3  # entries come in tens a minute at most, and a try takes milliseconds; assumed


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    snapshot: Snapshot
    incidents: Sequence[IncidentDocument]  # of the country, or all
    under_way: Sequence[IncidentDocument]  # the gravest first
    ended: Sequence[IncidentDocument]  # within a week


async def read_present(
    snapshot_cache: SnapshotCache, incident_cache: IncidentCache, country: str = ""
) -> Present:
    """Read snapshot and incidents of one log entry, so that a page agrees with itself.

    A headline of an older entry would not mention the cut that has emptied the table below it.
    Before the store first answers, only open incidents are shown. Raises StoreError where there is
    neither.
    """
    for _ in range(_TRIES):
        try:
            snapshot = await snapshot_cache.current_snapshot()
        except StoreError:
            if not incident_cache.recent_incidents(country, 0)[0]:
                raise
            snapshot = snapshot_cache.blank_snapshot(incident_cache.entry)
        await incident_cache.refresh()
        # No await from here on.
        incidents = incident_cache.list_incidents(IncidentFilter(country=country or None))
        under_way, ended = incident_cache.recent_incidents(country, snapshot.at_us)
        if incident_cache.entry == snapshot.entry:
            break
    return Present(snapshot=snapshot, incidents=incidents, under_way=under_way, ended=ended)
