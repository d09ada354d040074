"""Incident documents, rebuilt only after a new log entry."""

import asyncio

from msgspec.structs import replace

from heliograph.units import DAY_US
from heliograph_collector.http.backend import IncidentSource
from heliograph_collector.http.incident_document import (
    OPEN_STATES,
    HistoryStep,
    IncidentFilter,
    build_document,
    build_history,
    is_counted,
    is_national_silence,
    parse_us,
    sort_key,
)
from heliograph_collector.incidents.incident import IncidentKind
from heliograph_collector.incidents.published.incident import IncidentDocument, IncidentSummary
from heliograph_collector.incidents.state import LogEntry

RECENT_US = 7 * DAY_US


class IncidentCache:
    def __init__(self, feed: IncidentSource) -> None:
        self._feed = feed
        self._lock = asyncio.Lock()
        self._built_head = ""
        self.entry = 0  # the newest entry of the log that the list reflects
        # id → number of the last entry, document
        self._documents: dict[str, tuple[int, IncidentDocument | None]] = {}
        self._incidents: list[IncidentDocument] = []

    async def refresh(self) -> None:
        """Build new documents in another thread, because a start may need thousands."""
        if self._built_head != self.head:
            async with self._lock:
                await asyncio.to_thread(self.all_incidents)

    @property
    def head(self) -> str:
        return self._feed.book.head

    def all_incidents(self) -> list[IncidentDocument]:
        """List the incidents that k-anonymity allows, newest start first."""
        entry = len(self._feed.book.entries)  # read first, because another thread writes the book
        head = self.head
        if self._built_head != head:
            documents = [
                self._build_document(logged.record.id, logged.entries[-1])
                for logged in self._feed.book.incidents()
            ]
            self._incidents = sorted((d for d in documents if d), key=sort_key, reverse=True)
            self._built_head = head
            self.entry = entry
        return self._incidents

    def get_incident(self, id_: str) -> IncidentDocument | None:
        logged = self._feed.book.get(id_)
        return self._build_document(id_, logged.entries[-1]) if logged else None

    def preview_incident(self, entry: LogEntry) -> IncidentDocument | None:
        """Build the document as it would be after an entry that is not in the log yet."""
        feed = self._feed
        entries = [*feed.book.entries_of(entry.incident), entry]
        return build_document(entries, feed.services, feed.k_anonymity)

    def list_incidents(self, incident_filter: IncidentFilter) -> list[IncidentDocument]:
        """List the incidents that match a filter, newest start first."""
        return [i for i in self.all_incidents() if incident_filter.matches(i)]

    def recent_incidents(
        self, country: str, now_us: int, incident_filter: IncidentFilter | None = None
    ) -> tuple[list[IncidentDocument], list[IncidentDocument]]:
        """Return (open incidents, the gravest first; incidents ended within a week)."""
        incidents = self.list_incidents(incident_filter or IncidentFilter(country=country or None))
        under_way = sorted((i for i in incidents if i.state in OPEN_STATES), key=rank_severity)
        ended = [
            i
            for i in incidents
            if i.state not in OPEN_STATES and parse_us(i.updated) > now_us - RECENT_US
        ]
        return under_way, ended

    def incident_history(self, id_: str) -> list[HistoryStep]:
        feed = self._feed
        return build_history(feed.book.entries_of(id_), feed.services, feed.k_anonymity)

    def add_annotations(self, incident: IncidentDocument) -> IncidentDocument:
        """Add annotations of outside sources, which change without a log entry.

        The log does not prove them.
        """
        return replace(incident, corroboration=tuple(self._feed.annotations(incident.id)))

    def _build_document(self, id_: str, last: int) -> IncidentDocument | None:
        cached = self._documents.get(id_)
        if cached is None or cached[0] != last:
            feed = self._feed
            new_document = build_document(
                feed.book.entries_of(id_), feed.services, feed.k_anonymity
            )
            cached = self._documents[id_] = (last, new_document)
        return cached[1]


def rank_severity(incident: IncidentSummary) -> tuple[bool, bool, str, bool, int]:
    """Rank cuts and blocks first, of these silences of countries, then certain ones.

    Of equals silences come first, then the wider scope. A possible cut of a whole country is graver
    than the certain block of one service; a confirmed silence, or isolation, stands before both.
    """
    scope = incident.scope
    narrowness = bool(scope.region) + bool(scope.asn) + bool(scope.access)
    is_silence = incident.kind == IncidentKind.SILENCE
    is_cut = is_silence or incident.kind == IncidentKind.ISOLATION
    is_sure_cut = is_cut and incident.state == "confirmed"
    is_grave = is_sure_cut or is_national_silence(incident)
    # "confirmed" comes before "suspected"
    return not is_counted(incident), not is_grave, incident.state, not is_cut, narrowness
