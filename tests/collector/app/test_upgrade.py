"""This version serves the data directory of an earlier commit and its programs.

data-871a5ba.bin (tar, xz) was recorded by `make run` of that commit on loopback targets alone; its
keys are of no other use. The consents are written back to their first version, of two days before.
"""

import json
import sqlite3
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from heliograph.clock import SystemClock
from support import serve_process
from support.ports import HOST, free_port
from support.serve_process import NO_INGEST_PROCESS
from support.waiting import until_now

RECORDED = Path(__file__).with_name("data-871a5ba.bin")
CONFIG = f"feed: {{k_anonymity: 1}}\nplan: {{services_file: services.yml}}\n{NO_INGEST_PROCESS}"
_SLOW_S = 120.0  # five workers share two cores
CONTROL_HERE = '"controls":1,'
FIRST_CONSENT = {
    "version": 1, "given_us": 1, "plan_version": 1, "scope": ["*"], "country": "KZ", "region": "",
    "access": "unknown",
}  # fmt: skip


def unpack(folder: Path, port: int) -> Path:
    """Lay out the old directory for a collector at this port; return it."""
    with tarfile.open(RECORDED) as archive:
        archive.extractall(folder, filter="data")
    data = folder / "data"
    for name in ("agent", "control"):
        file = data / name / "collector.json"
        content = json.loads(file.read_text()) | {"endpoint": f"{HOST}:{port}"}
        file.write_text(json.dumps(content))
        (data / name / "consent.json").write_text(json.dumps(FIRST_CONSENT))
    (data / "control.endpoint").write_text(f"{HOST}:{port}")
    with closing(sqlite3.connect(data / "fleet.db")) as fleet:  # keys that are too old are refused
        fleet.execute("UPDATE agents SET created_s = ?", (SystemClock().wall_us() // 1_000_000,))
        fleet.commit()
    return data


@contextmanager
def run_agent(state: Path) -> Iterator[Path]:
    log = state.with_suffix(".log")
    command = [sys.executable, "-m", "heliograph_agent", "run", "--state", str(state)]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        yield log
    finally:
        process.terminate()
        process.wait(240)
        print(log.read_text())


@pytest.mark.slow
def test_data_of_earlier_commit_is_served_with_its_agents(tmp_path: Path) -> None:
    port = free_port()
    data = unpack(tmp_path, port)
    with (
        serve_process.served(data, "--grpc", f"{HOST}:{port}", config=CONFIG) as served,
        run_agent(data / "agent") as agent_log,
    ):
        served.wait_for("http")
        until_now(lambda: "connected to the collector" in agent_log.read_text(), _SLOW_S)
        until_now(lambda: CONTROL_HERE in served.get("/api/v1/status")[1], _SLOW_S)
        assert json.loads(served.get("/readyz")[1])["problems"] == []
