"""Which kinds of service answered when last tested: what `code` says over the telephone. Pure.

No verdict: that something fails tells nothing of why. An agent keeps the newest word on each class
and no more, so that a seized disk shows no story.
"""

from collections.abc import Mapping
from typing import Any

from heliograph.experiments import ANCHORS
from heliograph.observation import Link, Measurement
from heliograph.plan import Service
from heliograph.voice_code import CLASSES, Life
from heliograph_agent.runtime.vantage import Sight, kind_of, sight_of

FRESH_US = 3 * 3_600_000_000  # most messengers are tested every two hours
_KINDS = {"domestic": "domestic", "foreign": "foreign", "dns": "resolver"}
_SAID = {Sight.ALIVE: Life.ANSWERS, Sight.DEAD: Life.FAILS, Sight.UNSEEN: Life.UNKNOWN}

Lives = dict[str, tuple[str, int]]  # class → Life, wall clock in µs


def lives_of(measurement: Measurement, service: Service | None) -> Lives:
    """What one measurement says of the classes of spoken.CLASSES; nothing where it did not run."""
    if measurement.not_measured:
        return {}
    captive = measurement.link is Link.CAPTIVE  # somebody else answers for everybody
    if measurement.experiment == ANCHORS:
        seen = {name: kind_of(measurement.observations, kind) for name, kind in _KINDS.items()}
        said = {name: _SAID[sight] for name, sight in seen.items()}
    elif service is not None and service.name in CLASSES:
        said = {service.name: _whole(measurement, service)}
    else:
        return {}
    return {
        name: (Life.UNKNOWN if captive else life, measurement.started_us)
        for name, life in said.items()
    }


def told_before(status: Mapping[str, Any]) -> Lives:
    """From status.json, which a power cut may have left in any shape."""
    kept = status.get("lives")
    if not isinstance(kept, dict):
        return {}
    found: Lives = {}
    for name in CLASSES:
        match kept.get(name):
            case [str(life), int(at_us)] if life in set(Life):
                found[name] = (life, at_us)
    return found


def fresh(lives: Lives, now_us: int) -> dict[str, Life]:
    """Every class; what was not tested lately is not known."""
    return {
        name: Life(lives[name][0])
        if name in lives and 0 <= now_us - lives[name][1] <= FRESH_US
        else Life.UNKNOWN
        for name in CLASSES
    }


def _whole(measurement: Measurement, service: Service) -> Life:
    """It answers when most endpoints do, and one of each group; it fails when a group does not.

    Endpoints of a group stand in for each other; a group that was not asked says nothing.
    """
    groups: dict[str, list[Sight]] = {}
    for endpoint in service.endpoints:
        sight = sight_of(measurement.observations, endpoint.id)
        groups.setdefault(endpoint.group or endpoint.id, []).append(sight)
    if any(set(sights) == {Sight.DEAD} for sights in groups.values()):
        return Life.FAILS
    sights = [sight for group in groups.values() for sight in group]
    most = 2 * sights.count(Sight.ALIVE) > len(sights)
    each = all(Sight.ALIVE in group for group in groups.values())
    return Life.ANSWERS if most and each else Life.UNKNOWN
