"""In the other shipped events what can be scored is found, and nothing more."""

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from heliograph.units import SECOND_US
from heliograph_collector.detect import detect_silence
from heliograph_collector.detect.blocking.detector import detect_blocking
from heliograph_collector.incidents.incident import Bracket, Incident
from heliograph_collector.model.scope import Scope
from heliograph_collector.sources.replay import Replay, Truth
from heliograph_lab.evaluate.scenario import play_scenario
from heliograph_lab.evaluate.scenario_file import list_shipped, load_scenario

pytestmark = pytest.mark.replay

# A cut, a fade and a block in each run, all events by `make soak`.
ALWAYS = {"iran-2019", "iran-2026", "uganda-2026"}
ALL = "HELIOGRAPH_REPLAYS" in os.environ
OTHERS = [path for path in list_shipped() if path.stem != "kazakhstan-2022"]
EVENTS = [path for path in OTHERS if ALL or path.stem in ALWAYS]
SLACK_US = 20 * SECOND_US
DELAY_US = {"cut": 180 * SECOND_US, "block": 300 * SECOND_US, "throttle": 300 * SECOND_US}


@dataclass(frozen=True)
class Said:
    """The reported beginning of an incident, or of a cut within one."""

    scopes: tuple[Scope, ...]
    service: str
    when: Bracket
    seen_us: int


@dataclass(frozen=True)
class Played:
    replay: Replay
    said: tuple[Said, ...]


TOGETHER = [pytest.param(e, marks=pytest.mark.xdist_group(e.stem), id=e.stem) for e in EVENTS]


@pytest.fixture(scope="module", params=TOGETHER)
def played(request: pytest.FixtureRequest) -> Played:
    path: Path = request.param
    replay = play_scenario(load_scenario(path), 3)
    found = detect_silence(replay.signals, replay.until_us).incidents
    if replay.opinions:
        since_us = replay.opinions[0].at_us // (60 * SECOND_US) * 60 * SECOND_US
        found += detect_blocking(replay.opinions, since_us, replay.opinions[-1].at_us)
    return Played(replay, tuple(one for incident in found for one in beginnings(incident)))


def beginnings(incident: Incident) -> list[Said]:
    if incident.confirmed_us is None:
        return []
    scopes = tuple(part.scope for part in incident.parts)
    first = Said(scopes, incident.service, incident.started, incident.confirmed_us)
    return [
        first,
        *(
            Said(tuple(p.scope for p in turn.parts), incident.service, turn.when, turn.seen_us)
            for turn in incident.cuts
        ),
    ]


def is_of(said: Said, truth: Truth) -> bool:
    """Return whether a report has the service, time and cell of a truth."""
    spread_us = round(truth.spread_s * SECOND_US) + SLACK_US
    nested = any(s.is_within(truth.scope) or truth.scope.is_within(s) for s in said.scopes)
    low, high = said.when.earliest_us - spread_us, said.when.latest_us + SLACK_US
    return said.service == truth.service and nested and low <= truth.since_us <= high


def test_what_can_be_scored_is_found_in_time(played: Played) -> None:
    scored = [t for t in played.replay.truths if t.scoreable]
    assert scored
    for truth in scored:
        seen = [s.seen_us - truth.since_us for s in played.said if is_of(s, truth)]
        late_us = DELAY_US[truth.kind] + round(truth.spread_s * SECOND_US)
        assert any(0 < delay <= late_us for delay in seen) or grown(played, truth), truth


def grown(played: Played, truth: Truth) -> bool:
    """Return whether a truth is only the growth of a known incident."""
    earlier = [t for t in played.replay.truths if 0 < truth.since_us - t.since_us < 7_200 * 10**6]
    wider = [s for s in played.said if any(truth.scope.is_within(scope) for scope in s.scopes)]
    return truth.kind == "cut" and bool(earlier) and bool(wider)


def test_nothing_is_said_that_was_not(played: Played) -> None:
    for said in played.said:
        assert any(is_of(said, truth) for truth in played.replay.truths), said
