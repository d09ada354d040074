"""The service states that a measurement shows: a doubtful one is never a failure."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from heliograph.failure import Failure
from heliograph.observation import Link, Measurement
from heliograph.plan import Endpoint, EndpointKind, Service
from heliograph.voice_code import CLASSES, ServiceState
from heliograph_agent.runtime.service_status import (
    FRESH_US,
    recent_states,
    restore_service_states,
    service_states_of,
)
from support.results import measurement
from support.steps import make_step

DEAD, CUT = Failure.GENERIC_TIMEOUT_ERROR, Failure.INTERRUPTED


def endpoint(name: str, group: str) -> Endpoint:
    return Endpoint(id=name, kind=EndpointKind.TCP, host="192.0.2.1", port=1, group=group)


ENDPOINTS = (endpoint("a", "dc"), endpoint("b", "dc"), endpoint("w", "web"))
CHAT = Service(name="telegram", title="T", experiment="telegram", endpoints=ENDPOINTS)


def measure(experiment: str, ends: Mapping[str, str], link: Link = Link.ONLINE) -> Measurement:
    steps = tuple(
        make_step(failure=None if failure == "ok" else Failure(failure), endpoint=name)
        for name, failure in ends.items()
    )
    return replace(
        measurement(""), experiment=experiment, started_us=7, link=link, observations=steps
    )


@pytest.mark.parametrize(
    ("ends", "state"),
    [
        ({"a": "ok", "b": "ok", "w": "ok"}, ServiceState.ANSWERS),
        ({"a": "ok", "b": DEAD, "w": "ok"}, ServiceState.ANSWERS),
        ({"a": DEAD, "b": DEAD, "w": "ok"}, ServiceState.FAILS),
        ({"a": DEAD, "b": DEAD, "w": DEAD}, ServiceState.FAILS),
        ({"a": DEAD, "b": CUT, "w": "ok"}, ServiceState.UNKNOWN),
        ({"a": DEAD, "w": "ok"}, ServiceState.UNKNOWN),
        ({"a": "ok", "b": "ok"}, ServiceState.UNKNOWN),
        ({}, ServiceState.UNKNOWN),
    ],
)
def test_service_state_of_endpoints(ends: dict[str, str], state: ServiceState) -> None:
    assert service_states_of(measure("telegram", ends), CHAT) == {"telegram": (state, 7)}


def test_anchors_set_domestic_foreign_and_dns() -> None:
    result = measure("connectivity", {"foreign-a": DEAD, "domestic-b": "ok", "resolver-c": CUT})
    assert {name: state for name, (state, _) in service_states_of(result, None).items()} == {
        "foreign": ServiceState.FAILS,
        "domestic": ServiceState.ANSWERS,
        "dns": ServiceState.UNKNOWN,
    }


def test_captive_link_makes_states_unknown() -> None:
    result = measure("telegram", {"a": "ok", "b": "ok", "w": "ok"}, Link.CAPTIVE)
    assert service_states_of(result, CHAT) == {"telegram": (ServiceState.UNKNOWN, 7)}


def test_no_state_without_run_or_class() -> None:
    result = measure("telegram", {"a": DEAD, "b": DEAD, "w": DEAD})
    assert service_states_of(replace(result, not_measured="interrupted"), CHAT) == {}
    assert service_states_of(result, replace(CHAT, name="other")) == {}
    assert service_states_of(result, None) == {}


def test_old_and_future_states_are_unknown() -> None:
    now = 10 * FRESH_US
    states = {
        "telegram": ("fails", now - FRESH_US),
        "signal": ("fails", now - FRESH_US - 1),
        "tor": ("answers", now + 1),
    }
    recent = recent_states(states, now)
    known = {name: state for name, state in recent.items() if state is not ServiceState.UNKNOWN}
    assert known == {"telegram": ServiceState.FAILS}


@pytest.mark.parametrize(
    "stored", [None, 3, [], {"tor": 1}, {"tor": ["no", 1]}, {"x": ["fails", 1]}]
)
def test_damaged_status_restores_nothing(stored: object) -> None:
    assert restore_service_states(stored) == {}
    assert restore_service_states({"tor": ["fails", 5]}) == {"tor": ("fails", 5)}
    assert set(recent_states({}, 0)) == set(CLASSES)
