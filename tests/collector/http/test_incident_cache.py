"""The book is written in another thread; no reader fails or keeps an old page."""

import threading

from heliograph_collector.http.incident_cache import IncidentCache
from heliograph_collector.incidents.state import IncidentBook, LogEntry
from support.fake_feed import World
from support.incident_book import book, silence


def test_reading_while_another_thread_writes() -> None:
    entries = book(*(silence(f"{n:016x}", 10) for n in range(300))).entries
    kept = IncidentBook()
    shelf = IncidentCache(World().feed(book=kept))
    failed: list[BaseException] = []
    over = threading.Event()

    def read() -> None:
        try:
            while not over.is_set():
                shelf.all_incidents()
        except RuntimeError as error:
            failed.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for entry in entries:
        kept.append(entry)
    over.set()
    reader.join(30)
    assert not failed
    assert len(shelf.all_incidents()) == 300


def test_a_head_is_seen_only_with_all_that_it_proves() -> None:
    """A look in the middle of `take` must not pass for one after it."""
    (first, *_) = book(silence()).entries
    kept = IncidentBook()
    shelf = IncidentCache(World().feed(book=kept))
    seen: list[int] = []

    class Looking(LogEntry):
        """Somebody looks at the shelf as soon as the entry's incident is read."""

        @property
        def incident(self) -> str:
            if not seen:
                seen.append(len(shelf.all_incidents()))
            return super().incident

    kept.append(Looking(first.number, first.hash, first.line, first.body))
    assert seen == [0]
    assert len(shelf.all_incidents()) == 1
