"""Statements that the outputs of a collector make: who is reachable, blocked, offline, where.

Only what a reader sees is read: fields that the API documents, words and marks of pages.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any

from support.worst_day.truth import Place

NETWORK = "network"  # the subject of a statement on the network itself, else a service
SERVICES = "services"  # or on all services of a network: their worst
WORDS = {  # a mark's word on a page, and what it claims
    "reachable": "reachable",
    "blocked": "blocked",
    "down": "down",
    "silent": "offline",
    "offline": "offline",
    "unknown": "unknown",
    "nothing": "nothing",
    "partial": "partial",
}
# Said of the network itself, anywhere in a sentence.
OFFLINE = re.compile(r"\b(offline|fell silent|silent|cut off|no return)\b", re.IGNORECASE)
CALM = re.compile(r"\b(no blocking|nothing is blocked|all .* reachable|no incident)\b", re.I)


@dataclass(frozen=True, slots=True)
class Statement:
    """One thing that one output says at one moment."""

    output: str
    place: Place
    subject: str
    claim: str  # reachable, partial, blocked, down, offline, unknown, nothing
    words: str = ""
    until: str = ""  # the time that it is about, where the output gives one


def read_status(document: Mapping[str, Any]) -> Iterator[Statement]:
    for group in document["groups"]:
        place = Place(group["country"], asn=group["asn"], access=group["access"])
        if not (place.asn or place.access):
            continue  # "other networks": no place of the script
        link = str(group["link"])
        claim = {"online": "reachable", "offline": "offline"}.get(link, "unknown")
        yield Statement("status", place, NETWORK, claim, link)
        for row in group["services"]:
            start = str(row["start"] or "")
            yield Statement("status", place, row["service"], row["state"], "", start)


def read_timeline(document: Mapping[str, Any]) -> Iterator[Statement]:
    """The last whole bin of a country's timeline."""
    scope = document["scope"]
    place = Place(scope["country"], asn=scope["asn"] or 0, access=scope["access"] or "")
    whole = [cell for cell in document["cells"] if _is_over(cell["start"], document)]
    if whole:
        cell = whole[-1]
        state = "offline" if cell["silent"] and not cell["vantages"] else cell["state"]
        yield Statement("timeline", place, scope["service"] or NETWORK, state, "", cell["start"])


def _is_over(start: str, document: Mapping[str, Any]) -> bool:
    return bool(start < str(document["until"]))


def read_incidents(output: str, document: Mapping[str, Any]) -> Iterator[Statement]:
    """Open incidents, each of their parts."""
    for incident in document["incidents"]:
        if incident["state"] in ("suspected", "confirmed"):
            yield from _read_parts(output, incident)


def _read_parts(output: str, incident: Mapping[str, Any]) -> Iterator[Statement]:
    silence = incident["kind"] == "network_silence"
    claim = "offline" if silence else "blocked"
    subject = NETWORK if silence else incident["scope"]["service"]
    for part in incident["parts"] or [incident["scope"]]:
        place = Place(part["country"], part["region"], part["asn"] or 0, part["access"])
        yield Statement(output, place, subject, claim, incident["sentence"])


class Page(HTMLParser):
    """Marked cells of a page by id: their class, and the words in them; a script is no word."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: dict[str, str] = {}
        self.mark: dict[str, str] = {}
        self._open: list[tuple[str, str]] = []
        self._depth_out = 0
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("meta", "link", "img", "br", "input", "use", "path", "rect", "circle", "line"):
            return
        named = dict(attrs)
        id_ = named.get("id") or ""
        self._open.append((tag, id_))
        self._depth_out += tag in ("svg", "script", "style")
        if id_:
            self.mark[id_] = named.get("class") or ""

    def handle_endtag(self, tag: str) -> None:
        while self._open:
            opened, _ = self._open.pop()
            self._depth_out -= opened in ("svg", "script", "style")
            if opened == tag:
                return

    def handle_data(self, data: str) -> None:
        if self._depth_out:
            return
        for _, id_ in self._open:
            if id_:
                self.words[id_] = " ".join(f"{self.words.get(id_, '')} {data}".split())


def read_headline(output: str, page: Page, place: Place) -> Iterator[Statement]:
    """What the headline alone says of a country's network: offline, all well, or neither."""
    words = page.words.get("headline", "")
    is_past = re.search(r"\b(ended|over|returned|restored|came back)\b", words, re.IGNORECASE)
    claim = "offline" if OFFLINE.search(words) and not is_past else "unknown"
    if CALM.search(words):
        claim = "reachable"
    yield Statement(output, place, NETWORK, claim, words)


def read_grid(output: str, page: Page, places: Iterable[Place]) -> Iterator[Statement]:
    """The columns of networks, and the cells of services below them."""
    for place in places:
        slug = f"{place.country}-{place.asn}-{place.access}"
        head = page.words.get(f"head-{slug}", "")
        if head:
            # "online, some fell silent": a part of it, which is said of no service.
            is_part = "online" in head
            claim = "unknown" if is_part or not OFFLINE.search(head) else "offline"
            yield Statement(output, place, NETWORK, claim, head)
        prefix = f"cell-{slug}-"
        for id_, mark in page.mark.items():
            if id_.startswith(prefix):
                service = id_.removeprefix(prefix)
                yield Statement(output, place, service, _claim_of(mark), page.words.get(id_, ""))


def read_rows(output: str, page: Page, places: Mapping[str, Place]) -> Iterator[Statement]:
    """What a country's page says "now", by the id of the row, of services in the whole country."""
    for id_, mark in page.mark.items():
        row = id_.removesuffix("-now")
        if row != id_ and row in places:
            yield Statement(output, places[row], SERVICES, _claim_of(mark), page.words.get(id_, ""))


def read_map(page: Page, countries: Iterable[str]) -> Iterator[Statement]:
    """A country's color on the map: one for all that is told of it."""
    for country in countries:
        mark = page.mark.get(f"map-{country}", "")
        if mark:
            yield Statement("map", Place(country), NETWORK, _claim_of(mark))


def _claim_of(mark: str) -> str:
    return WORDS.get(mark.partition(" ")[0], "unknown")
