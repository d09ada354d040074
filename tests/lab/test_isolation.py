"""A country whose gates pass only listed hosts, ours among them, is isolated.

Sessions last, so that no vantage is silent, and what is abroad does not answer. The brackets of the
incident and of its end hold the moments at which the gates were closed and opened.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from lab.country import drill, prompt
from lab.country.country import Country, country
from lab.country.topology import COLLECTOR_NAME
from lab.country.world import require_for_test
from support.programs import eventually

pytestmark = [
    pytest.mark.lab,
    pytest.mark.slow,
    pytest.mark.timeout(1_200),
    pytest.mark.skipif(
        os.environ.get("HELIOGRAPH_DRILL") != "whole", reason="five minutes: make soak plays it"
    ),
]
KNOWN_S = 90.0  # a baseline, before anything happens
TOLD_S, ENDED_S = 420.0, 300.0  # as in replay; a minute and a half after the last test abroad
SLACK_S = 15.0  # four gates, one after the other


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Country]:
    require_for_test()
    with country(tmp_path / "country") as made:
        made.collect(drill.PLAN)
        made.populate()
        yield made


def test_isolation_is_told_with_its_times_and_nothing_else_is(lab: Country) -> None:
    begin_s = time.time()
    eventually(lambda: time.time() - begin_s > KNOWN_S, "a baseline", 2 * KNOWN_S)
    assert not _list(lab)
    closed_s = time.time()
    for network in lab.topology.networks:
        prompt.obey(lab, f"apply whitelist on {network.name} {COLLECTOR_NAME}")
    (told,) = eventually(_find(lab, "confirmed"), "the isolation", TOLD_S)
    print(f"confirmed {time.time() - closed_s:.0f} s after the gates were closed")
    assert (told["kind"], told["scope"]["country"]) == ("isolation", "KZ")
    assert _holds(told["started"], closed_s)
    opened_s = time.time()
    prompt.obey(lab, "lift everything")
    (told,) = eventually(_find(lab, "closed"), "its end", ENDED_S)
    print(f"closed {time.time() - opened_s:.0f} s after they were opened")
    assert _holds(told["ended"], opened_s)
    assert {i["kind"] for i in _list(lab)} == {"isolation"}


def _list(lab: Country) -> list[Any]:
    return list(lab.get("/api/v1/incidents")["incidents"])


def _find(lab: Country, state: str) -> Callable[[], Sequence[Any]]:
    return lambda: [i for i in _list(lab) if i["state"] == state]


def _holds(bracket: dict[str, str], at_s: float) -> bool:
    earliest, latest = (
        datetime.fromisoformat(bracket[end]).timestamp() for end in ("earliest", "latest")
    )
    return earliest - SLACK_S <= at_s <= latest + SLACK_S
