"""What one measurement says of a class over the telephone: no doubt is told as a failure."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from heliograph.failure import Failure, Operation
from heliograph.observation import Link, Measurement, Observation
from heliograph.plan import Endpoint, EndpointKind, Service
from heliograph.voice_code import CLASSES, Life
from heliograph_agent.runtime.service_status import FRESH_US, fresh, lives_of, told_before

DEAD, CUT = Failure.GENERIC_TIMEOUT_ERROR, Failure.INTERRUPTED


def endpoint(name: str, group: str) -> Endpoint:
    return Endpoint(id=name, kind=EndpointKind.TCP, host="192.0.2.1", port=1, group=group)


CHAT = Service(
    name="telegram",
    title="Telegram",
    experiment="telegram",
    endpoints=(endpoint("a", "dc"), endpoint("b", "dc"), endpoint("w", "web")),
)


def measured(experiment: str, ends: Mapping[str, str], link: Link = Link.ONLINE) -> Measurement:
    steps = tuple(
        Observation(
            operation=Operation.CONNECT,
            started_us=0,
            duration_us=1,
            failure=None if failure == "ok" else Failure(failure),
            endpoint=name,
        )
        for name, failure in ends.items()
    )
    return Measurement(
        experiment=experiment, experiment_version=1, target="", started_us=7, monotonic_us=1,
        boot="b", runtime_us=1, epoch="e", link=link, observations=steps,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("ends", "life"),
    [
        ({"a": "ok", "b": "ok", "w": "ok"}, Life.ANSWERS),
        ({"a": "ok", "b": DEAD, "w": "ok"}, Life.ANSWERS),
        ({"a": DEAD, "b": DEAD, "w": "ok"}, Life.FAILS),
        ({"a": DEAD, "b": DEAD, "w": DEAD}, Life.FAILS),
        ({"a": DEAD, "b": CUT, "w": "ok"}, Life.UNKNOWN),
        ({"a": DEAD, "w": "ok"}, Life.UNKNOWN),
        ({"a": "ok", "b": "ok"}, Life.UNKNOWN),
        ({}, Life.UNKNOWN),
    ],
)
def test_a_service_answers_fails_or_is_not_known(ends: dict[str, str], life: Life) -> None:
    assert lives_of(measured("telegram", ends), CHAT) == {"telegram": (life, 7)}


def test_anchors_tell_of_home_abroad_and_names() -> None:
    told = measured("connectivity", {"foreign-a": DEAD, "domestic-b": "ok", "resolver-c": CUT})
    assert {name: life for name, (life, _) in lives_of(told, None).items()} == {
        "foreign": Life.FAILS,
        "domestic": Life.ANSWERS,
        "dns": Life.UNKNOWN,
    }


def test_behind_a_login_page_nothing_is_known() -> None:
    told = measured("telegram", {"a": "ok", "b": "ok", "w": "ok"}, Link.CAPTIVE)
    assert lives_of(told, CHAT) == {"telegram": (Life.UNKNOWN, 7)}


def test_what_did_not_run_or_has_no_class_says_nothing() -> None:
    told = measured("telegram", {"a": DEAD, "b": DEAD, "w": DEAD})
    assert lives_of(replace(told, not_measured="interrupted"), CHAT) == {}
    assert lives_of(told, replace(CHAT, name="other")) == {}
    assert lives_of(told, None) == {}


def test_old_words_and_words_from_the_future_are_not_known() -> None:
    now = 10 * FRESH_US
    lives = {
        "telegram": ("fails", now - FRESH_US),
        "signal": ("fails", now - FRESH_US - 1),
        "tor": ("answers", now + 1),
    }
    known = {name: life for name, life in fresh(lives, now).items() if life is not Life.UNKNOWN}
    assert known == {"telegram": Life.FAILS}


@pytest.mark.parametrize("kept", [None, 3, [], {"tor": 1}, {"tor": ["no", 1]}, {"x": ["fails", 1]}])
def test_a_damaged_file_tells_nothing(kept: object) -> None:
    assert told_before({"lives": kept}) == {}
    assert told_before({"lives": {"tor": ["fails", 5]}}) == {"tor": ("fails", 5)}
    assert set(fresh({}, 0)) == set(CLASSES)
