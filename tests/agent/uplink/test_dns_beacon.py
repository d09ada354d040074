"""The time of a beacon, and the answer that counts."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from heliograph import keys
from heliograph.failure import Failure, Operation
from heliograph.observation import Dns, DnsAnswer
from heliograph.voice_code import CLASSES, ServiceState
from heliograph_agent.net.trace import StepTrace
from heliograph_agent.state import Collector, State
from heliograph_agent.uplink.dns_beacon import (
    CHANGED_S,
    UNCHANGED_S,
    BeaconSchedule,
    DnsBeacon,
    StatesByClass,
)
from support.hand_clock import HandClock
from support.steps import make_step

STATES = dict.fromkeys(CLASSES, ServiceState.FAILS)
OTHER_STATES = STATES | {"dns": ServiceState.ANSWERS}
S = 1_000_000


@dataclass(frozen=True)
class Source:
    """The zone, and what a beacon reports."""

    zone: str

    def get_zone(self) -> str:
        return self.zone

    def get_service_states(self) -> StatesByClass:
        return STATES


def test_beacon_is_due_at_once_then_on_change_or_hourly() -> None:
    schedule = BeaconSchedule()
    assert schedule.is_due(STATES, 0)
    schedule.record(STATES, 0, is_answered=True)
    assert not schedule.is_due(STATES, (UNCHANGED_S - 1) * S)
    assert schedule.is_due(STATES, UNCHANGED_S * S)
    assert not schedule.is_due(OTHER_STATES, (CHANGED_S - 1) * S)
    assert schedule.is_due(OTHER_STATES, CHANGED_S * S)


def test_unanswered_beacons_get_rarer() -> None:
    schedule, at, waits = BeaconSchedule(), 0, []
    for _ in range(6):
        schedule.record(STATES, at, is_answered=False)
        wait = next(s for s in range(UNCHANGED_S + 1) if schedule.is_due(OTHER_STATES, at + s * S))
        waits.append(wait)
        at += wait * S
    assert waits == [300, 600, 1200, 2400, 3600, 3600]


@pytest.fixture
def collector() -> Collector:
    sealing = keys.SealingKey(bytes(range(1, 33)))
    return Collector(
        endpoint="a.example:1", pin=bytes(32), certificate="", signing_key=bytes(32),
        sealing_key=sealing.public, agent=bytes(16),
    )  # fmt: skip


@pytest.fixture
def beacon(tmp_path: Path) -> DnsBeacon:
    state = State(tmp_path)
    state.private_key(create=True)
    return DnsBeacon(state, Source("b.example"))


def ask(beacon: DnsBeacon, collector: Collector, *answers: str) -> tuple[bool, StepTrace]:
    """Return whether a beacon was acknowledged by these answers, and its trace."""
    query = beacon.make_query(collector, 60 * S)
    assert query is not None
    addresses = [query.answer if answer == "true" else answer for answer in answers]
    trace = StepTrace(HandClock())
    dns = Dns(
        engine="system", resolver="", name=query.name, query_type="AAAA",
        answers=tuple(DnsAnswer(type="AAAA", data=data) for data in addresses),
    )  # fmt: skip
    failure = None if addresses else Failure.DNS_NXDOMAIN_ERROR
    trace.add(make_step(Operation.RESOLVE, failure, dns=dns))
    return beacon.record(query, trace, 0), trace


def test_only_collectors_answer_counts(beacon: DnsBeacon, collector: Collector) -> None:
    is_answered, trace = ask(beacon, collector, "true")
    assert (is_answered, trace.observations[-1].failure) == (True, None)
    for lie in ("2a0d:5600::1", "2a00::"):
        is_answered, trace = ask(replace(beacon, schedule=BeaconSchedule()), collector, lie)
        assert not is_answered
        assert trace.observations[-1].failure is Failure.UNEXPECTED_REPLY
    is_answered, trace = ask(beacon, collector)
    assert not is_answered
    assert trace.observations[-1].failure is Failure.DNS_NXDOMAIN_ERROR


def test_without_permission_no_beacon(beacon: DnsBeacon, collector: Collector) -> None:
    assert beacon.is_due(0)
    assert not replace(beacon, source=Source("")).is_due(0)
    assert replace(beacon, source=Source("z" * 200)).make_query(collector, 0) is None
    assert replace(beacon, state=State(beacon.state.root / "none")).make_query(collector, 0) is None
