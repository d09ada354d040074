"""Lines of all operators that go one by one have run out of battery; an order takes operators."""

from random import Random

import pytest

from heliograph.units import MINUTE_US
from heliograph_collector.detect.silence.confounders import may_be_order
from heliograph_collector.detect.silence.vantage_presence import PresenceStatus, VantagePresence
from heliograph_collector.model.scope import AffectedCell, Scope
from heliograph_collector.model.signals import VantageLocation, VantageRef
from support.presence_model import T0

OPERATORS = (201, 202, 203)


@pytest.mark.parametrize(
    ("lasts_min", "apart_min", "is_order"),
    [(20, 0, False), (4, 0, True), (8, 8, True)],
    ids=["batteries", "an order that rolls out within 4 min", "operator after operator"],
)
@pytest.mark.parametrize("seed", range(5))
def test_lines_that_all_fell_show_by_their_times_whether_an_order_took_them(
    seed: int, lasts_min: int, apart_min: int, *, is_order: bool
) -> None:
    """All of six lines of each operator are silent, so that no share tells the two apart."""
    rng = Random(seed)
    lines = [
        VantagePresence(
            VantageRef(f"{asn}-{n}", f"{asn}-{n}", VantageLocation("KZ", "ALA", asn, "fixed")),
            PresenceStatus.SILENT,
            lost_us=T0 + round((turn * apart_min + rng.uniform(0, lasts_min)) * MINUTE_US),
        )
        for turn, asn in enumerate(OPERATORS)
        for n in range(6)
    ]
    assert may_be_order([AffectedCell(Scope("KZ"), 18, 1.0, 3)], lines) is is_order
