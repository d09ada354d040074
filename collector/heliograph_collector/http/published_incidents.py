"""Public incidents and networks, for live readers and for other stages."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Protocol

import msgspec
from msgspec.structs import replace

from heliograph_collector.http.api.coverage import build_gap, is_of_few
from heliograph_collector.http.api.feeds import summarize_incident
from heliograph_collector.http.backend import IncidentSource, LinkCount
from heliograph_collector.http.event_bus import BusFullError, EventBus
from heliograph_collector.http.i18n import DEFAULT, ENGLISH, LANGS, Locale
from heliograph_collector.http.incident_document import (
    build_document,
    build_state,
    localize_sentence,
)
from heliograph_collector.http.pages.recent_incidents import build_line
from heliograph_collector.incidents.published.incident import IncidentDocument, IncidentSummary
from heliograph_collector.incidents.state import IncidentBook, LogEntry
from heliograph_collector.model.published.status import GapHint
from heliograph_collector.model.records import BlindTime

_RETRY_S = 5.0


class PublishedSource(IncidentSource, Protocol):
    """The incidents, the networks that are here now, and the events."""

    bus: EventBus

    def links(self) -> Sequence[LinkCount]: ...


class PublishedIncidents:
    """Reader of what the feed publishes."""

    def __init__(self, source: PublishedSource) -> None:
        self._source = source

    def describe_incident(self, entries: Sequence[LogEntry]) -> tuple[IncidentDocument, str] | None:
        """Return the document after these entries and a summary; None if it is withheld."""
        document = build_document(entries, self._source.services, self._source.k_anonymity)
        return None if document is None else (document, summarize_incident(document, ENGLISH))

    def translate_incident(self, incident: IncidentDocument) -> dict[str, tuple[str, str]]:
        """Return by language, but for English, the sentence and how sure it is."""
        lines = {lang: build_line(incident, Locale(lang)) for lang in LANGS if lang != DEFAULT}
        return {lang: (line.sentence, " · ".join(line.facts)) for lang, line in lines.items()}

    async def watch_changes(self, heartbeat_s: float) -> AsyncGenerator[None, None]:
        """Yield at once, after every event, and after `heartbeat_s` without one."""
        while True:
            try:
                with self._source.bus.subscribe() as subscription:
                    yield
                    async for _ in subscription.events(heartbeat_s):
                        yield
            except BusFullError:
                await asyncio.sleep(_RETRY_S)

    def list_incidents(self) -> list[IncidentSummary]:
        """List the published incidents, because a query would reveal a withheld one."""
        source = self._source
        states = (
            build_state(record, source.services, source.k_anonymity)
            for record in source.book.incidents()
        )
        return [incident for incident in states if incident is not None]

    def list_networks(self) -> list[tuple[str, int]]:
        """List (country, ASN) with enough connected vantages to be named without risk.

        The network with the most vantages comes first.
        """
        vantages: dict[tuple[str, int], int] = {}
        for link in self._source.links():
            network = (link.country, link.asn)
            vantages[network] = vantages.get(network, 0) + link.vantages
        shown_networks = [
            (-count, network)
            for network, count in vantages.items()
            if all(network) and count >= self._source.k_anonymity
        ]
        return [network for _, network in sorted(shown_networks)]


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
            data = msgspec.json.encode(incident_document).decode()
            translations = {
                lang: _encode_translated(incident_document, Locale(lang))
                for lang in LANGS
                if lang != DEFAULT
            }
            self._bus.publish("incident", data, incident_document.scope.country, translations)

    def publish_gap(self, book: IncidentBook, blind: BlindTime) -> None:
        """Publish a gap as in `/api/v1/coverage`.

        Only a country with a shown incident is named; other names would reveal a vantage. A gap
        that begins or ends with a single vantage is no event; the coverage shows it later.
        """
        if is_of_few(blind, self._k):
            return
        country = blind.country
        is_named = not country or self._k <= 1 or self._has_shown_incident(book, country)
        document = build_gap(blind) if is_named else GapHint(ask="/api/v1/coverage")
        data = msgspec.json.encode(document).decode()
        self._bus.publish("coverage", data, country if is_named else "")

    def _has_shown_incident(self, book: IncidentBook, country: str) -> bool:
        country_incidents = (i for i in book.incidents() if i.record.scope.country == country)
        return any(build_state(i, self._titles, self._k) for i in country_incidents)


def _encode_translated(incident: IncidentDocument, t: Locale) -> str:
    translated = replace(incident, sentence=localize_sentence(incident, t))
    return msgspec.json.encode(translated).decode()
