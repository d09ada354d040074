"""Vote by vote is the same as the whole window at once; late votes are handled.

A late vote is refused or counts late.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from heliograph.units import SECOND_US
from heliograph_collector.detect import checkpoint
from heliograph_collector.detect.blocking.detector import BlockingDetector, detect_blocking
from heliograph_collector.detect.engine import CLOSE_US, RECOVERY_CHECK_US, DetectorEngine
from heliograph_collector.incidents.incident import IncidentState
from heliograph_collector.model.signals import ServiceVote, VantageLocation, VantageRef, VoteValue
from heliograph_collector.model.thresholds import THRESHOLDS
from support.examples import draw_seeds
from support.journal_rows import SECRET
from support.presence_model import OLD_US, at, country, people, world

VALUES = (VoteValue.GOOD, VoteValue.BLOCKED, VoteValue.PARTIAL, VoteValue.DOWN, VoteValue.UNKNOWN)
MINUTES = 60
BEGAN_S, OVER_S, UNTIL_S = 1_800, 3_607, 4_200


def random_votes(rng: Random) -> list[ServiceVote]:
    """Return votes of two services in three countries, with random failures.

    At times a whole country fails, or the world.
    """
    place = VantageLocation("KZ", "ALA", 101, "mobile")
    shared = [VantageRef(f"s{i}", "one", place, OLD_US) for i in range(3)]
    failing = {
        (name, service): sorted(rng.sample(range(MINUTES), 2))
        for name in ("KZ", "XA", "XB")
        for service in ("signal", "telegram")
    }
    votes = []
    for witness in [*country(each=1), *world(2), *shared]:
        for service in ("signal", "telegram"):
            since, until = failing[witness.place.country, service]
            now = rng.uniform(0, 120)
            while now < MINUTES * 60:
                bad = since <= now / 60 < until and rng.random() < 0.9
                value = VoteValue.BLOCKED if bad else rng.choices(VALUES, (90, 3, 2, 2, 3))[0]
                votes.append(ServiceVote(at(now), witness, service, value, "tls", "reset"))
                now += rng.choice((45, 60, 120, 300))
    return votes


def run_late(votes: Sequence[ServiceVote], rng: Random, late_s: float) -> BlockingDetector:
    """Run with random delays of votes; close bins as soon as none can be missing."""
    width = int(THRESHOLDS.bin_s * SECOND_US)
    arrivals = sorted((vote.at_us + int(rng.uniform(0, late_s) * SECOND_US), i, vote)
                      for i, vote in enumerate(votes))  # fmt: skip
    detector = BlockingDetector(at(0))
    for arrived_us, _, vote in arrivals:
        detector.close_bins((arrived_us - int(late_s * SECOND_US) - at(0)) // width * width + at(0))
        assert detector.add_vote(vote)
    detector.close_bins(at(MINUTES * 60))
    return detector


@pytest.mark.replay
def test_incremental_detector_finds_what_the_whole_window_shows() -> None:
    kinds = set()
    for seed in draw_seeds(12):
        rng = Random(seed)
        votes = random_votes(rng)
        incidents = detect_blocking(votes, at(0), at(MINUTES * 60))
        assert run_late(votes, rng, late_s=45).incidents() == incidents, seed
        kinds |= {(i.state, i.scope.country) for i in incidents}
    assert len(kinds) > 3, "some of these streams hold incidents"


def votes_in(minute: int) -> list[ServiceVote]:
    """Return a minute of votes of twelve: all well for an hour, then all failing."""
    value = VoteValue.BLOCKED if minute >= 60 else VoteValue.GOOD
    twelve = people(VantageLocation("KZ", "ALA", 101, "fixed"), 6)
    twelve += people(VantageLocation("KZ", "AST", 102), 6)
    return [
        ServiceVote(at(60 * minute + i), w, "signal", value, "tls", "reset")
        for i, w in enumerate(twelve)
    ]


def test_vote_a_minute_late_counts_in_the_bin_of_its_arrival() -> None:
    detector = BlockingDetector(at(0))
    for minute in range(1, 71):
        detector.close_bins(at(60 * minute))
        assert all(detector.add_vote(vote) for vote in votes_in(minute - 1))
    detector.close_bins(at(60 * 71))
    (incident,) = detector.incidents()
    assert incident.confirmed_us is not None
    assert incident.confirmed_us <= at(3_600 + 300)
    assert incident.started.earliest_us <= at(3_600) <= incident.started.latest_us


def test_vote_older_than_a_bin_is_refused_and_one_from_the_future_counts_soon() -> None:
    detector = BlockingDetector(at(0))
    detector.close_bins(at(600))
    vote = votes_in(0)[0]
    assert not detector.add_vote(replace(vote, at_us=at(600 - 241)))
    assert detector.add_vote(replace(vote, at_us=at(600 - 239)))
    # One of a clock that runs ahead counts soon: else it were held back, and then be the newest.
    assert detector.add_vote(replace(vote, at_us=at(86_400)))
    detector.close_bins(at(1_200))
    assert detector.waiting_votes == []


def test_verdict_judged_again_is_no_second_vote() -> None:
    detector, reference = BlockingDetector(at(0)), BlockingDetector(at(0))
    for minute in range(66):
        for each in (detector, reference):
            for vote in votes_in(minute):
                each.add_vote(vote)
            each.close_bins(at(60 * (minute + 1)))
        for vote in votes_in(minute):
            detector.add_vote(replace(vote, layer="dns"))
    sums = detector.services["signal"].countries["KZ"].evidence.sums
    assert sums == reference.services["signal"].countries["KZ"].evidence.sums


# ---- between two minutes: is a block over?


def six_votes(over_s: int = OVER_S, still_failing: int = 0) -> list[ServiceVote]:
    """Return votes of six vantages, each minute; abroad all is well."""
    here = people(VantageLocation("KZ", "ALA", 101, "fixed"), 3)
    here += people(VantageLocation("KZ", "AST", 102), 3)
    votes = []
    for minute in range(UNTIL_S // 60):
        for number, witness in enumerate([*here, *world(2)]):
            now_s = 60 * minute + number % 60
            until_s = UNTIL_S if number < still_failing else over_s
            bad = number < len(here) and BEGAN_S <= now_s < until_s
            value = VoteValue.BLOCKED if bad else VoteValue.GOOD
            votes.append(ServiceVote(at(now_s), witness, "signal", value, "tls", "reset"))
    return votes


def run_engine(
    votes: Iterable[ServiceVote], saved: checkpoint.SavedState | None = None
) -> DetectorEngine:
    """Second by second, as the collector does."""
    engine = DetectorEngine.create("j", SECRET, at(0))
    waiting = sorted(votes, key=lambda vote: vote.at_us)
    for second in range(UNTIL_S):
        batches = [engine.close_bins(at(second) - CLOSE_US)]
        while waiting and waiting[0].at_us <= at(second):
            assert engine.add_vote(waiting.pop(0))
        batches.append(engine.check_recovery(at(second)))
        for batch in batches:
            if saved and batch is not None:
                checkpoint.append_batch(saved, batch)
    return engine


def test_block_is_closed_before_the_minute_is_over_and_a_restart_replays_it(tmp_path: Path) -> None:
    saved = checkpoint.save_state(tmp_path, DetectorEngine.create("j", SECRET, at(0)))
    live = run_engine(six_votes(), saved)
    (incident,) = live.incidents()
    assert incident.state is IncidentState.CLOSED
    assert incident.closed_us is not None
    last_of_six_us = at(OVER_S + 60 - OVER_S % 60 + 5)  # by then each has tested once more
    assert incident.closed_us <= last_of_six_us + RECOVERY_CHECK_US + 75 * SECOND_US
    assert incident.closed_us % (60 * SECOND_US)
    assert incident.ended is not None
    assert incident.ended.earliest_us <= at(OVER_S) <= incident.ended.latest_us
    loaded = checkpoint.load_newest(tmp_path, "j", 0, SECRET)
    assert loaded is not None
    for batch in checkpoint.read_batches(saved.votes_file):
        assert loaded[0].is_due(batch, at(UNTIL_S))
        loaded[0].replay(batch)
    assert loaded[0].incidents() == live.incidents()


@pytest.mark.parametrize("still_failing", [3, 6])
def test_block_is_open_while_half_of_the_vantages_fail(still_failing: int) -> None:
    (incident,) = run_engine(six_votes(still_failing=still_failing)).incidents()
    assert incident.state is IncidentState.CONFIRMED
