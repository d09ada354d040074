"""An operator's entry about an incident: what readers would see of it, and its publication.

The pages of the console and the commands share this: an entry is shown first, and written only
while it still publishes what was shown.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from heliograph_collector.console.incident_views import describe_publication
from heliograph_collector.http import labels
from heliograph_collector.http.incident_cache import IncidentCache
from heliograph_collector.incidents.operator_entries import OperatorEntry, OperatorEntryError
from heliograph_collector.incidents.published.incident import IncidentDocument
from heliograph_collector.incidents.published.log import OperatorBody
from heliograph_collector.incidents.state import LogEntry

ACT_PREFIX = "operator_"  # of `OperatorAct`, in the log
ACTS = ("acknowledged", "annotated", "confirmed", "withdrawn")


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """The published view of an incident after an entry."""

    headline: str
    state: str
    facts: Sequence[tuple[str, str]]
    change: str
    note: str
    name: str
    is_alert: bool


class PublicationChangedError(Exception):
    """The entry would publish something else than what its operator was shown."""


class OperatorLog(Protocol):
    """The incident log, to which an operator adds entries."""

    async def preview_operator_entry(self, operator_entry: OperatorEntry) -> LogEntry:
        """Return the entry that would be written now. Raises OperatorEntryError."""
        ...

    async def record_operator_entry(self, operator_entry: OperatorEntry) -> LogEntry:
        """Write an entry. Raises OperatorEntryError, OSError, AlertLogError."""
        ...


class EntryPublisher:
    """Shows what an entry would publish, and publishes it."""

    def __init__(self, operator_log: OperatorLog, incident_cache: IncidentCache) -> None:
        self._operator_log = operator_log
        self._incident_cache = incident_cache

    async def preview(self, operator_entry: OperatorEntry) -> Publication:
        """Build what the entry would publish now. Raises OperatorEntryError."""
        entry = await self._operator_log.preview_operator_entry(operator_entry)
        incident = self._incident_cache.preview_incident(entry)
        if incident is None or not isinstance(entry.body, OperatorBody):
            raise OperatorEntryError("The incident has too few vantages to be published.")
        return build_publication(incident, entry.body)

    async def publish(
        self,
        operator_entry: OperatorEntry,
        shown: Publication,
        record_audit: Callable[[str], Awaitable[None]],
    ) -> None:
        """Write the entry, if it still publishes what was shown.

        Args:
            record_audit: Writes the named action to the audit trail, before the entry.

        Raises PublicationChangedError, OperatorEntryError, OSError, AlertLogError.
        """
        if await self.preview(operator_entry) != shown:
            raise PublicationChangedError
        await record_audit(f"incident.{operator_entry.act.removeprefix(ACT_PREFIX)}")
        await self._operator_log.record_operator_entry(operator_entry)


def build_publication(incident: IncidentDocument, body: OperatorBody) -> Publication:
    """Build what readers would see; `incident` has the entry as its newest alert."""
    return Publication(
        headline=incident.sentence,
        state=incident.state,
        facts=describe_publication(incident),
        change=labels.label_code("change", body.change),
        note=body.text,
        name=body.name,
        is_alert=body.alert,
    )
