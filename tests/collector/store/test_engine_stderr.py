"""No C++ stack trace at the start where no cgroups are, and nothing else is lost."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from heliograph_collector.store.engine_stderr import drop_cgroup_trace

TRACE = b"""Cannot use cgroups reader: Code: 107. DB::Exception: Cannot find cgroups (FILE)

0. ? @ 0x00000000027d6292
1. Python/import.c:1748:11: ? @ 0x000000000028b429
 (version 26.5.1.1)
"""


@pytest.mark.parametrize("has_cgroups", [False, True])
def test_only_the_trace_is_dropped(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, has_cgroups: bool
) -> None:
    files = [tmp_path] if has_cgroups else [tmp_path / "nothing"]
    with drop_cgroup_trace(files):
        os.write(2, b"before\n" + TRACE + b"after\n")
    os.write(2, b"later\n")
    trace = TRACE.decode() if has_cgroups else ""
    assert capfd.readouterr().err == f"before\n{trace}after\nlater\n"


def test_readers_that_start_together_lose_no_later_line(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def start(number: int) -> None:
        with drop_cgroup_trace([tmp_path / "nothing"]):
            os.write(2, b"%d\n" % number)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(start, range(200)))
    os.write(2, b"later\n")
    lines = capfd.readouterr().err.split()
    assert sorted(lines) == sorted([*map(str, range(200)), "later"])
