"""When the last word is said, and whose answer to it is believed. The query itself meets the
collector's own door in tests/collector/beacon."""

from dataclasses import replace
from pathlib import Path

import pytest

from heliograph import keys
from heliograph.failure import Failure, Operation
from heliograph.observation import Dns, DnsAnswer, Observation
from heliograph.voice_code import CLASSES, Life
from heliograph_agent.net.trace import Trace
from heliograph_agent.state import Collector, State
from heliograph_agent.uplink.dns_beacon import AGAIN_S, NEWS_S, TRY_S, LastWord, Pace
from support.hand_clock import HandClock

LIVES = dict.fromkeys(CLASSES, Life.FAILS)
OTHERS = LIVES | {"dns": Life.ANSWERS}
S = 1_000_000


def test_the_first_is_due_at_once_and_the_next_when_there_is_news_or_an_hour_is_over() -> None:
    pace = Pace()
    assert pace.due(LIVES, 0)
    pace.spoke(LIVES, 0, heard=True)
    assert not pace.due(LIVES, (AGAIN_S - 1) * S)
    assert pace.due(LIVES, AGAIN_S * S)
    assert not pace.due(OTHERS, (NEWS_S - 1) * S)
    assert pace.due(OTHERS, NEWS_S * S)


def test_who_is_not_heard_asks_again_ever_more_rarely() -> None:
    pace, at, waits = Pace(), 0, []
    for _ in range(6):
        pace.spoke(LIVES, at, heard=False)
        wait = next(s for s in range(AGAIN_S + 1) if pace.due(OTHERS, at + s * S))
        waits.append(wait)
        at += wait * S
    assert waits == [TRY_S, 2 * TRY_S, 4 * TRY_S, 8 * TRY_S, AGAIN_S, AGAIN_S]


@pytest.fixture
def collector() -> Collector:
    sealing = keys.SealingKey(bytes(range(1, 33)))
    return Collector(
        endpoint="a.example:1", pin=bytes(32), certificate="", signing_key=bytes(32),
        sealing_key=sealing.public, agent=bytes(16),
    )  # fmt: skip


@pytest.fixture
def word(tmp_path: Path) -> LastWord:
    state = State(tmp_path)
    state.private_key(make=True)
    return LastWord(state, zone=lambda: "b.example", lives=lambda: LIVES)


def asked(word: LastWord, collector: Collector, *answers: str) -> tuple[bool, Trace]:
    """Whether it was heard, when the resolver says this."""
    words = word.words(collector, 60 * S)
    assert words is not None
    said = [words.answer if answer == "true" else answer for answer in answers]
    trace = Trace(HandClock())
    dns = Dns(
        engine="system", resolver="", name=words.name, query_type="AAAA",
        answers=tuple(DnsAnswer(type="AAAA", data=data) for data in said),
    )  # fmt: skip
    failure = None if said else Failure.DNS_NXDOMAIN_ERROR
    trace.add(
        Observation(
            operation=Operation.RESOLVE, started_us=0, duration_us=1, failure=failure, dns=dns
        )
    )
    return word.spoke(words, trace, 7, 0), trace


def test_only_the_collectors_answer_counts(word: LastWord, collector: Collector) -> None:
    heard, trace = asked(word, collector, "true")
    assert (heard, word.heard_us, trace.observations[-1].failure) == (True, 7, None)
    for lie in ("2a0d:5600::1", "2a00::"):
        heard, trace = asked(replace(word, pace=Pace()), collector, lie)
        assert not heard
        assert trace.observations[-1].failure is Failure.UNEXPECTED_REPLY
    heard, trace = asked(word, collector)
    assert not heard
    assert trace.observations[-1].failure is Failure.DNS_NXDOMAIN_ERROR


def test_without_leave_of_both_sides_nothing_is_said(word: LastWord, collector: Collector) -> None:
    assert word.due(0)
    assert not replace(word, zone=lambda: "").due(0)
    assert replace(word, zone=lambda: "z" * 200).words(collector, 0) is None
    assert replace(word, state=State(word.state.root / "none")).words(collector, 0) is None
