"""Incidents and networks as readers of the feed may see them, for stages that pass them on."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from heliograph_collector.http.api.feeds import summarize_incident
from heliograph_collector.http.backend import Feed
from heliograph_collector.http.event_bus import BusFullError
from heliograph_collector.http.incident_document import build_document, build_state
from heliograph_collector.incidents.state import LogEntry

_RETRY_S = 5.0


class PublishedIncidents:
    """Reader of what the feed publishes."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    def describe_incident(
        self, entries: Sequence[LogEntry]
    ) -> tuple[Mapping[str, Any], str] | None:
        """Return the document after these entries and a summary; None if it is withheld."""
        document = build_document(entries, self._feed.services, self._feed.k_anonymity)
        return None if document is None else (document, summarize_incident(document))

    async def watch_changes(self, heartbeat_s: float) -> AsyncGenerator[None, None]:
        """Yield at once, after every event, and after `heartbeat_s` without one."""
        while True:
            try:
                with self._feed.bus.subscribe() as subscription:
                    yield
                    async for _ in subscription.events(heartbeat_s):
                        yield
            except BusFullError:
                await asyncio.sleep(_RETRY_S)

    def list_incidents(self) -> list[Mapping[str, Any]]:
        """List the incidents as published, because a query would reveal a withheld one."""
        feed = self._feed
        states = (
            build_state(record, feed.services, feed.k_anonymity) for record in feed.book.incidents()
        )
        return [incident for incident in states if incident is not None]

    def list_networks(self) -> list[tuple[str, int]]:
        """List (country, ASN) with enough connected vantages to be named without risk.

        The network with the most vantages comes first.
        """
        vantages: dict[tuple[str, int], int] = {}
        for link in self._feed.links():
            network = (link.country, link.asn)
            vantages[network] = vantages.get(network, 0) + link.vantages
        shown_networks = [
            (-count, network)
            for network, count in vantages.items()
            if all(network) and count >= self._feed.k_anonymity
        ]
        return [network for _, network in sorted(shown_networks)]
