"""Goodput to the target and to a neutral reference over one path, several transfers each.

Endpoints: `target`, `neutral`. The control's target must run, or the server itself is slow.
"""

from heliograph.observation import Measurement
from heliograph_collector.judge.comparisons.goodput import (
    THRESHOLDS,
    Transfer,
    froze,
    ran_on,
    settled,
    slower,
    transfers,
)
from heliograph_collector.judge.comparisons.table import (
    BLOCKED,
    REACHABLE,
    UNKNOWN,
    Reading,
    Row,
    Words,
)

ROWS = (
    Row(
        id="throttling.frozen",
        state=BLOCKED,
        says="Every transfer stopped within its first 14 to 30 KB and stayed silent; the neutral "
        "ones and the control's ran on.",
        strength=0.85,
        needs="target_frozen neutral_runs control_runs",
        layer="http",
        method="frozen",
    ),
    Row(
        id="throttling.slow",
        state=BLOCKED,
        says="Several transfers were all slow, the neutral ones all fast, and so were the "
        "control's.",
        strength=0.75,
        needs="target_slower control_fast",
        layer="http",
        method="throttled",
    ),
    Row(
        id="throttling.server_slow",
        state=UNKNOWN,
        says="The control's transfers from the target are slow too.",
        needs="target_slower",
    ),
    Row(
        id="throttling.even",
        state=REACHABLE,
        says="The target comes as fast as the neutral reference.",
        strength=0.75,
        needs="target_even",
    ),
    Row(
        id="throttling.doubt",
        state=UNKNOWN,
        says="Too few transfers, too little of them, or a path too slow to compare on.",
    ),
)


def words(here: Measurement, there: Measurement | None) -> Words:
    target, neutral = transfers(here, "target"), transfers(here, "neutral")
    found: Words = {}
    if froze(target):
        found["target_frozen"] = _of(target)
    if ran_on(neutral):
        found["neutral_runs"] = _of(neutral)
    slow = slower(target, neutral)
    if slow is not None:
        found["target_slower" if slow else "target_even"] = _of([*target, *neutral])
    theirs = transfers(there, "target") if there else []
    if ran_on(theirs):
        found["control_runs"] = ()
    if theirs and all(t.rate >= THRESHOLDS.fast for t in settled(theirs)) and settled(theirs):
        found["control_fast"] = ()
    return found


def _of(some: list[Transfer]) -> tuple[int, ...]:
    return tuple(t.index for t in some)


READING = Reading("throttling", words, ROWS)
