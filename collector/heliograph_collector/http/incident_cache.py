"""The incidents of the book as documents, made again only when the log says something new."""

import asyncio

from heliograph_collector.http.backend import Feed
from heliograph_collector.http.incident_document import OPEN, Json, document, history, place_of, us

RECENT_US = 7 * 86_400_000_000


class Shelf:
    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._turn = asyncio.Lock()
        self._head = ""
        self._kept: dict[str, tuple[int, Json | None]] = {}  # id → last entry, document
        self._all: list[Json] = []

    async def look(self) -> None:
        """Make what is new of `all` in another thread: after a start that may be thousands."""
        if self._head != self.head:
            async with self._turn:
                await asyncio.to_thread(self.all)

    @property
    def head(self) -> str:
        return self._feed.book.head

    def all(self) -> list[Json]:
        """Newest start first; those of too few are not among them."""
        head = self.head  # before the look: the book is written in another thread
        if self._head != head:
            made = [self._made(found["id"], found["alerts"][-1]) for found in self._found()]
            self._all = sorted((d for d in made if d), key=place_of, reverse=True)
            self._head = head
        return self._all

    def one(self, id_: str) -> Json | None:
        found = self._feed.book.get(id_)
        return self._made(id_, found["alerts"][-1]) if found else None

    def of(self, country: str) -> list[Json]:
        return [i for i in self.all() if country in ("", i["scope"]["country"])]

    def recent(self, country: str, now_us: int) -> tuple[list[Json], list[Json]]:
        """(those that are open, the confirmed first; those that ended within a week)."""
        mine = self.of(country)
        under_way = sorted(
            (i for i in mine if i["state"] in OPEN), key=lambda i: i["state"] != "confirmed"
        )
        over = [i for i in mine if i["state"] not in OPEN and us(i["updated"]) > now_us - RECENT_US]
        return under_way, over

    def history(self, id_: str) -> list[tuple[Json, Json | None]]:
        feed = self._feed
        return history(feed.book.of(id_), feed.services, feed.k_anonymity)

    def told(self, document: Json) -> Json:
        """With what others say beside it, which changes without the log and is not proved by it."""
        return {**document, "corroboration": list(self._feed.annotations(document["id"]))}

    def _found(self) -> list[Json]:
        return self._feed.book.incidents()

    def _made(self, id_: str, last: int) -> Json | None:
        kept = self._kept.get(id_)
        if kept is None or kept[0] != last:
            feed = self._feed
            made = document(feed.book.of(id_), feed.services, feed.k_anonymity)
            kept = self._kept[id_] = (last, made)
        return kept[1]
