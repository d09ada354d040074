"""Few vantages that test by the default plan are detected as a collector would detect them."""

from dataclasses import replace
from random import Random

import pytest

from heliograph_collector.detect.replay import replay_signals
from heliograph_collector.detect.sparse.density import TimedVote, split_sparse
from heliograph_collector.incidents.incident import Incident
from heliograph_collector.model.signals import ServiceVote, VantageRef, VoteValue
from support.presence_model import BLOCKED_TLS, at, confirmed, country, world

AT, END, UNTIL = 8_400.0, 15_600.0, 21_600.0
HOME = country(each=1)


def _list_votes(home: list[VantageRef], blocked: int, seed: int) -> list[TimedVote]:
    """Test a messenger every 480 s; so many of these vantages cannot reach it for two hours."""
    rng = Random(seed)
    votes: list[TimedVote] = []
    for vantage in home + world(3):
        now_s = rng.uniform(0, 480)
        while now_s < UNTIL:
            is_hit = vantage in home[:blocked] and AT <= now_s < END
            result = BLOCKED_TLS if is_hit or rng.random() < 0.01 else (VoteValue.GOOD, "", "")
            votes.append((at(now_s + 17), ServiceVote(at(now_s), vantage, "telegram", *result)))
            now_s += 480 * rng.uniform(0.97, 1.03)
    return votes


def _replay(votes: list[TimedVote]) -> list[Incident]:
    return confirmed(replay_signals((), votes, end_us=at(UNTIL)).incidents)


@pytest.mark.parametrize("count", [5, 7])
@pytest.mark.parametrize("seed", range(2))
def test_block_that_five_vantages_see_is_told_within_minutes(count: int, seed: int) -> None:
    """Version 166 told it at the end of the hour, and never told its end."""
    (incident,) = _replay(_list_votes(HOME[:count], count, seed))
    assert incident.confirmed_us is not None
    assert at(AT) < incident.confirmed_us <= at(AT + 900)
    assert incident.closed_us is not None
    assert at(END) < incident.closed_us <= at(END + 1_500)


@pytest.mark.parametrize("seed", range(2))
def test_service_that_fails_for_two_of_seven_is_no_block(seed: int) -> None:
    assert _replay(_list_votes(HOME[:7], 2, seed)) == []


def test_rows_that_each_have_a_voter_are_too_few_for_minutes() -> None:
    votes = [(us, v) for us, v in _list_votes(HOME[:5], 5, 0) if v.witness in HOME]
    assert split_sparse(votes) == ([], votes)
    rows = [
        (us, replace(vote, witness=replace(vote.witness, nym=f"row {number}")))
        for number, (us, vote) in enumerate(votes)
    ]
    assert split_sparse(rows) == ([row for _, row in rows], [])
