"""Networks that block a service, by imported results."""

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from heliograph.units import DAY_US
from heliograph_collector.http.pages.imported_rows import find_blocking_networks
from heliograph_collector.model.imported import ImportedRow, StateCounts

_COUNTS = st.dictionaries(st.integers(1, 3), st.integers(1, 4))  # by network


@given(st.dictionaries(st.integers(0, 6), _COUNTS))
def test_a_network_blocked_where_three_measurements_of_days_on_end_agree(
    by_day: Mapping[int, Mapping[int, int]],
) -> None:
    expected: dict[int, dict[int, int]] = {}
    for day, networks in by_day.items():
        for asn, blocked in networks.items():
            total = blocked
            for step in (-1, 1):
                beside = day + step
                while asn in by_day.get(beside, ()):
                    total += by_day[beside][asn]
                    beside += step
            if total >= 3:
                expected.setdefault(day * DAY_US, {})[asn] = blocked
    assert find_blocking_networks(_build_row(by_day)) == expected


def _build_row(by_day: Mapping[int, Mapping[int, int]]) -> ImportedRow:
    return ImportedRow(
        country="KZ",
        source="ooni",
        test="signal",
        target="",
        total=StateCounts(0, 0, 0, 0, 0),
        days={},
        blocked_networks={},
        partly_blocked={},
        agreeing_networks={day * DAY_US: networks for day, networks in by_day.items()},
    )
