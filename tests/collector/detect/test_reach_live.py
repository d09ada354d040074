"""Opinion by opinion is the same as the window at once; what comes late is told, or counts late."""

from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest

from heliograph_collector.detect.blocking.detector import Reach, reach
from heliograph_collector.model.signals import SECOND_US, Opinion, Place, Standing, Witness
from heliograph_collector.model.thresholds import THRESHOLDS
from support.dark_world import OLD_US, at, country, people, world

pytestmark = pytest.mark.replay

WORDS = (Standing.GOOD, Standing.BLOCKED, Standing.PARTIAL, Standing.DOWN, Standing.UNKNOWN)
MINUTES = 60


def anything(rng: Random) -> list[Opinion]:
    """Two services in three countries; now and then a whole one fails, or the world does."""
    found = []
    shared = [Witness(f"s{i}", "one", Place("KZ", "ALA", 101, "mobile"), OLD_US) for i in range(3)]
    everybody = [*country(each=1), *world(2), *shared]
    failing = {
        (name, service): sorted(rng.sample(range(MINUTES), 2))
        for name in ("KZ", "XA", "XB")
        for service in ("signal", "telegram")
    }
    for witness in everybody:
        for service in ("signal", "telegram"):
            since, until = failing[witness.place.country, service]
            now = rng.uniform(0, 120)
            while now < MINUTES * 60:
                bad = since <= now / 60 < until and rng.random() < 0.9
                said = Standing.BLOCKED if bad else rng.choices(WORDS, (90, 3, 2, 2, 3))[0]
                found.append(Opinion(at(now), witness, service, said, "tls", "reset"))
                now += rng.choice((45, 60, 120, 300))
    return found


def live(opinions: Sequence[Opinion], rng: Random, late_s: float) -> Reach:
    """Each arrives some time after it was made; bins are closed as soon as nothing can miss."""
    width = int(THRESHOLDS.bin_s * SECOND_US)
    arrivals = sorted((o.at_us + int(rng.uniform(0, late_s) * SECOND_US), i, o)
                      for i, o in enumerate(opinions))  # fmt: skip
    run = Reach(at(0))
    for arrived_us, _, opinion in arrivals:
        run.close((arrived_us - int(late_s * SECOND_US) - at(0)) // width * width + at(0))
        assert run.take(opinion)
    run.close(at(MINUTES * 60))
    return run


@pytest.mark.parametrize("seed", range(12))
def test_live_is_the_window_at_once(seed: int) -> None:
    rng = Random(seed)
    opinions = anything(rng)
    whole = reach(opinions, at(0), at(MINUTES * 60))
    assert live(opinions, rng, late_s=45).findings() == whole


def test_some_of_these_streams_hold_incidents() -> None:
    kinds = {
        (i.state, i.scope.country)
        for seed in range(12)
        for i in reach(anything(Random(seed)), at(0), at(MINUTES * 60))
    }
    assert len(kinds) > 3


def block() -> list[Opinion]:
    """A country of twelve where all is well for an hour and all fails from then on."""
    twelve = people(Place("KZ", "ALA", 101, "fixed"), 6) + people(Place("KZ", "AST", 102), 6)
    return [
        Opinion(at(60 * minute + i), w, "signal", said, "tls", "reset")
        for minute in range(70)
        for said in [Standing.BLOCKED if minute >= 60 else Standing.GOOD]
        for i, w in enumerate(twelve)
    ]


def test_a_minute_late_counts_in_the_bin_of_its_arrival() -> None:
    run = Reach(at(0))
    for minute in range(72):
        run.close(at(60 * minute))
        for opinion in block():
            if (opinion.at_us - at(0)) // (60 * SECOND_US) == minute - 1:
                assert run.take(opinion)
    (incident,) = run.findings()
    assert incident.confirmed_us is not None
    assert incident.confirmed_us <= at(3_600 + 300)
    assert incident.started.earliest_us <= at(3_600) <= incident.started.latest_us


def test_what_is_older_than_a_vote_may_be_is_told() -> None:
    run = Reach(at(0))
    run.close(at(600))
    (one, *_) = block()
    assert not run.take(replace(one, at_us=at(600 - 121)))
    assert run.take(replace(one, at_us=at(600 - 119)))


def test_a_clock_that_runs_ahead_silences_nobody() -> None:
    """Else one wrong clock would hold its opinion back for a day, and then be the newest."""
    run = Reach(at(0))
    (one, *_) = block()
    assert run.take(replace(one, at_us=at(86_400)))
    run.close(at(1_200))
    assert run.waiting == []


def test_the_same_verdict_judged_again_is_no_second_vote() -> None:
    twice = [replace(o, layer="dns") for o in block()]
    run, once = Reach(at(0)), Reach(at(0))
    for minute in range(66):
        for opinion in block():
            if (opinion.at_us - at(0)) // (60 * SECOND_US) == minute:
                run.take(opinion)
                once.take(opinion)
        run.close(at(60 * (minute + 1)))
        once.close(at(60 * (minute + 1)))
        for again in twice:
            if (again.at_us - at(0)) // (60 * SECOND_US) == minute:
                run.take(again)
    sums = run.services["signal"].fronts["KZ"].sums
    assert sums == once.services["signal"].fronts["KZ"].sums
