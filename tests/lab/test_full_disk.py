"""On a full disk spool and store keep their accepted data, and both can start."""

from pathlib import Path

import pytest

from support.small_disk import told_by

pytestmark = pytest.mark.lab


def test_spool_on_full_disk_loses_nothing_it_took(tmp_path: Path) -> None:
    report = told_by("support.spool_on_a_full_disk", tmp_path, timeout_s=120)
    assert report["changes_lost"] == 0, "whatever append returned is there"
    assert report["twice"] == 0
    assert report["changes"] > 100, "routine made room for changes"
    assert report["refused"] > 0, "in the end there was no room, and append said so"
    thinned = [n for cause, n in report["dropped"].items() if cause.startswith("thinned")]
    assert report["kept"] + sum(thinned) == report["taken"], "what is missing is counted"
    assert set(report["dropped"]) == {"thinned_p3", "refused"}
    for moment in ("when_full", "at_start", "in_the_end"):
        assert report[f"problem_{moment}"] == ""


def test_store_on_full_disk_keeps_what_was_acknowledged(tmp_path: Path) -> None:
    report = told_by("support.store_on_a_full_disk", tmp_path, timeout_s=250)
    assert report["refused_while_full"] > 0, "agents were answered `retry`"
    assert "free space on it" in report["problems"][0]
    assert report["refused_after"] == 0
    assert report["problems_after"] == []
    assert report["lost"] == report["double"] == 0
    assert report["stored"] == report["acknowledged"]
