"""kill -9 at random points of the spool's work: nothing is lost or stored twice."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from support.programs import CLEAN

KILLS = 200
TESTS = Path(__file__).parents[2]


@pytest.mark.slow
def test_spool_survives_two_hundred_kills(tmp_path: Path) -> None:
    """Checked after every kill, by a process that has not seen the spool's code at work."""
    done = subprocess.run(
        [sys.executable, "-m", "support.spool_killing", tmp_path, str(KILLS), "1"],
        cwd=TESTS,
        env={**CLEAN, "PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    acts = report["acts"]
    print(
        f"\nkill -9 of a working spool: {report['kills']}; appends reported {acts['appended']}, "
        f"batches closed {acts['closed']}, envelopes settled {acts['settled']}; "
        f"measurements held or delivered {acts['held or delivered']}, wrong {len(report['wrong'])}"
    )
    assert report["wrong"] == []
    assert report["kills"] == KILLS
    assert acts["appended"] > KILLS, "too little went on to prove anything"
    assert acts["settled"] > KILLS // 10
