"""Kills at random moments lose nothing acknowledged and duplicate nothing.

It kills `HELIOGRAPH_KILLS` times, 8 by default.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.programs import CLEAN

TESTS = Path(__file__).parents[2]
KILLS = int(os.environ.get("HELIOGRAPH_KILLS", "8"))


@pytest.mark.slow
@pytest.mark.timeout(1_200)
def test_nothing_acknowledged_is_lost_and_nothing_is_double(tmp_path: Path) -> None:
    script = str(Path(__file__).with_name("kill_drill.py"))
    command = [sys.executable, script, str(tmp_path), str(KILLS), "20220105"]
    env = {**CLEAN, "PYTHONPATH": str(TESTS), "PYTHONWARNINGS": "ignore"}
    drill = subprocess.run(
        command, env=env, capture_output=True, text=True, timeout=1_000, check=False
    )
    assert drill.returncode == 0, drill.stderr[-2_000:] + drill.stdout[-2_000:]
    found = json.loads(drill.stdout.splitlines()[-1])
    print(json.dumps(found))
    envelopes = found["envelopes"]
    assert found["kills_after_an_acknowledgement"] > KILLS / 5
    # Few kills may meet no write; test_daily_totals.py breaks off between any two writes.
    assert found["kills_that_tore_a_block"] >= KILLS // 100, "a busy machine tears fewer"
    assert 0 < found["acknowledged"] <= envelopes
    assert found["lost"] == 0
    assert found["measurements"] == [3 * envelopes, 3 * envelopes]
    assert found["verdicts"] == [6 * envelopes, 6 * envelopes]
    assert found["presence"] == [envelopes, envelopes]
    assert found["quarantine"] == [0, 0]
