"""A carrier that is silent where others live is blocked, if these have its operators."""

import pytest

from heliograph_collector.detect.silence.confounders import find_blocked_carrier
from heliograph_collector.detect.silence.vantage_presence import PresenceStatus, VantagePresence
from heliograph_collector.model.signals import VantageLocation, VantageRef
from heliograph_collector.model.thresholds import THRESHOLDS

LIVE = PresenceStatus.LIVE
SILENT = PresenceStatus.SILENT


def _list_lines(asn: int, carrier: str, silent: int, live: int = 0) -> list[VantagePresence]:
    place = VantageLocation("KZ", "ALA", asn, "fixed")
    return [
        VantagePresence(
            VantageRef(f"{asn}-{carrier}-{n}", f"{asn}-{carrier}-{n}", place, carrier=carrier),
            SILENT if n < silent else LIVE,
        )
        for n in range(silent + live)
    ]


@pytest.mark.parametrize(("silent", "is_blocked"), [(0, True), (4, False)])
def test_those_who_live_by_other_carriers_show_a_block_of_their_own_operators_alone(
    silent: int, *, is_blocked: bool
) -> None:
    """Two operators are silent by one carrier, while others live by another.

    Where half of their lines by the other carrier are silent too, they are being cut, whatever the
    lines of a third operator do. Version 153 told such a cut, which took 90 s, as a block.
    """
    lines = [
        *_list_lines(201, "session/1", 4),
        *_list_lines(202, "session/1", 4),
        *_list_lines(201, "session/2", silent, 8 - silent),
        *_list_lines(203, "session/2", 0, 20),
    ]
    blocked = find_blocked_carrier(lines, 1, THRESHOLDS)
    assert (blocked is not None) is is_blocked
