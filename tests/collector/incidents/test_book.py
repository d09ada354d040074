"""The book has each incident's newest state, and the entries that made it."""

from dataclasses import replace

import pytest

from heliograph_collector.incidents.incident import IncidentState
from heliograph_collector.incidents.state import EMPTY_HEAD, IncidentBook
from support.incident_book import book, silence

SUSPECTED = silence("late", 10, state=IncidentState.SUSPECTED, confirmed_us=None)
CONFIRMED = silence("early", 30)


def test_book_has_newest_state_entries_and_head() -> None:
    made = book(SUSPECTED, CONFIRMED)
    found = made.get("early")
    assert found is not None
    assert (found.state, found.entries) == ("confirmed", (1, 2))
    assert made.entries_of("early") == made.entries[:2]
    assert (made.get("c"), made.entries_of("c")) == (None, [])
    assert (made.head, IncidentBook().head) == (made.entries[-1].hash, EMPTY_HEAD)


def test_incidents_are_ordered_by_newest_start() -> None:
    assert IncidentBook().incidents() == []
    incidents = book(CONFIRMED, SUSPECTED).incidents()
    assert [incident.record.id for incident in incidents] == ["late", "early"]


@pytest.mark.parametrize("number", [1, 3])
def test_entry_out_of_order_is_refused(number: int) -> None:
    (entry,) = book(SUSPECTED).entries
    with pytest.raises(ValueError, match="does not follow"):
        IncidentBook([entry]).append(replace(entry, number=number))
