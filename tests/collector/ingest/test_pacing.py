"""The pace of tests depends on crowd and load; at the entrance too."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from heliograph.plan import MAX_INTERVAL_PERCENT
from heliograph.units import DAY_S, SECOND_US
from heliograph_collector.ingest.geo.lookup import PeerLocation
from heliograph_collector.ingest.pacing import (
    STEP_US,
    TELL_AGAIN_US,
    CrowdPlace,
    JudgeLoad,
    LoadShare,
    Pacing,
    allot_intervals,
    build_advice,
)
from heliograph_collector.ingest.presence import AgentConnection, ConnectionTable
from support.hand_clock import HandClock
from support.intake import open_session

from .test_presence import connection

BIG, SMALL = CrowdPlace("XA", 64_500, ""), CrowdPlace("XB", 64_501, "")


@pytest.mark.parametrize(
    ("votes", "share", "open_countries", "percents"),
    [
        pytest.param({BIG: 2_000, SMALL: 3}, 1.0, (), [100, 100], id="enough and few"),
        pytest.param({BIG: 8_000, SMALL: 3}, 1.0, (), [400, 100], id="a crowd"),
        pytest.param({BIG: 8_000, SMALL: 3}, 1.0, ("XA",), [100, 100], id="with an incident"),
        pytest.param({BIG: 900_000}, 1.0, (), [MAX_INTERVAL_PERCENT], id="no further"),
        pytest.param({BIG: 1_000, SMALL: 10}, 0.5, (), [200, 100], id="the crowded one first"),
        pytest.param({BIG: 10, SMALL: 10}, 0.5, (), [200, 200], id="all alike"),
        pytest.param({BIG: 10, SMALL: 10}, 0.01, (), [800, 800], id="no further by load"),
        pytest.param({}, 0.5, (), [], id="nobody"),
    ],
)
def test_intervals_by_place(
    votes: dict[CrowdPlace, int], share: float, open_countries: tuple[str, ...], percents: list[int]
) -> None:
    allotted = allot_intervals(votes, share, open_countries)
    assert list(allotted.values()) == pytest.approx(percents, rel=0.02)


def test_a_small_network_or_region_of_a_crowded_country_keeps_its_rate() -> None:
    small = (CrowdPlace("XA", 64_502, ""), CrowdPlace("XA", 64_500, "XA-01"))
    allotted = allot_intervals({BIG: 50_000, small[0]: 20, small[1]: 20}, 1.0, ())
    assert [allotted[place] for place in (BIG, *small)] == [2_500, 100, 100]


PLACES = st.builds(
    CrowdPlace, st.sampled_from(("XA", "XB")), st.integers(1, 3), st.sampled_from(("", "XA-01"))
)


@settings(deadline=None, max_examples=60)
@given(
    votes=st.dictionaries(PLACES, st.integers(1, 20_000), min_size=1, max_size=8),
    share=st.floats(0.2, 1.0),
    is_open=st.booleans(),
)
def test_what_is_asked_for_fits_the_share(
    votes: dict[CrowdPlace, int], share: float, *, is_open: bool
) -> None:
    open_countries = ("XA",) if is_open else ()
    plain = allot_intervals(votes, 1.0, open_countries)
    paced = allot_intervals(votes, share, open_countries)

    def tests(percents: dict[CrowdPlace, int]) -> float:
        return sum(count * 100 / percents[place] for place, count in votes.items())

    assert all(100 <= plain[place] <= paced[place] for place in votes)
    at_most = 1.05 * share * tests(plain)
    assert tests(paced) <= at_most or all(percent >= 800 for percent in paced.values())


IDLE = JudgeLoad(arrived=0, judged=0, lag_us=0)


def follow(load: LoadShare, *steps: tuple[int, int, int]) -> list[float]:
    """Return the shares after steps of (arrived, judged, lag in seconds)."""
    arrived = judged = now_us = 0
    load.update(IDLE, now_us)
    shares = []
    for came, done, lag_s in steps:
        arrived, judged, now_us = arrived + came, judged + done, now_us + STEP_US
        seen = JudgeLoad(arrived, judged, lag_s * SECOND_US)
        shares.append(load.update(seen, now_us))
        assert load.update(JudgeLoad(9**9, 0, 9**9), now_us + 1) == shares[-1], "one step at a time"
    return shares


@pytest.mark.parametrize(
    ("steps", "shares"),
    [
        pytest.param([(900, 900, 0)] * 3, [1, 1, 1], id="keeps up"),
        pytest.param([(900, 890, 2)] * 3, [1, 1, 1], id="a block is under way"),
        pytest.param([(900, 450, 20)], [0.45], id="half is judged"),
        pytest.param(
            [(900, 450, 20), (400, 450, 40), (400, 450, 60)], [0.45] * 3, id="it is enough already"
        ),
        pytest.param([(900, 0, 40)], [0.4], id="the judge stood still"),
        pytest.param(
            [(900, 450, 20)] * 9, [0.45, 0.2025, *[1 / 8] * 7], id="never below an eighth"
        ),
        pytest.param(
            [(900, 450, 20), *[(450, 900, 1)] * 20],
            [0.45 * min(1.05**n, 1 / 0.45) for n in range(21)],
            id="comes back",
        ),
        pytest.param(
            [(9_000, 2_000, 40), (100, 2_000, 60), (40, 5_140, 4), (20, 20, 0), (40, 40, 0)],
            [0.4, 0.4, 0.8, 1, 1],
            id="a backlog is judged",
        ),
    ],
)
def test_share_by_what_arrives_and_what_is_judged(
    steps: list[tuple[int, int, int]], shares: list[float]
) -> None:
    assert follow(LoadShare(), *steps) == pytest.approx(shares)


def make_agents(
    clock: HandClock, count: int, prefix: str = "", *, role: str = "volunteer", days: float = 30
) -> list[AgentConnection]:
    since_s = clock.wall_us() // SECOND_US - int(days * DAY_S)
    made = []
    for number in range(count):
        place = PeerLocation("XA", 64_500, prefix or f"line {number}")
        one = connection(f"{role}{prefix}{days}{number}".encode(), place=place)
        one.agent = replace(one.agent, role=role, created_s=since_s)
        made.append(one)
    return made


def test_controls_keep_their_rate_and_one_line_makes_no_crowd() -> None:
    clock = HandClock()
    volunteers = make_agents(clock, 4_000)
    one_line = make_agents(clock, 4_000, "one")
    controls = make_agents(clock, 2, role="control")
    newcomers = make_agents(clock, 3, "new", days=0.5)
    connections = ConnectionTable()
    for one in (*volunteers, *one_line, *controls, *newcomers):
        connections.add(one)
    pacing = Pacing(clock, CollectorRegistry())
    pacing.update(connections, IDLE, ())
    percents = Counter(c.interval_percent for c in (*volunteers, *one_line))
    assert percents == {200: 8_000}, "4,005 votes of 2,000 that suffice"
    assert {c.interval_percent for c in controls} == {0}
    assert {c.interval_percent for c in newcomers} == {100}
    clock.advance_us(STEP_US)
    pacing.update(connections, JudgeLoad(900, 450, 20 * SECOND_US), ())
    assert {c.interval_percent for c in controls} == {0}
    assert {c.interval_percent for c in newcomers} == {800}, "who has no vote makes room first"


def test_an_agent_is_told_what_changed_and_again_before_it_forgets() -> None:
    one = connection()
    assert build_advice(one, 0) is None
    told = []
    for at_us, percent in (
        (1, 100), (2, 100), (3, 104), (4, 400), (5, 420), (6, 800),
        (6 + TELL_AGAIN_US, 800), (7 + TELL_AGAIN_US, 100),
    ):  # fmt: skip
        one.interval_percent = percent
        advice = build_advice(one, at_us)
        told.append(advice.interval_percent if advice else 0)
    assert told == [100, 0, 0, 400, 0, 800, 800, 100]


async def test_a_session_is_told_its_intervals_with_a_heartbeat(tmp_path: Path) -> None:
    async with open_session(tmp_path) as session:
        connections = session.server.intake.connections
        await session.server.wait_connected(1)
        assert (await session.beat()).HasField("clock")
        pacing = Pacing(HandClock(), CollectorRegistry())
        pacing.load.share = 0.5
        pacing.update(connections, IDLE, ())
        # It may come with the answer to the heartbeat before, which is still under way.
        answers = [await session.beat() for _ in range(3)]
        (advice,) = [answer.advice for answer in answers if answer.HasField("advice")]
        assert advice.interval_percent == 800, "it is new, and has no vote yet"
