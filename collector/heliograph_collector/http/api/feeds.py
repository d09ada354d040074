"""Incidents as Atom (RFC 4287) and JSON Feed 1.1: one entry each, updated as it goes on. Pure."""

import re
from collections.abc import Sequence
from typing import Any
from uuid import NAMESPACE_URL, uuid5
from xml.etree import ElementTree as ET

from heliograph_collector.http import labels
from heliograph_collector.http.pages import incident_text

Json = dict[str, Any]
_ATOM = "http://www.w3.org/2005/Atom"
_NEVER = "1970-01-01T00:00:00Z"  # of a feed without entries
_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def title(country: str) -> str:
    return f"Heliograph: incidents in {labels.country(country) if country else 'the world'}"


def told(incident: Json) -> str:
    """What an entry says beside its title."""
    lines = [f"State: {incident['state']}.", f"How sure: {incident_text.sure(incident)}."]
    how = labels.how(incident["layer"], incident["method"])
    if how:
        lines.append(f"How: {how}.")
    lines += [f"The operator says: “{text}”." for text in _reasons(incident)]
    lines += [f"Against it: {labels.HELD.get(word, word)}." for word in incident["held"]]
    lines += [f"Hint: {labels.HINTS.get(word, word)}." for word in incident["hints"]]
    return " ".join(lines)


def _reasons(incident: Json) -> list[str]:
    """Of the operator's verdict, where one stands."""
    said = incident.get("operator") or {}
    verdicts = [said[name] for name in ("confirmed", "withdrawn") if said.get(name)]
    return [one["text"] for one in verdicts if one["until"] is None and one["text"]]


def urn(seed: str, name: str) -> str:
    """Lasts for ever, whatever the address of this collector will be."""
    return uuid5(NAMESPACE_URL, f"heliograph:{seed}:{name}").urn


def atom(incidents: Sequence[Json], base: str, path: str, seed: str, country: str) -> str:
    """`base` is the address of this collector, `seed` what tells it from others."""
    feed = ET.Element("feed", xmlns=_ATOM)
    _put(feed, "id", urn(seed, f"feed {country}"))
    _put(feed, "title", title(country))
    _put(feed, "subtitle", "What is cut, where, since when, and how sure that is.")
    _put(feed, "updated", max((i["updated"] for i in incidents), default=_NEVER))
    _put(_put(feed, "author"), "name", "Heliograph")
    _link(feed, "self", base + path, "application/atom+xml")
    _link(feed, "alternate", f"{base}/{f'?country={country}' if country else ''}", "text/html")
    for incident in incidents:
        _entry(feed, incident, base, seed)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(feed, encoding="unicode")


def _entry(feed: ET.Element, incident: Json, base: str, seed: str) -> None:
    entry = _put(feed, "entry")
    _put(entry, "id", urn(seed, incident["id"]))
    _put(entry, "title", incident["sentence"])
    _put(entry, "published", incident["alerts"][0]["at"])
    _put(entry, "updated", incident["updated"])
    _put(entry, "summary", told(incident))
    _link(entry, "alternate", base + incident["links"]["page"], "text/html")
    _link(entry, "related", base + incident["links"]["self"], "application/json")
    for term in _tags(incident):
        ET.SubElement(entry, "category", term=_clean(term))


def _tags(incident: Json) -> list[str]:
    scope = incident["scope"]
    return [
        t for t in (incident["kind"], incident["state"], scope["country"], scope["service"]) if t
    ]


def _put(parent: ET.Element, name: str, text: str = "") -> ET.Element:
    element = ET.SubElement(parent, name)
    element.text = _clean(text) or None
    return element


def _link(parent: ET.Element, rel: str, href: str, media: str) -> None:
    ET.SubElement(parent, "link", rel=rel, href=_clean(href), type=media)


def _clean(text: str) -> str:
    """Without what XML cannot hold."""
    return _NO_XML.sub("\N{REPLACEMENT CHARACTER}", text)


def json_feed(incidents: Sequence[Json], base: str, path: str, seed: str, country: str) -> Json:
    return {
        "version": "https://jsonfeed.org/version/1.1",
        "title": title(country),
        "home_page_url": f"{base}/{f'?country={country}' if country else ''}",
        "feed_url": base + path,
        "description": "What is cut, where, since when, and how sure that is.",
        "language": "en",
        "authors": [{"name": "Heliograph"}],
        "items": [_item(incident, base, seed) for incident in incidents],
    }


def _item(incident: Json, base: str, seed: str) -> Json:
    return {
        "id": urn(seed, incident["id"]),
        "url": base + incident["links"]["page"],
        "title": incident["sentence"],
        "content_text": f"{incident['sentence']} {told(incident)}",
        "date_published": incident["alerts"][0]["at"],
        "date_modified": incident["updated"],
        "tags": _tags(incident),
        "_heliograph": {name: incident[name] for name in ("state", "kind", "scope", "confidence")},
    }
