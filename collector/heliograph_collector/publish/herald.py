"""Puts on the stream what the detectors found, in the words of the API and within its limits."""

import json
from collections.abc import Mapping
from typing import Any

from heliograph_collector.publish.blindness import gap
from heliograph_collector.publish.bus import Bus
from heliograph_collector.publish.incidents import document, state
from heliograph_collector.store.incidents import Book


class Herald:
    """`titles` are those of the services, `k` that of k-anonymity."""

    def __init__(self, bus: Bus, titles: Mapping[str, str], k: int) -> None:
        self._bus, self._titles, self._k = bus, titles, k

    def incident(self, book: Book, id_: str) -> None:
        """As `/api/v1/incidents/{id}` gives it; nothing of those that it does not give."""
        told = document(book.of(id_), self._titles, self._k)
        if told is not None:
            self._bus.publish("incident", json.dumps(told))

    def blind(self, book: Book, spell: Mapping[str, Any]) -> None:
        """As in `/api/v1/coverage`. A country of which nothing was ever said is not named:

        that we are blind there would tell that somebody is there. Whoever asks gets what is shown.
        """
        country = spell["country"]
        named = not country or self._k <= 1 or self._told(book, country)
        told = gap(spell) if named else {"ask": "/api/v1/coverage"}
        self._bus.publish("coverage", json.dumps(told))

    def _told(self, book: Book, country: str) -> bool:
        mine = (i for i in book.incidents() if i["scope"]["country"] == country)
        return any(state(i, self._titles, self._k) for i in mine)
