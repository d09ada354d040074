"""Find the silence in which an agent was lost."""

import pytest

from heliograph_collector.incidents.incident import Incident, IncidentState
from heliograph_collector.incidents.silence_search import find_silence
from heliograph_collector.model.scope import Scope
from heliograph_collector.model.signals import VantageLocation
from support.incident_book import ago, blocking, book, closed, part, silence

MOBILE = VantageLocation("KZ", "", 29355, "mobile")
CUT = silence(
    minutes=30, parts=(part(9.0, "KZ", "", 0, "mobile", beyond=[Scope("KZ", "", 41798)]),)
)


@pytest.mark.parametrize(
    ("incident", "place", "minutes", "is_found"),
    [
        (CUT, MOBILE, 29, True),
        (CUT, MOBILE, 31, True),  # last seen a little before
        (CUT, MOBILE, 33, False),  # gone before the cut
        (CUT, MOBILE._replace(access="fixed"), 29, False),
        (CUT, MOBILE._replace(country="UZ"), 29, False),
        (CUT, MOBILE._replace(asn=41798), 29, False),  # spared
        (closed(CUT, 20), MOBILE, 10, False),  # over
        (closed(CUT, 20), MOBILE, 25, True),
        (silence(parts=(part(9.0, "KZ", "KZ-75"),)), MOBILE, 29, False),  # its region is unknown
        (silence(state=IncidentState.WITHDRAWN, closed_us=ago(1)), MOBILE, 29, False),
        (blocking(minutes=30, parts=CUT.parts), MOBILE, 29, False),
    ],
)
def test_a_silence_is_that_of_the_agent(
    incident: Incident, place: VantageLocation, minutes: float, is_found: bool
) -> None:
    incidents = book(incident).incidents()
    found = find_silence(incidents, place.country, place.asn, place.access, ago(minutes))
    assert bool(found) is is_found
