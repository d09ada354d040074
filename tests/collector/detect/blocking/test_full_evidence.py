"""The evidence of a block that has lasted for a while is full, and stays so while all fail."""

import pytest

from heliograph_collector.detect.blocking.evidence import CellEvidence
from heliograph_collector.detect.stats.voting import VoteCount
from heliograph_collector.model.scope import Scope
from heliograph_collector.model.thresholds import THRESHOLDS

COUNTRY = Scope("KZ")


class _Failing:
    """Other services that fail as often as any can without being blocked."""

    def usual_rate(self, scope: Scope) -> float:
        return 0.84 if scope == COUNTRY else 0.0


class _Working:
    def usual_rate(self, scope: Scope) -> float:
        return 0.0


def _fill() -> tuple[CellEvidence, float]:
    evidence = CellEvidence()
    for _ in range(30):
        evidence.add_bin({COUNTRY: VoteCount(12, 12, 12)}, 0.02, _Working(), THRESHOLDS)
    return evidence, evidence.sums[COUNTRY]


@pytest.mark.parametrize("votes", [0, 1, 5, 40])
@pytest.mark.parametrize("rate", [0.02, 0.5, 0.95])
def test_no_bin_in_which_all_fail_lowers_it(votes: int, rate: float) -> None:
    evidence, full = _fill()
    evidence.add_bin({COUNTRY: VoteCount(votes, votes, votes)}, rate, _Failing(), THRESHOLDS)
    evidence.add_repeats({COUNTRY: VoteCount(votes, votes, votes)}, _Failing(), THRESHOLDS)
    assert evidence.sums[COUNTRY] == full
    assert COUNTRY in evidence.find_alarmed(THRESHOLDS)


def test_tests_that_work_lower_it_by_what_other_services_fail() -> None:
    evidence, full = _fill()
    evidence.add_bin({COUNTRY: VoteCount(12, 9, 12)}, 0.02, _Failing(), THRESHOLDS)
    assert evidence.sums[COUNTRY] < full


def test_tests_count_while_it_is_full() -> None:
    evidence, _ = _fill()
    for _ in range(3):
        evidence.add_bin({COUNTRY: VoteCount(40, 0, 40)}, 0.02, _Working(), THRESHOLDS)
    assert COUNTRY not in evidence.find_alarmed(THRESHOLDS)
