"""What the page of methods tells: read from the rules and thresholds that are at work."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Protocol

from heliograph_collector import rollup
from heliograph_collector.detect import DETECT_VERSION, THRESHOLDS
from heliograph_collector.judge import RULES, RULES_VERSION
from heliograph_collector.judge.confidence import AT_STALE, FULL_US, STALE_US
from heliograph_collector.judge.readings import READINGS, SERVICE_ROWS
from heliograph_collector.publish.method import Method, Rule
from heliograph_collector.store.rows import State

_MINUTE_US = 60_000_000


class _Row(Protocol):
    """What rows of all tables of rules have."""

    @property
    def id(self) -> str: ...
    @property
    def state(self) -> State: ...
    @property
    def layer(self) -> str: ...
    @property
    def method(self) -> str: ...
    @property
    def strength(self) -> float: ...
    @property
    def says(self) -> str: ...


def method() -> Method:
    readings = {name: _rules(reading.rows) for name, reading in sorted(READINGS.items())}
    return Method(
        rules_version=RULES_VERSION,
        detect_version=DETECT_VERSION,
        rules=_rules(RULES),
        readings={**readings, "services": _rules(SERVICE_ROWS)},
        control={
            "full_min": FULL_US // _MINUTE_US,
            "stale_min": STALE_US // _MINUTE_US,
            "at_stale": AT_STALE,
        },
        cells=asdict(rollup.THRESHOLDS),
        detect=asdict(THRESHOLDS),
    )


def _rules(rows: Sequence[_Row]) -> list[Rule]:
    return [
        Rule(
            id=row.id,
            state=row.state.value,
            layer=row.layer,
            method=row.method,
            strength=row.strength,
            says=row.says,
        )
        for row in rows
    ]
