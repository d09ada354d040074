"""The suite's own machinery does what the Makefile asks of it."""

import pytest

from lab.country.pace import BEHIND_S, Pace
from support import quick


@pytest.mark.skipif(
    "not getattr(config.option, 'loadgroup', False)", reason="groups are kept by --dist loadgroup"
)
@pytest.mark.xdist_group("together")
def test_a_group_stays_with_one_worker(request: pytest.FixtureRequest) -> None:
    """Else each worker makes every costly fixture anew, and nobody notices but the clock."""
    if not request.config.getoption("loadgroup"):
        pytest.skip("run without --dist loadgroup")
    assert request.node.nodeid.endswith("@together")


def test_what_starts_programs_by_any_way_is_not_pure() -> None:
    files = ["contract/test_codec.py", "collector/detect/silence/test_detector.py"]
    assert all(quick.is_pure(quick.TESTS / file) for file in files)
    others = [
        "lab/test_drill.py",
        "collector/http/test_page_in_browser.py",
        "agent/runtime/test_agent.py",
    ]
    assert not any(quick.is_pure(quick.TESTS / file) for file in others)


def test_a_fast_clock_starts_behind_and_catches_up() -> None:
    pace = Pace(4.0, origin_s=100_000.0)
    assert pace.wall_s(100_000.0) == 100_000.0 - BEHIND_S
    assert pace.wall_s(100_060.0) - pace.wall_s(100_000.0) == 240.0
    assert Pace(1.0).wall_s(100_000.0) == 100_000.0
