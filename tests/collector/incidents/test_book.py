"""What the log's entries come to: the newest state of each incident, and which entries made it."""

import hashlib
from typing import Any

import pytest

from heliograph_collector.incidents.book import START, Book, Entry


def entry(number: int, id_: str, state: str, started: str = "2022-01-05T11:00:00Z") -> Entry:
    incident: dict[str, Any] = {"id": id_, "state": state, "started": {"earliest": started}}
    line = f"{number} {id_} {state}".encode()
    return Entry(number, hashlib.sha256(line).hexdigest(), line, {"incident": incident})


def test_the_newest_state_of_each_stands_with_the_numbers_of_its_entries() -> None:
    entries = [entry(1, "a", "suspected"), entry(2, "b", "suspected"), entry(3, "a", "confirmed")]
    book = Book(entries)
    found = book.get("a")
    assert found is not None
    assert (found["state"], found["alerts"]) == ("confirmed", [1, 3])
    assert book.of("a") == [entries[0], entries[2]]
    assert (book.get("c"), book.of("c")) == (None, [])


def test_the_newest_start_comes_first_whatever_was_told_last() -> None:
    book = Book()
    assert book.incidents() == []
    book.take(entry(1, "late", "suspected", "2022-01-07T00:00:00Z"))
    book.take(entry(2, "early", "suspected", "2022-01-05T00:00:00Z"))
    assert [incident["id"] for incident in book.incidents()] == ["late", "early"]


def test_the_head_is_the_last_entrys_hash() -> None:
    book = Book()
    assert book.head == START
    book.take(entry(1, "a", "suspected"))
    assert book.head == book.entries[-1].hash


def test_an_entry_out_of_turn_is_refused() -> None:
    book = Book([entry(1, "a", "suspected")])
    for number in (1, 3):
        with pytest.raises(ValueError, match="does not follow"):
            book.take(entry(number, "a", "closed"))


def test_who_changes_what_it_gives_changes_nothing_in_it() -> None:
    book = Book([entry(1, "a", "suspected")])
    book.incidents()[0]["state"] = "withdrawn"
    assert book.incidents()[0]["state"] == "suspected"
