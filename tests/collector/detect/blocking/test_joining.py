"""A block that reaches providers by turns is one incident, though each was suspected by itself."""

from random import Random

from heliograph_collector.detect.blocking.detector import detect_blocking
from heliograph_collector.model.scope import Scope
from heliograph_collector.model.signals import VantageLocation, VantageRef
from support.presence_model import KZ, at, confirmed, people, service_votes, world

HOUR = 3_600.0
SMALL = {1: 1 * HOUR, 2: 3.2 * HOUR, 3: 5.4 * HOUR}  # providers, and when each obeys
LARGE_AT = 6.5 * HOUR
UNTIL = 7.5 * HOUR


def test_providers_that_are_too_few_each_are_one_block_once_they_suffice() -> None:
    """Version 123 told the country three times, in one minute, with three onsets."""
    home = [v for asn in SMALL for v in people(VantageLocation("KZ", "ALA", asn, "fixed"), 4)]
    home += people(VantageLocation("KZ", "ALA", 4, "fixed"), 14)

    def is_failing(vantage: VantageRef, now_s: float) -> bool:
        return KZ(vantage) and now_s >= SMALL.get(vantage.place.asn, LARGE_AT)

    votes = service_votes(home + world(each=1), Random(2), UNTIL, is_failing)
    told = confirmed(detect_blocking(votes, at(0), at(UNTIL)))
    assert [incident.scope for incident in told] == [Scope("KZ")]
    assert at(HOUR - 120) <= told[0].started.latest_us <= at(HOUR + 300)
