"""Incident documents, rebuilt only after a new log entry."""

import asyncio

from heliograph.units import DAY_US
from heliograph_collector.http.backend import Feed
from heliograph_collector.http.incident_document import (
    OPEN_STATES,
    Json,
    build_document,
    build_history,
    parse_us,
    sort_key,
)

RECENT_US = 7 * DAY_US


class IncidentCache:
    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._lock = asyncio.Lock()
        self._built_head = ""
        self._documents: dict[str, tuple[int, Json | None]] = {}  # id → last entry, document
        self._incidents: list[Json] = []

    async def refresh(self) -> None:
        """Build new documents in another thread, because a start may need thousands."""
        if self._built_head != self.head:
            async with self._lock:
                await asyncio.to_thread(self.all_incidents)

    @property
    def head(self) -> str:
        return self._feed.book.head

    def all_incidents(self) -> list[Json]:
        """List the incidents that k-anonymity allows, newest start first."""
        head = self.head  # read first, because another thread writes the book
        if self._built_head != head:
            documents = [
                self._build_document(record["id"], record["alerts"][-1])
                for record in self._list_records()
            ]
            self._incidents = sorted((d for d in documents if d), key=sort_key, reverse=True)
            self._built_head = head
        return self._incidents

    def get_incident(self, id_: str) -> Json | None:
        record = self._feed.book.get(id_)
        return self._build_document(id_, record["alerts"][-1]) if record else None

    def country_incidents(self, country: str) -> list[Json]:
        return [i for i in self.all_incidents() if country in ("", i["scope"]["country"])]

    def recent_incidents(self, country: str, now_us: int) -> tuple[list[Json], list[Json]]:
        """Return (open incidents, confirmed ones first; incidents ended within a week)."""
        incidents = self.country_incidents(country)
        under_way = sorted(
            (i for i in incidents if i["state"] in OPEN_STATES),
            key=lambda i: i["state"] != "confirmed",
        )
        ended = [
            i
            for i in incidents
            if i["state"] not in OPEN_STATES and parse_us(i["updated"]) > now_us - RECENT_US
        ]
        return under_way, ended

    def incident_history(self, id_: str) -> list[tuple[Json, Json | None]]:
        feed = self._feed
        return build_history(feed.book.entries_of(id_), feed.services, feed.k_anonymity)

    def add_annotations(self, incident: Json) -> Json:
        """Add annotations of outside sources, which change without a log entry.

        The log does not prove them.
        """
        return {**incident, "corroboration": list(self._feed.annotations(incident["id"]))}

    def _list_records(self) -> list[Json]:
        return self._feed.book.incidents()

    def _build_document(self, id_: str, last: int) -> Json | None:
        cached = self._documents.get(id_)
        if cached is None or cached[0] != last:
            feed = self._feed
            new_document = build_document(
                feed.book.entries_of(id_), feed.services, feed.k_anonymity
            )
            cached = self._documents[id_] = (last, new_document)
        return cached[1]
