"""What is counted shortly in a calm bin is what the whole count gives, to the last bit."""

from random import Random

import pytest

from heliograph_collector.detect.blocking.evidence import CellEvidence, list_hits
from heliograph_collector.detect.stats.localization import count_by_cell
from heliograph_collector.detect.stats.voting import count_total, count_votes, sum_votes
from heliograph_collector.model.scope import Scope
from heliograph_collector.model.signals import ServiceVote, VantageLocation, VantageRef, VoteValue
from heliograph_collector.model.thresholds import THRESHOLDS
from support.examples import draw_seeds

NAMES = ("", "net", "20001.aa", "20001.bb", "20001.cc", "20002.aa", "20002.dd")
COUNTRIES = ("KZ", "XA")


class _Working:
    def usual_rate(self, scope: Scope) -> float:
        return 0.0


def _draw_votes(rng: Random, failing: float, countries: tuple[str, ...]) -> list[ServiceVote]:
    """Draw votes of lines, of which some claim several places and some share a name."""
    names = rng.choice([NAMES, NAMES[2:5], [f"net {n}" for n in range(30)]])
    votes = []
    for number in range(rng.randrange(30)):
        region, asn, access = rng.choice(["A", "B", ""]), rng.choice([0, 1, 2]), "mobile"
        location = VantageLocation(rng.choice(countries), region, asn, access)
        witness = VantageRef(f"v{number}", rng.choice(names), location)
        value = VoteValue.BLOCKED if rng.random() < failing else VoteValue.GOOD
        votes.append(ServiceVote(0, witness, "signal", value))
    return votes


@pytest.mark.parametrize("seed", draw_seeds(160))
def test_total_is_the_sum_of_the_locations(seed: int) -> None:
    rng = Random(seed)
    for failing in (0.0, 0.1, 0.5):
        hits = list_hits(_draw_votes(rng, failing, COUNTRIES))
        for nat_votes in (1, 5):
            assert count_total(hits, nat_votes) == sum_votes(count_votes(hits, nat_votes))


@pytest.mark.parametrize("seed", draw_seeds(160))
def test_calm_bins_leave_the_evidence_that_counting_them_would(seed: int) -> None:
    rng = Random(seed)
    counted, short = CellEvidence(), CellEvidence()
    calm_bins = 0
    for _ in range(40):
        votes = _draw_votes(rng, rng.choice([0.0, 0.0, 0.05]), COUNTRIES[:1])
        cells = count_by_cell(count_votes(list_hits(votes)))
        counted.add_bin(cells, 0.02, _Working(), THRESHOLDS)
        if short.is_calm(votes):
            short.add_calm_bin(votes)
            calm_bins += 1
        else:
            short.add_bin(cells, 0.02, _Working(), THRESHOLDS)
        assert [*short.sums.items()] == [*counted.sums.items()]
        assert short.tested == counted.tested
    assert 0 < calm_bins < 40
