"""A block of hours in most other countries does not hide one that begins here."""

from collections.abc import Mapping
from random import Random

import pytest

from heliograph.units import SECOND_US
from heliograph_collector.detect.blocking.detector import detect_blocking
from heliograph_collector.detect.blocking.known_votes import KnownVotes
from heliograph_collector.detect.stats.voting import VoteCount
from heliograph_collector.incidents.incident import Incident
from heliograph_collector.model.scope import Scope
from heliograph_collector.model.signals import VantageRef
from heliograph_collector.model.thresholds import THRESHOLDS
from support.examples import only_in_soak
from support.presence_model import KZ, at, confirmed, country, service_votes, world

UNTIL = 12_300.0
HERE = country()
BEFORE = {"XA": 600.0, "XB": 1_800.0, "XC": 3_000.0}  # three of the four others, one by one


def detect(onsets: Mapping[str, float], share: float = 1.0, asn: int = 0) -> list[Incident]:
    """Detect with onsets by country, from which a share of tests fails.

    In KZ only one network fails, if `asn` names it.
    """
    rng = Random(1)

    def is_failing(vantage: VantageRef, now_s: float) -> bool:
        if asn and KZ(vantage) and vantage.place.asn != asn:
            return False
        return now_s >= onsets.get(vantage.place.country, UNTIL) and rng.random() < share

    votes = service_votes(HERE + world(), Random(2), UNTIL, is_failing)
    return confirmed(detect_blocking(votes, at(0), at(UNTIL)))


@pytest.mark.parametrize(
    ("before", "share"),
    [
        pytest.param(BEFORE, 0.9, marks=only_in_soak),
        (dict.fromkeys(BEFORE, 0.0), 1.0),
        pytest.param(dict.fromkeys(BEFORE, 600.0), 0.9, marks=only_in_soak),
    ],
)
def test_block_is_told_where_most_other_countries_block_for_hours(
    before: Mapping[str, float], share: float
) -> None:
    """A block is confirmed where most other countries have blocked for hours.

    One after another, or since tests began, which no incident shows.
    """
    onset = 11_400.0
    told = detect({**before, "KZ": onset}, share)
    (incident,) = [i for i in told if i.scope.country == "KZ"]
    assert incident.confirmed_us is not None
    assert incident.scope.is_national
    assert (incident.confirmed_us - at(onset)) / SECOND_US <= 300


def test_operator_that_begins_to_block_is_told_where_most_countries_do() -> None:
    onset = 11_400.0
    told = detect(dict.fromkeys(BEFORE, 0.0) | {"KZ": onset}, asn=HERE[0].place.asn)
    assert [i.scope for i in told] == [Scope("KZ", asn=HERE[0].place.asn)]


@only_in_soak
def test_outage_of_a_service_that_most_countries_block_is_no_block() -> None:
    """An outage of a service that most countries block is no block.

    The others, which fail for hours, are no evidence; the only one that does not fails too.
    """
    onset = 11_400.0
    assert detect({**dict.fromkeys(BEFORE, 0.0), "KZ": onset, "XD": onset}, 0.8) == []


def test_failure_that_spreads_within_two_hours_is_no_block_here() -> None:
    told = detect(BEFORE | {"KZ": 6_600.0})
    assert "KZ" not in {i.scope.country for i in told}


@pytest.mark.parametrize("share", [1.0, 0.7])
def test_service_that_fails_everywhere_for_hours_is_no_block(share: float) -> None:
    everywhere = dict.fromkeys({vantage.place.country for vantage in HERE + world()}, 600.0)
    assert detect(everywhere, share) == []


def test_a_bin_in_which_few_fail_is_no_end() -> None:
    known = KnownVotes()
    known.note_share(VoteCount(18.0, 15.0), at(60), THRESHOLDS)
    known.note_share(VoteCount(18.0, 7.0), at(120), THRESHOLDS)
    known.note_share(VoteCount(18.0, 15.0), at(180), THRESHOLDS)
    assert known.failing_us == at(60)
    for minute in range(4, 9):
        known.note_share(VoteCount(18.0, 1.0), at(60 * minute), THRESHOLDS)
    assert known.failing_us == 0
