"""Format incidents as Atom (RFC 4287), JSON Feed 1.1, CAP 1.2 (OASIS, 2010). Pure.

In a feed an incident is one updated entry. In CAP each new entry of its log is a new message: the
first an Alert, each later one an Update that names the one before, and a withdrawal a Cancel.
Urgency and severity follow from the kind and the width alone; what they mean for people is not
known, so nothing is Extreme. Feeds are in the reader's language; a message of CAP has a block for
each of the languages.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode
from uuid import NAMESPACE_URL, uuid5
from xml.etree import ElementTree as ET

from heliograph_collector.http import labels
from heliograph_collector.http.i18n import DEFAULT, LANGS, Locale
from heliograph_collector.http.incident_document import OPEN_STATES, localize_sentence
from heliograph_collector.http.pages import incident_text
from heliograph_collector.http.pages.place_text import describe_place
from heliograph_collector.incidents.incident import IncidentKind
from heliograph_collector.incidents.published.feed import (
    FeedAuthor,
    FeedExtension,
    FeedItem,
    JsonFeedDocument,
)
from heliograph_collector.incidents.published.incident import (
    AlertDocument,
    IncidentDocument,
    OperatorStatements,
)

CAP_MEDIA = "application/cap+xml"
_ATOM = "http://www.w3.org/2005/Atom"
_NEVER = "1970-01-01T00:00:00Z"  # update time of a feed without entries
_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_CAP = "urn:oasis:names:tc:emergency:cap:1.2"
_CERTAINTY = {"suspected": "Possible", "withdrawn": "Unlikely"}  # else Observed
_OUTAGES = (IncidentKind.SILENCE, IncidentKind.ISOLATION, IncidentKind.POWER)


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedSubject:
    """Subject of a feed; `name` identifies it permanently."""

    name: str  # of its filters; a country's code, or "" for the world
    title: str
    page: str  # the path of the page about it


def name_subject(filters: Mapping[str, str], titles: Mapping[str, str], t: Locale) -> FeedSubject:
    """Name the subject of the filters of a feed.

    Args:
        filters: Values by parameter, without empty ones.
        titles: Titles by name of a service.
    """
    country = filters.get("country", "")
    service = filters.get("service", "")
    asn = filters.get("asn", "")
    region = filters.get("region", "")
    place = labels.country_name(country, t.lang) if country else t("feed.world")
    if region:
        place = labels.region_name(region, t.lang)
    of = [labels.service_title(service, titles, t.lang)] if service else []
    of += [asn] if asn else []
    about = t("feed.on", service=of[0], network=of[1]) if len(of) > 1 else "".join(of)
    title = t("feed.title_of", what=about, place=place) if of else t("feed.title", place=place)
    pages = {
        f"/services/{service}": service and "/" not in service,
        f"/networks/{asn}": asn,
        f"/countries/{region[:2]}/{region}": region,
    }
    page = next((path for path, is_given in pages.items() if is_given), "")
    is_country = set(filters) <= {"country"}
    return FeedSubject(
        name=country if is_country else urlencode(sorted(filters.items())),
        title=title,
        page=page or (f"/?country={country}" if country else "/"),
    )


def summarize_incident(incident: IncidentDocument, t: Locale) -> str:
    """Format the text of an entry below its title."""
    lang = t.lang
    lines = [
        t("feed.state", value=labels.label_code("incident_state", incident.state, lang)),
        t("feed.sure", value=incident_text.describe_confidence(incident, t)),
    ]
    how = labels.describe_method(incident.layer, incident.method, lang)
    if how:
        lines.append(t("feed.how", value=how))
    if incident.operator:
        lines += [t("feed.operator", text=why) for why in _list_reasons(incident.operator)]
    lines += [t("feed.against", value=labels.label_code("held", c, lang)) for c in incident.held]
    lines += [t("feed.hint", value=labels.label_code("hint", c, lang)) for c in incident.hints]
    return " ".join(lines)


def _list_reasons(statements: OperatorStatements) -> list[str]:
    """List the reasons of the operator's verdict, if it is in force."""
    verdicts = (statements.confirmed, statements.withdrawn)
    return [
        verdict.text for verdict in verdicts if verdict and verdict.until is None and verdict.text
    ]


def _build_urn(seed: str, name: str) -> str:
    """Build a permanent id that does not depend on the collector's address."""
    return uuid5(NAMESPACE_URL, f"heliograph:{seed}:{name}").urn


def build_atom(
    incidents: Sequence[IncidentDocument],
    base: str,
    path: str,
    seed: str,
    subject: FeedSubject,
    t: Locale,
    *,
    license_name: str,
    is_cap: bool = False,
) -> str:
    """Build an Atom feed; `base` is our address, `seed` identifies this collector.

    `is_cap`: the entries lead to the messages of CAP, in place of pages.
    """
    feed = ET.Element("feed", {"xmlns": _ATOM, "xml:lang": t.lang})
    _add_element(feed, "id", _build_urn(seed, f"{'cap' if is_cap else 'feed'} {subject.name}"))
    _add_element(feed, "title", subject.title)
    _add_element(feed, "subtitle", t("feed.subtitle"))
    _add_element(feed, "rights", license_name)
    _add_element(feed, "updated", max((i.updated for i in incidents), default=_NEVER))
    _add_element(_add_element(feed, "author"), "name", "Heliograph")
    _add_link(feed, "self", base + path, "application/atom+xml")
    _add_link(feed, "alternate", base + t.link(subject.page), "text/html")
    for incident in incidents:
        _add_entry(feed, incident, base, seed, t, is_cap=is_cap)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(feed, encoding="unicode")


def _add_entry(
    feed: ET.Element, incident: IncidentDocument, base: str, seed: str, t: Locale, *, is_cap: bool
) -> None:
    entry = _add_element(feed, "entry")
    _add_element(entry, "id", _build_urn(seed, incident.id))
    _add_element(entry, "title", localize_sentence(incident, t))
    _add_element(entry, "published", incident.alerts[0].at)
    _add_element(entry, "updated", incident.updated)
    _add_element(entry, "summary", summarize_incident(incident, t))
    message = f"{base}{incident.links.page}/cap.xml"
    if is_cap:
        _add_link(entry, "alternate", message, CAP_MEDIA)
    else:
        _add_link(entry, "alternate", base + t.link(incident.links.page), "text/html")
        _add_link(entry, "related", message, CAP_MEDIA)
    _add_link(entry, "related", base + t.link(incident.links.document), "application/json")
    for term in _list_tags(incident):
        ET.SubElement(entry, "category", term=_strip_invalid(term))


def _list_tags(incident: IncidentDocument) -> list[str]:
    scope = incident.scope
    return [t for t in (incident.kind, incident.state, scope.country, scope.service) if t]


def _add_element(parent: ET.Element, name: str, content: str = "") -> ET.Element:
    element = ET.SubElement(parent, name)
    element.text = _strip_invalid(content) or None
    return element


def _add_link(parent: ET.Element, rel: str, href: str, media: str) -> None:
    ET.SubElement(parent, "link", rel=rel, href=_strip_invalid(href), type=media)


def _strip_invalid(content: str) -> str:
    return _NO_XML.sub("\N{REPLACEMENT CHARACTER}", content)


def build_json_feed(
    incidents: Sequence[IncidentDocument],
    base: str,
    path: str,
    seed: str,
    subject: FeedSubject,
    t: Locale,
) -> JsonFeedDocument:
    return JsonFeedDocument(
        version="https://jsonfeed.org/version/1.1",
        title=subject.title,
        home_page_url=base + t.link(subject.page),
        feed_url=base + path,
        description=t("feed.subtitle"),
        language=t.lang,
        authors=(FeedAuthor("Heliograph"),),
        items=tuple(_build_item(incident, base, seed, t) for incident in incidents),
    )


def _build_item(incident: IncidentDocument, base: str, seed: str, t: Locale) -> FeedItem:
    sentence = localize_sentence(incident, t)
    return FeedItem(
        id=_build_urn(seed, incident.id),
        url=base + t.link(incident.links.page),
        title=sentence,
        content_text=f"{sentence} {summarize_incident(incident, t)}",
        date_published=incident.alerts[0].at,
        date_modified=incident.updated,
        tags=tuple(_list_tags(incident)),
        heliograph=FeedExtension(
            state=incident.state,
            kind=incident.kind,
            scope=incident.scope,
            confidence=incident.confidence,
        ),
    )


def build_cap_message(incident: IncidentDocument, base: str, sender: str, seed: str) -> str:
    """Build the newest message of an incident.

    Args:
        base: Our address.
        sender: The operator's address, without spaces and commas (CAP 1.2, 3.2.1).
        seed: Identifies this collector.
    """
    newest = incident.alerts[-1]
    alert = ET.Element("alert", xmlns=_CAP)
    _add_element(alert, "identifier", _identify_cap_message(incident, newest, seed))
    _add_element(alert, "sender", sender)
    _add_element(alert, "sent", _format_cap_time(newest.at))
    _add_element(alert, "status", "Actual")
    _add_element(alert, "msgType", _choose_type(incident))
    _add_element(alert, "scope", "Public")
    earlier = [
        f"{sender},{_identify_cap_message(incident, entry, seed)},{_format_cap_time(entry.at)}"
        for entry in incident.alerts[:-1]
    ]
    if earlier:
        _add_element(alert, "references", earlier[-1])
    _add_element(alert, "incidents", incident.id)
    for lang in LANGS:
        _add_info(alert, incident, base, Locale(lang))
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(alert, encoding="unicode")


def _identify_cap_message(incident: IncidentDocument, entry: AlertDocument, seed: str) -> str:
    return _build_urn(seed, f"{incident.id} cap {entry.entry}")


def _choose_type(incident: IncidentDocument) -> str:
    if incident.state == "withdrawn":
        return "Cancel"
    return "Update" if len(incident.alerts) > 1 else "Alert"


def _add_info(alert: ET.Element, incident: IncidentDocument, base: str, t: Locale) -> None:
    """Add the block of a language; all say the same (CAP 1.2, 3.2.2)."""
    info = _add_element(alert, "info")
    is_open = incident.state in OPEN_STATES
    _add_element(info, "language", t.lang)
    _add_element(info, "category", "Infra")
    _add_element(info, "event", labels.kind_label(incident.kind, incident.scope.service, t.lang))
    _add_element(info, "urgency", "Immediate" if is_open else "Past")
    _add_element(info, "severity", _choose_severity(incident))
    _add_element(info, "certainty", _CERTAINTY.get(incident.state, "Observed"))
    _add_element(info, "onset", _format_cap_time(incident.started.latest))
    _add_element(info, "headline", localize_sentence(incident, t))
    _add_element(info, "description", summarize_incident(incident, t))
    page = base + incident.links.page
    _add_element(info, "web", page if t.lang == DEFAULT else t.other(page, t.lang))
    if incident.scope.service:
        _add_value(info, "parameter", "service", incident.scope.service)
    area = _add_element(info, "area")
    _add_element(area, "areaDesc", describe_place(incident.parts, incident.scope, t))
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
    element = _add_element(parent, name)
    _add_element(element, "valueName", value_name)
    _add_element(element, "value", value)


def _format_cap_time(timestamp: str) -> str:
    """Format a time for CAP: whole seconds, and an offset in place of Z (3.3.2)."""
    return f"{timestamp[:19]}+00:00"
