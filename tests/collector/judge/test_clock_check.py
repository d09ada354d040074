"""Measurements from a time that cannot be never reach the judge."""

from collections.abc import Sequence
from dataclasses import replace

from heliograph_collector.judge.clock_check import NO_VERDICT, TimeCheck
from heliograph_collector.model.records import MAX_AGE_US, MAX_AHEAD_US, Judged, Taken
from support.rows import T0, reachable, taken


def test_times_that_cannot_be_are_marked_and_the_rest_is_judged() -> None:
    shown: list[Taken] = []

    def judge(block: Sequence[Taken]) -> Sequence[Judged]:
        shown.extend(block)
        return [(one, (reachable(),)) for one in block]

    oldest = replace(taken(1), received_us=T0 + MAX_AGE_US)
    newest = replace(taken(2), received_us=T0 - MAX_AHEAD_US)
    stale = replace(taken(3), received_us=T0 + MAX_AGE_US + 1)
    ahead = replace(taken(4), received_us=T0 - MAX_AHEAD_US - 1)
    judged = {t.id: v for t, v in TimeCheck(judge)([stale, oldest, ahead, newest])}
    assert shown == [oldest, newest]
    assert judged[stale.id] == judged[ahead.id] == (NO_VERDICT,)
    assert judged[oldest.id] == judged[newest.id] == (reachable(),)
