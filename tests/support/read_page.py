"""A page as somebody reads it: its elements, and the text under each id."""

from collections import defaultdict
from html.parser import HTMLParser


class Read(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[tuple[str, str]] = []
        self._parts: dict[str, list[str]] = defaultdict(list)
        self.feed(html)
        self.text = {id_: " ".join(" ".join(parts).split()) for id_, parts in self._parts.items()}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.elements.append((tag, named))
        if tag not in ("meta", "link", "img", "br"):
            self._open.append((tag, named.get("id") or ""))

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        for _, id_ in self._open:
            if id_:
                self._parts[id_].append(data)
