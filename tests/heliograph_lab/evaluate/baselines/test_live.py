"""The number of live vantages, step by step."""

from heliograph.units import SECOND_US
from heliograph_collector.model.scope import Scope
from heliograph_collector.model.signals import (
    Fault,
    FaultReason,
    Goodbye,
    VantageArrival,
    VantageLocation,
    VantageLoss,
    VantageRef,
)
from heliograph_collector.sources.replay import Replay, Signal
from heliograph_lab.evaluate.baselines.live import count_live

ALA = VantageLocation("KZ", "ALA", 101, "mobile")
AST = VantageLocation("KZ", "", 102, "fixed")


def replay(*signals: Signal, minutes: int = 30) -> Replay:
    return Replay("hand-made", 0, 0, minutes * 60 * SECOND_US, signals, (), (), ())


def arrival(minute: float, nym: str, place: VantageLocation = ALA) -> VantageArrival:
    return VantageArrival(round(minute * 60) * SECOND_US, VantageRef(nym, nym, place))


def lost(minute: float, nym: str) -> VantageLoss:
    return VantageLoss(round(minute * 60) * SECOND_US, nym, round(minute * 60 - 30) * SECOND_US)


def counted(made: Replay) -> dict[Scope, list[float | None]]:
    return {series.scope: list(series.values) for series in count_live(made, 600)}


def test_a_country_its_regions_and_its_networks_are_counted_at_the_end_of_each_step() -> None:
    made = replay(arrival(1, "a"), arrival(2, "b", AST), lost(12, "a"), arrival(25, "a"))
    assert counted(made) == {
        Scope("KZ"): [2, 1, 2],
        Scope("KZ", region="ALA"): [1, 0, 1],
        Scope("KZ", asn=101): [1, 0, 1],
        Scope("KZ", asn=102): [1, 1, 1],
    }


def test_a_goodbye_counts_like_a_loss_and_nobody_is_counted_twice() -> None:
    made = replay(
        arrival(1, "a"), arrival(3, "a"), Goodbye(12 * 60 * SECOND_US, "a"), lost(13, "a")
    )
    assert counted(made)[Scope("KZ")] == [1, 0, 0]


def test_after_a_restart_only_those_count_who_came_back() -> None:
    gone = Fault(11 * 60 * SECOND_US, 12 * 60 * SECOND_US, FaultReason.RESTART)
    made = replay(arrival(1, "a"), arrival(2, "b"), gone, arrival(13, "a"))
    assert counted(made)[Scope("KZ")] == [2, 1, 1]


def test_a_moved_vantage_counts_where_it_is_now_and_none_before_the_first() -> None:
    made = replay(arrival(1, "a"), arrival(15, "a", AST))
    assert counted(made)[Scope("KZ", region="ALA")] == [1, 0, 0]
    assert counted(made)[Scope("KZ", asn=102)] == [None, 1, 1]
