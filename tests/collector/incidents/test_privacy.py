"""Signed public content identifies no vantage, alone or in comparison."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from heliograph_collector.incidents.diff import diff_incidents
from heliograph_collector.incidents.incident import Bracket
from heliograph_collector.incidents.public_cells import coarsen
from heliograph_collector.incidents.record import incident_record, parse_incident
from support.incident_book import opening, part, silence


def test_numbers_are_steps_and_times_whole_seconds() -> None:
    exact = silence(
        parts=(part(23.7, "KZ", share=0.957), part(9.9995, "KZ", "KZ-ALA")),
        turns=(opening(3, part(7.0, "KZ")),),
        started=Bracket(1_000_000_400_000, 1_000_041_000_001), suspected_us=1_000_042_123_456,
        confirmed_us=1_000_072_123_456, closed_us=1_000_999_123_456, confidence=0.967,
    )  # fmt: skip
    told = incident_record(coarsen(exact, 5))
    assert [(p.votes, p.share) for p in told.parts] == [(20.0, 0.9), (10.0, 1.0)]
    assert told.turns[0].parts[0].votes == 5.0
    assert told.confidence == 0.9
    assert told.started.earliest.endswith(":40.000000Z")
    assert told.started.latest.endswith(":22.000000Z")
    seen = [told.suspected, told.confirmed, told.closed, told.turns[0].seen]
    is_whole = all(str(moment).endswith(".000000Z") for moment in seen)
    assert is_whole, "somebody's last heartbeat and 37 s"


def test_networks_tell_no_more_of_how_many_voted_than_votes_do() -> None:
    """The number of networks reveals no more than the votes.

    Nine votes are "5-9"; that they came from nine networks would give nine.
    """
    spread = replace(part(9.0, "KZ"), networks=9)
    cut = silence(parts=(spread,), turns=(opening(3, spread),))
    told = incident_record(coarsen(cut, 5))
    (at_large,), (back,) = told.parts, told.turns[0].parts
    assert (at_large.votes, at_large.networks, back.networks) == (5.0, 5, 5)
    assert coarsen(cut, 1) is cut, "where nobody asks for anonymity all is told"


def test_neither_confidence_nor_order_tells_more_than_the_bands() -> None:
    """Confidence and order reveal no more than the bands.

    Five and nine of a band agree with 0.8 and 0.9; of two cells the larger one came first.
    """

    def tell(*votes: float) -> object:
        cells = tuple(part(n, "KZ", "", asn) for asn, n in enumerate(votes, 1))
        agreement = sum(votes) / (sum(votes) + 1)
        detected = sorted(cells, key=lambda cell: -cell.votes)
        return coarsen(silence(parts=tuple(detected), confidence=agreement), 5)

    assert tell(5) == tell(9)
    assert tell(5, 9) == tell(9, 5)
    assert tell(12, 31) == tell(19, 49)


@given(st.floats(0, 99), st.floats(0, 1), st.integers(2, 60))
def test_coarse_is_coarse_already(votes: float, share: float, least: int) -> None:
    """Coarsening twice changes nothing, so that no restart makes a revision."""
    counted = max(votes, least)
    once = coarsen(silence(parts=(replace(part(counted, "KZ"), share=share),)), least)
    assert coarsen(once, least) == once
    assert least <= once.parts[0].votes <= counted + 1e-3


def test_what_is_said_is_coarse_and_not_said_twice() -> None:
    """Published numbers are coarse, and small changes make no revision.

    A revision is compared with the log.
    """
    exact = silence(parts=(part(23.7, "KZ", share=0.957),))
    _, (first,) = diff_incidents([], [exact], [], 5)
    assert first.incident == coarsen(exact, 5)
    more = replace(exact, parts=(part(24.9, "KZ", share=0.98),))
    assert diff_incidents([parse_incident(incident_record(first.incident))], [more], [], 5)[1] == []
