"""Format incidents as a table for spreadsheets, one line each, in JSON's words."""

import csv
import io
from collections.abc import Iterator, Sequence

from heliograph_collector.http.api.aggregation import quote_formula
from heliograph_collector.http.i18n import Locale
from heliograph_collector.http.incident_document import localize_sentence
from heliograph_collector.incidents.published.incident import BracketDocument, IncidentDocument

MAX_ROWS = 10_000  # assumed; some 4 MB, and far below what spreadsheets open
COLUMNS = (
    "id", "kind", "state", "country", "region", "asn", "access", "service", "title",
    "started_earliest", "started_latest", "ended_earliest", "ended_latest", "suspected",
    "confirmed", "closed", "confirmed_by", "withdrawn_by", "layer", "method", "confidence",
    "sentence", "updated", "page", "license",
)  # fmt: skip


def format_incidents(
    incidents: Sequence[IncidentDocument], base: str, license_name: str, t: Locale
) -> str:
    """Format the first MAX_ROWS; `base` is our public address, "" if unknown."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for incident in incidents[:MAX_ROWS]:
        writer.writerow(map(quote_formula, _list_values(incident, base, license_name, t)))
    return out.getvalue()


def _list_values(
    incident: IncidentDocument, base: str, license_name: str, t: Locale
) -> Iterator[object]:
    scope = incident.scope
    yield from (incident.id, incident.kind, incident.state)
    yield from (scope.country, scope.region, scope.asn or "", scope.access, scope.service)
    yield incident.title
    yield from _list_bounds(incident.started)
    yield from _list_bounds(incident.ended)
    yield from (incident.suspected, incident.confirmed, incident.closed)
    yield from (" ".join(incident.confirmed_by), incident.withdrawn_by)
    yield from (incident.layer, incident.method, incident.confidence)
    yield localize_sentence(incident, t)
    yield from (incident.updated, f"{base}{incident.links.page}", license_name)


def _list_bounds(bracket: BracketDocument | None) -> tuple[str, str]:
    return (bracket.earliest, bracket.latest) if bracket else ("", "")
