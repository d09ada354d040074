"""A volunteer's bare install has the agent and none of the collector's libraries."""

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

from heliograph import envelope
from support import programs, serve_process
from support.examples import IS_SOAK
from support.ports import free_port

ROOT = Path(__file__).parents[2]
FORBIDDEN = {
    "aiohttp", "chdb", "chdb-core-lite", "clickhouse-connect", "pyarrow", "pandas", "numpy",
    "maxminddb", "prometheus-client", "segno", "scapy", "grpcio-health-checking",
    "babel", "chdb-core", "grpcio-reflection", "grpcio-tools", "jinja2", "aioquic", "pylsqpack",
    "curl-cffi",
}  # fmt: skip
# All of them slow, so that they follow each other and one venv serves them.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("install")]


@pytest.fixture(scope="module")
def bare(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the programs of a venv with `pip install .` alone."""
    venv = tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    install(venv / "bin", *wheels.glob("heliograph-*.whl"))
    return venv / "bin"


def pip(programs: Path) -> list[str]:
    """Return the command of this process's pip for another venv."""
    python = str(programs / "python")
    return [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check"]


def install(programs: Path, *words: str | Path) -> None:
    """Install; without compiling except in the soak, since few of the modules are imported."""
    compiled = [] if IS_SOAK else ["--no-compile"]
    subprocess.run([*pip(programs), "--quiet", "install", *compiled, *words], check=True)


def run(
    *command: str | Path, variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run in the environment of the test, without the modules of its PYTHONPATH."""
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment = {**own, **(variables or {})}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env=environment
    )


def test_no_library_of_the_collector_comes_along(bare: Path) -> None:
    listed = json.loads(run(*pip(bare), "list", "--format=json").stdout)
    names = {entry["name"].lower() for entry in listed}
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    collector = {
        requirement.split(">")[0].split("[")[0].lower()
        for requirement in extra["optional-dependencies"]["collector-without-engine"]
    }
    assert not names & (FORBIDDEN | collector)
    assert "heliograph" in names


def test_the_agent_runs_from_the_bare_install(bare: Path) -> None:
    listed = run(bare / "heliograph-agent", "experiments", "--json")
    assert listed.returncode == 0, listed.stderr
    assert "telegram" in listed.stdout


def test_a_probe_runs_from_the_bare_install(bare: Path) -> None:
    """Port 9 of loopback refuses: the whole way from command to observation."""
    probed = run(bare / "heliograph-agent", "probe", "tcp", "127.0.0.1:9", "--json")
    assert probed.returncode == 0, probed.stderr
    assert "connection_refused" in probed.stdout


def test_the_collector_says_what_is_missing(bare: Path) -> None:
    answer = run(bare / "heliograph-collector", "serve")
    assert answer.returncode == 1
    assert "pip install '.[collector]'" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_a_test_with_raw_packets_says_what_to_install(bare: Path) -> None:
    probed = run(bare / "heliograph-agent", "probe", "path", "127.0.0.1:9")
    assert "pip install ./agent/raw" in probed.stdout + probed.stderr
    assert "Traceback" not in probed.stderr
    assert "No module" not in probed.stderr


def test_the_raw_packet_helper_is_found_beside_the_agent(
    bare: Path, wheels: Path, tmp_path: Path
) -> None:
    install(bare, "--target", tmp_path, next(wheels.glob("heliograph_raw-*.whl")))
    probed = run(
        bare / "heliograph-agent", "probe", "path", "127.0.0.1:9", "--json",
        variables={"PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    answers = probed.stdout + probed.stderr
    assert '"rst"' in answers or "CAP_NET_RAW" in answers


@pytest.fixture(scope="module")
def lean(bare: Path) -> Path:
    """Return the same venv as `deploy/install lean` makes it: without grpcio."""
    subprocess.run([*pip(bare), "--quiet", "uninstall", "--yes", "grpcio"], check=True)
    return bare


# By suffix. The soak compiles all, as a volunteer's install does, and adds up the files. Otherwise
# few modules are compiled, and each counts as 1.3 times its source, which was measured.
SIZE_OF = {} if IS_SOAK else {".py": 2.3, ".pyc": 0.0}


def test_the_lean_agent_is_small(lean: Path) -> None:
    """The lean agent is small: 45 MB without pip and the collector.

    `deploy/install lean` removes those.
    """
    (packages,) = (lean.parent / "lib").glob("python*/site-packages")
    left_out = ("pip", "setuptools", "pkg_resources", "heliograph_collector", "heliograph_lab")
    kept = [folder for folder in packages.iterdir() if not folder.name.startswith(left_out)]
    files = [file for folder in kept for file in [folder, *folder.rglob("*")]]
    size = sum(SIZE_OF.get(file.suffix, 1.0) * file.stat().st_size for file in files)
    print(f"\nlean agent: {size / 1e6:.0f} MB on disk")
    assert size <= 45e6


CONNECTED = "connected to the collector"  # logged at a collector's first answer


def test_the_lean_agent_joins_and_outlives_its_collector(lean: Path, tmp_path: Path) -> None:
    """The lean agent joins, and its results arrive once through a collector's kill."""
    data, log = tmp_path / "data", tmp_path / "agent.log"
    plan = tmp_path / "plan.yml"
    plan.write_text("tasks: [{experiment: tcp, target: '127.0.0.1:9', interval_s: 10}]\n")
    programs.ask(programs.collector("plan", "set", plan, "--data", data))
    door = ("--post", f"127.0.0.1:{free_port()}")
    agent = ["env", "-u", "PYTHONPATH", str(lean / "heliograph-agent")]
    state = ("--state", str(tmp_path / "agent"))
    with serve_process.served(data, *door) as served:
        served.wait_for("http")
        endpoint = str(served.places["grpc"])
        invite = programs.collector("invite", "--data", data, "--endpoint", endpoint)
        programs.ask([*agent, "join", programs.ask(invite).strip(), "--yes", *state])
        with programs.started([*agent, "run", *state], log):
            programs.eventually(lambda: list_stored(data), "a result")
            served.stop(signal.SIGKILL)
            before = len(list_stored(data))  # listed when nothing can arrive any more
            with serve_process.served(data, *door):
                programs.eventually(lambda: len(list_stored(data)) > before, "a later result")
                programs.eventually(lambda: log.read_text().count(CONNECTED) >= 2, "its receipt")
    assert "Traceback" not in log.read_text()
    stored = list_stored(data)
    assert len(set(stored)) == len(stored)


def list_stored(data: Path) -> list[tuple[str, int]]:
    """Return each result in the journal by the start of its test, with duplicates."""
    with contextlib.closing(sqlite3.connect(data / "journal.db", timeout=60)) as db:
        bodies = db.execute("SELECT body FROM log WHERE kind = 'envelope'").fetchall()
    batches = [envelope.decompress_batch(body) for (body,) in bodies]
    return [(m.experiment, m.started_us) for batch in batches for m in batch.measurements]
