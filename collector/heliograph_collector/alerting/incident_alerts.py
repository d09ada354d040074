"""Alerts of entries of the log, as receivers are to see them."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Protocol

from heliograph_collector.alerting.message import build_alert
from heliograph_collector.config.receivers import AlertTranslation, IncidentAlert
from heliograph_collector.incidents.published.incident import IncidentDocument
from heliograph_collector.incidents.state import IncidentBook, LogEntry


class IncidentReader(Protocol):
    """Incidents as readers of the feed see them."""

    def describe_incident(self, entries: Sequence[LogEntry]) -> tuple[IncidentDocument, str] | None:
        """Return the API document after these entries, and a summary of its evidence.

        None if k-anonymity withholds the incident.
        """
        ...

    def translate_incident(self, incident: IncidentDocument) -> Mapping[str, tuple[str, str]]:
        """Return by language, but for English, the sentence and how sure it is."""
        ...

    def watch_changes(self, heartbeat_s: float) -> AsyncGenerator[None, None]:
        """Yield at once, after every event, and after `heartbeat_s` without one."""
        ...


def collect_alerts(
    book: IncidentBook, entries: Sequence[LogEntry], reader: IncidentReader
) -> list[IncidentAlert]:
    """Build the alerts of these entries, each as published at that entry."""
    alerts: list[IncidentAlert] = []
    for entry in entries:
        preceding = [
            earlier for earlier in book.entries_of(entry.incident) if earlier.number <= entry.number
        ]
        published = reader.describe_incident(preceding)
        new_alert = published and build_alert(entry.number, entry.hash, entry.body, *published)
        if published and new_alert:
            new_alert["translations"] = {
                language: AlertTranslation(sentence=sentence, about=about)
                for language, (sentence, about) in reader.translate_incident(published[0]).items()
            }
            alerts.append(new_alert)
    return alerts


def is_of_log(book: IncidentBook, number: int, head: str) -> bool:
    """Return whether the log has this entry, 0 for none, with this hash."""
    entries = book.entries
    return 0 <= number <= len(entries) and (number == 0 or entries[number - 1].hash == head)
