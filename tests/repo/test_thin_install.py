"""A volunteer's bare install brings the agent and none of the collector's libraries."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FORBIDDEN = {
    "aiohttp", "chdb", "chdb-core-lite", "clickhouse-connect", "pyarrow", "pandas", "numpy",
    "maxminddb", "prometheus-client", "segno", "scapy", "grpcio-health-checking",
    "grpcio-reflection", "grpcio-tools", "jinja2", "aioquic", "pylsqpack",
}  # fmt: skip


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A venv into which `pip install .` alone was done, from a wheel built from this tree."""
    home = tmp_path_factory.mktemp("bare")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", home, ROOT], check=True)
    subprocess.run([sys.executable, "-m", "venv", home / "venv"], check=True)
    (wheel,) = home.glob("*.whl")
    python = home / "venv" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "--quiet", "install", wheel], check=True)
    return home / "venv" / "bin"


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.xdist_group("install")
def test_no_library_of_the_collector_comes_along(bare: Path) -> None:
    listed = json.loads(run(bare / "python", "-m", "pip", "list", "--format=json").stdout)
    names = {entry["name"].lower() for entry in listed}
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    collector = {
        requirement.split(">")[0].split("[")[0].lower()
        for requirement in extra["optional-dependencies"]["collector"]
    }
    assert not names & (FORBIDDEN | collector)
    assert "heliograph" in names


@pytest.mark.xdist_group("install")
def test_the_agent_runs_from_the_bare_install(bare: Path) -> None:
    listed = run(bare / "heliograph-agent", "experiments", "--json")
    assert listed.returncode == 0, listed.stderr
    assert "telegram" in listed.stdout


@pytest.mark.xdist_group("install")
def test_a_probe_runs_from_the_bare_install(bare: Path) -> None:
    """Port 9 of loopback refuses: the whole way from command to observation."""
    probed = run(bare / "heliograph-agent", "probe", "tcp", "127.0.0.1:9", "--json")
    assert probed.returncode == 0, probed.stderr
    assert "connection_refused" in probed.stdout


@pytest.mark.xdist_group("install")
def test_the_collector_says_what_is_missing(bare: Path) -> None:
    answer = run(bare / "heliograph-collector", "serve")
    assert answer.returncode == 1
    assert "heliograph[collector]" in answer.stderr
    assert "Traceback" not in answer.stderr
