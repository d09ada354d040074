"""A disk without a byte left: the spool loses nothing that it took, and starts all the same."""

from pathlib import Path

import pytest

from support.small_disk import told_by


@pytest.mark.lab
def test_a_full_disk(tmp_path: Path) -> None:
    told = told_by("support.spool_on_a_full_disk", tmp_path, timeout_s=120)
    assert told["changes_lost"] == 0, "whatever append returned is there"
    assert told["twice"] == 0
    assert told["changes"] > 100, "routine made room for changes"
    assert told["refused"] > 0, "and in the end there was none, which was said"
    assert (
        told["kept"]
        + sum(count for cause, count in told["dropped"].items() if cause.startswith("thinned"))
        == told["taken"]
    ), "what is missing is counted"
    assert set(told["dropped"]) == {"thinned_p3", "refused"}
    assert told["problem_when_full"] == ""
    assert told["problem_at_start"] == "", "a start on a full disk is a start"
    assert told["problem_in_the_end"] == ""
