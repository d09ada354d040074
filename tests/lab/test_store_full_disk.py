"""A full disk under journal and store: what was acknowledged is in, once there is room again."""

from pathlib import Path

import pytest

from support.small_disk import told_by


@pytest.mark.lab
def test_a_full_disk_costs_time_and_nothing_else(tmp_path: Path) -> None:
    told = told_by("support.store_on_a_full_disk", tmp_path, timeout_s=250)
    assert told["refused_while_full"] > 0, "the door was told to say retry"
    assert "free space on it" in told["problems"][0]
    assert told["refused_after"] == 0
    assert told["problems_after"] == []
    assert told["lost"] == told["double"] == 0
    assert told["stored"] == told["acknowledged"]
