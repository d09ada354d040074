"""Incidents as messages of CAP 1.2 (OASIS, 1 July 2010). Pure.

Each new entry of an incident's log is a new message: the first an Alert, each later one an Update
that names the one before, and a withdrawal a Cancel. Urgency and severity follow from the kind and
the width alone; what they mean for people is not known, so nothing is Extreme.
"""

from xml.etree import ElementTree as ET

from heliograph_collector.http import labels
from heliograph_collector.http.api.feeds import add_element, build_urn, summarize_incident
from heliograph_collector.http.incident_document import OPEN_STATES
from heliograph_collector.http.pages.incident_text import describe_place
from heliograph_collector.incidents.incident import IncidentKind
from heliograph_collector.incidents.published.incident import AlertDocument, IncidentDocument

_CAP = "urn:oasis:names:tc:emergency:cap:1.2"
_CERTAINTY = {"suspected": "Possible", "withdrawn": "Unlikely"}  # else Observed
_OUTAGES = (IncidentKind.SILENCE, IncidentKind.ISOLATION, IncidentKind.POWER)


def build_message(incident: IncidentDocument, base: str, sender: str, seed: str) -> str:
    """Build the newest message of an incident.

    Args:
        base: Our address.
        sender: The operator's address, without spaces and commas (CAP 1.2, 3.2.1).
        seed: What identifies this collector.
    """
    newest = incident.alerts[-1]
    alert = ET.Element("alert", xmlns=_CAP)
    add_element(alert, "identifier", _identify(incident, newest, seed))
    add_element(alert, "sender", sender)
    add_element(alert, "sent", _format_time(newest.at))
    add_element(alert, "status", "Actual")
    add_element(alert, "msgType", _choose_type(incident))
    add_element(alert, "scope", "Public")
    earlier = [
        f"{sender},{_identify(incident, entry, seed)},{_format_time(entry.at)}"
        for entry in incident.alerts[:-1]
    ]
    if earlier:
        add_element(alert, "references", earlier[-1])
    add_element(alert, "incidents", incident.id)
    _add_info(alert, incident, base)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(alert, encoding="unicode")


def _identify(incident: IncidentDocument, entry: AlertDocument, seed: str) -> str:
    return build_urn(seed, f"{incident.id} cap {entry.entry}")


def _choose_type(incident: IncidentDocument) -> str:
    if incident.state == "withdrawn":
        return "Cancel"
    return "Update" if len(incident.alerts) > 1 else "Alert"


def _add_info(alert: ET.Element, incident: IncidentDocument, base: str) -> None:
    info = add_element(alert, "info")
    is_open = incident.state in OPEN_STATES
    add_element(info, "language", "en")
    add_element(info, "category", "Infra")
    add_element(info, "event", labels.label_code("kind", incident.kind))
    add_element(info, "urgency", "Immediate" if is_open else "Past")
    add_element(info, "severity", _choose_severity(incident))
    add_element(info, "certainty", _CERTAINTY.get(incident.state, "Observed"))
    add_element(info, "onset", _format_time(incident.started.latest))
    add_element(info, "headline", incident.sentence)
    add_element(info, "description", summarize_incident(incident))
    add_element(info, "web", base + incident.links.page)
    if incident.scope.service:
        _add_value(info, "parameter", "service", incident.scope.service)
    area = add_element(info, "area")
    add_element(area, "areaDesc", describe_place(incident.parts, incident.scope))
    if incident.scope.country:
        _add_value(area, "geocode", "ISO3166-1", incident.scope.country)
    if incident.scope.region:
        _add_value(area, "geocode", "ISO3166-2", incident.scope.region)


def _choose_severity(incident: IncidentDocument) -> str:
    scope = incident.scope
    is_national = not (scope.region or scope.asn or scope.access)
    if incident.kind in _OUTAGES:
        return "Severe" if is_national else "Moderate"
    return "Moderate" if is_national else "Minor"


def _add_value(parent: ET.Element, name: str, value_name: str, value: str) -> None:
    element = add_element(parent, name)
    add_element(element, "valueName", value_name)
    add_element(element, "value", value)


def _format_time(timestamp: str) -> str:
    """Format a time as CAP demands: whole seconds, and an offset in place of Z (3.3.2)."""
    return f"{timestamp[:19]}+00:00"
