"""The agent runs without POSIX: files, locks, datagrams, addresses, a whole run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[2]
WHOLE = os.environ.get("HELIOGRAPH_HIDDEN_POSIX") == "whole"
SOME = (
    "test_state.py",
    "platform/test_file_lock.py",
    "net/test_local_addresses.py",
    "net/dns/test_transport.py",
    "spool/test_spool.py",
    "runtime/test_batcher.py",
)
PYTEST = (sys.executable, "-m", "pytest", "-q", "-x", "-p", "support.hidden_posix")


@pytest.mark.timeout(3_600 if WHOLE else 600)
def test_suite_passes_where_posix_is_hidden() -> None:
    """The suite passes where POSIX is hidden.

    It runs in a new process, as the agent must be imported after POSIX was hidden.
    """
    places = [TESTS / "agent"] if WHOLE else [TESTS / "agent" / name for name in SOME]
    result = subprocess.run(
        [*PYTEST, "-p", "no:cacheprovider", "--ignore", __file__, *map(str, places)],
        cwd=TESTS.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=3_500 if WHOLE else 500,
    )
    assert result.returncode == 0, result.stdout[-4_000:] + result.stderr[-2_000:]
