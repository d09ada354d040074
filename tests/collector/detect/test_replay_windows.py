"""A window reopened again by late votes resumes where it is right, with equal end."""

from random import Random

from heliograph.units import MINUTE_US, SECOND_US
from heliograph_collector.detect.blocking.detector import detect_blocking
from heliograph_collector.detect.replay import PastRuns, ReadVotes
from heliograph_collector.model.signals import ServiceVote, VoteValue
from support.presence_model import BLOCKED_TLS, KZ, T0, at, country

HOUR = 3_600.0
JUDGED = ("telegram", "KZ")


def _list_votes(rng: Random) -> list[tuple[int, ServiceVote]]:
    """List votes with the times of reading: a third of them is ten minutes late."""
    timed: list[tuple[int, ServiceVote]] = []
    for vantage in [*country(each=1), *country("KG", each=1)]:
        for service in ("signal", "telegram"):
            now_s = rng.uniform(0, 300)
            while now_s < 4 * HOUR:
                is_blocked = KZ(vantage) and service == "telegram" and HOUR <= now_s < 3 * HOUR
                verdict = BLOCKED_TLS if is_blocked else (VoteValue.GOOD, "", "")
                vote = ServiceVote(at(now_s), vantage, service, *verdict)
                late_s = rng.expovariate(1 / 600) if rng.random() < 0.3 else 0.0
                timed.append((vote.at_us + int((20 + late_s) * SECOND_US), vote))
                now_s += 300 * rng.uniform(0.85, 1.15)
    return sorted(timed, key=lambda pair: pair[0])


def test_each_run_finds_what_one_from_the_beginning_does() -> None:
    timed = _list_votes(Random(1))
    runs = PastRuns()
    read = ReadVotes()
    for end_s in (1.2, 1.3, 1.5, 1.8, 2.4, 2.5, 3.1, 3.2, 3.9):
        until_us = at(end_s * HOUR) // MINUTE_US * MINUTE_US
        while timed and timed[0][0] < until_us:
            vote = timed.pop(0)[1]
            runs.note(vote)
            read.add(vote)
        inside = read.select(T0, until_us, JUDGED)
        anew = detect_blocking(inside, T0, until_us, judged=JUDGED)
        missing = read.select(runs.find_resumption(T0, until_us, JUDGED), until_us, JUDGED)
        assert len(missing) <= len(inside)
        assert runs.detect(missing, T0, until_us, JUDGED) == anew
    assert [incident.service for incident in anew] == ["telegram"]
    assert 2 * len(missing) < len(inside)  # the last run began where votes were new


def test_votes_of_a_window_are_of_its_service_and_of_its_country() -> None:
    read = ReadVotes()
    for _, vote in _list_votes(Random(2)):
        read.add(vote)
    votes = read.select(at(HOUR), at(2 * HOUR), JUDGED)
    groups = {(vote.service, vote.witness.place.country) for vote in votes}
    assert groups == {("telegram", "KZ"), ("telegram", "KG"), ("signal", "KZ")}
    assert all(at(HOUR) <= vote.at_us < at(2 * HOUR) for vote in votes)
