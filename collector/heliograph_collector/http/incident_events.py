"""Events of incidents and coverage gaps, for the readers of the live stream."""

import json
from collections.abc import Mapping
from typing import Any

from heliograph_collector.http.api.coverage import build_gap
from heliograph_collector.http.event_bus import EventBus
from heliograph_collector.http.incident_document import build_document, build_state
from heliograph_collector.incidents.state import IncidentBook


class IncidentEvents:
    """Events for live readers; `titles` by service, `k` for k-anonymity."""

    def __init__(self, bus: EventBus, titles: Mapping[str, str], k: int) -> None:
        self._bus = bus
        self._titles = titles
        self._k = k

    def publish_incident(self, book: IncidentBook, id_: str) -> None:
        """Publish an incident as in `/api/v1/incidents/{id}`, if that shows it."""
        incident_document = build_document(book.entries_of(id_), self._titles, self._k)
        if incident_document is not None:
            self._bus.publish("incident", json.dumps(incident_document))

    def publish_gap(self, book: IncidentBook, coverage_gap: Mapping[str, Any]) -> None:
        """Publish a gap as in `/api/v1/coverage`.

        Only a country with a shown incident is named; other names would reveal a vantage.
        """
        country = coverage_gap["country"]
        is_named = not country or self._k <= 1 or self._has_shown_incident(book, country)
        payload = build_gap(coverage_gap) if is_named else {"ask": "/api/v1/coverage"}
        self._bus.publish("coverage", json.dumps(payload))

    def _has_shown_incident(self, book: IncidentBook, country: str) -> bool:
        country_incidents = (i for i in book.incidents() if i["scope"]["country"] == country)
        return any(build_state(i, self._titles, self._k) for i in country_incidents)
