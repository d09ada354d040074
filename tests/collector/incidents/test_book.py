"""What the log's entries come to: the newest state of each incident, and which entries made it."""

import hashlib
from typing import Any

import pytest

from heliograph_collector.incidents.state import EMPTY_HEAD, IncidentBook, LogEntry


def entry(number: int, id_: str, state: str, started: str = "2022-01-05T11:00:00Z") -> LogEntry:
    incident: dict[str, Any] = {"id": id_, "state": state, "started": {"earliest": started}}
    line = f"{number} {id_} {state}".encode()
    return LogEntry(number, hashlib.sha256(line).hexdigest(), line, {"incident": incident})


def test_book_has_newest_state_entries_and_head() -> None:
    entries = [entry(1, "a", "suspected"), entry(2, "b", "suspected"), entry(3, "a", "confirmed")]
    book = IncidentBook(entries)
    found = book.get("a")
    assert found is not None
    assert (found["state"], found["alerts"]) == ("confirmed", [1, 3])
    assert book.entries_of("a") == [entries[0], entries[2]]
    assert (book.get("c"), book.entries_of("c")) == (None, [])
    assert (book.head, IncidentBook().head) == (entries[-1].hash, EMPTY_HEAD)


def test_incidents_are_ordered_by_newest_start() -> None:
    book = IncidentBook()
    assert book.incidents() == []
    book.append(entry(1, "late", "suspected", "2022-01-07T00:00:00Z"))
    book.append(entry(2, "early", "suspected", "2022-01-05T00:00:00Z"))
    assert [incident["id"] for incident in book.incidents()] == ["late", "early"]


def test_entry_out_of_order_is_refused_and_returned_incidents_are_copies() -> None:
    book = IncidentBook([entry(1, "a", "suspected")])
    for number in (1, 3):
        with pytest.raises(ValueError, match="does not follow"):
            book.append(entry(number, "a", "closed"))
    book.incidents()[0]["state"] = "withdrawn"
    assert book.incidents()[0]["state"] == "suspected"
