"""What the command `incidents` reads from the log's file, prints and asks for."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from heliograph_collector.console.incident_socket import EntryRequest
from heliograph_collector.console.incident_views import build_detail
from heliograph_collector.console.publication import ACT_PREFIX, Publication
from heliograph_collector.http.incident_document import OPEN_STATES, build_document, sort_key
from heliograph_collector.incidents.log_file import LOG_FILE_NAME, read_book
from heliograph_collector.incidents.operator_entries import OperatorEntry
from heliograph_collector.incidents.published.incident import IncidentDocument
from heliograph_collector.incidents.state import OperatorAct


def read_incidents(
    data: Path, titles: Mapping[str, str], k: int, *, only_open: bool = False
) -> list[IncidentDocument]:
    """Read the incidents that may be published, newest start first."""
    book = read_book(data / LOG_FILE_NAME)
    documents = (
        build_document(book.entries_of(logged.record.id), titles, k) for logged in book.incidents()
    )
    chosen = [d for d in documents if d and not (only_open and d.state not in OPEN_STATES)]
    return sorted(chosen, key=sort_key, reverse=True)


def describe_incident(incident: IncidentDocument) -> Iterator[str]:
    """Yield lines on an incident, as its page of the console has them."""
    detail = build_detail(incident)
    yield f"{incident.id}  {incident.state}"
    yield incident.sentence
    for name, value in detail.facts:
        yield f"  {name}: {value}"
    for sentence in (*detail.counter_evidence, *detail.hints):
        yield f"  - {sentence}"
    for entry in reversed(detail.log_entries):
        name = f", {entry.name}" if entry.name else ""
        comment = f": {entry.comment}" if entry.comment else ""
        yield f"  entry {entry.entry}, {entry.at}, {entry.by}{name}, {entry.change}{comment}"


def build_request(
    incident: IncidentDocument, act: str, *, note: str, name: str, actor: str
) -> EntryRequest:
    """Build an entry about an incident as it is now."""
    entry = OperatorEntry(
        incident=incident.id,
        act=OperatorAct(ACT_PREFIX + act),
        seen_number=incident.alerts[-1].entry,
        note=note,
        name=name,
    )
    return EntryRequest(operator_entry=entry, actor=actor)


def describe_publication(publication: Publication) -> Iterator[str]:
    """Yield lines on what readers would see, as the console's review has them."""
    yield "Readers will see:"
    yield f"  {publication.headline} ({publication.state})"
    for name, value in publication.facts:
        yield f"  {name}: {value}"
    yield f"  New entry: {publication.change}"
    yield f"  Text: {publication.note or 'none'}"
    yield f"  Signed as: the operator, {publication.name or 'without a name'}"
    yield f"  Subscribers: {'are notified' if publication.is_alert else 'are not notified'}"
