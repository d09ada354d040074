"""The idle agent's start and RSS, beside the same process with all imports.

The yardsticks are measured side by side in this run: the same agent with every library imported
eagerly, and Debian's prometheus-blackbox-exporter, the prober a volunteer could run instead.
"""

import shutil
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from support.ports import free_port
from support.programs import agent, ask, collector, cost_of, eventually, started

RUNS = 5
# As it is installed by default: the extra `fast` is there to trade memory for speed.
PLAIN = """
import runpy, sys
sys.modules["uvloop"] = None
sys.argv = ["heliograph-agent", *sys.argv[1:]]
runpy.run_module("heliograph_agent", run_name="__main__")
"""
# As `deploy/install lean` leaves it.
LEAN = PLAIN.replace("import runpy, sys", 'import runpy, sys\nsys.modules["grpc"] = None')
EAGER = """
import aiohttp, certifi, cryptography.x509, cryptography.hazmat.primitives.hpke
import dns.asyncquery, dns.asyncresolver, dns.message, grpc.aio, scapy.all, yaml
import cryptography.hazmat.primitives.asymmetric.ed25519
import heliograph.envelope, heliograph.services, heliograph.v1.intake_pb2_grpc
import runpy, sys
sys.argv = ["heliograph-agent", *sys.argv[1:]]
runpy.run_module("heliograph_agent", run_name="__main__")
"""


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Make an enrolled agent with a running collector, no configuration, no target."""
    home = tmp_path_factory.mktemp("idle")
    door = f"127.0.0.1:{free_port()}"
    (home / "collector.yml").write_text(yaml.safe_dump({"control": {"endpoints": []}}))
    (home / "plan.yml").write_text(
        yaml.safe_dump(
            {"tasks": [{"experiment": "tcp", "target": "127.0.0.1:9", "interval_s": 86_400}]}
        )
    )
    serve = collector(
        "serve", "--data", home / "data", "--config", home / "collector.yml", "--grpc", door,
        "--http", f"127.0.0.1:{free_port()}", "--post", f"127.0.0.1:{free_port()}",
    )  # fmt: skip
    data = ("--data", home / "data")
    ask(collector("plan", "set", home / "plan.yml", *data))  # first: no agent gets the default one
    with started(serve, home / "serve.log"):
        eventually(lambda: (home / "data" / "serving.json").exists(), "the collector's start")
        invite = ask(collector("invite", *data, "--endpoint", door)).strip()
        ask(agent("join", invite, "--yes", "--state", home / "agent"))
        yield home / "agent"


def cpu_s(pid: int) -> float:
    """Return the CPU seconds of all threads of a process.

    The first number of schedstat is the time on the CPU in ns
    (Documentation/scheduler/sched-stats.rst of Linux).
    """
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(path.read_text().split()[0]) for path in threads) / 1e9


def start_and_rest(command: list[str], log: Path) -> tuple[float, float]:
    """Return CPU seconds until the program runs, and its RSS at rest, connected."""
    log.write_bytes(b"")
    with started(command, log) as process:
        while b"heliograph-agent: running" not in log.read_bytes():
            assert process.poll() is None, log.read_text()
            time.sleep(0.002)
        start = cpu_s(process.pid)
        eventually(lambda: b"connected" in log.read_bytes(), "the session")
        return start, settled_rss(process.pid)


def settled_rss(pid: int) -> float:
    """Return the RSS once two readings half a second apart agree within 1 %."""
    before = cost_of(pid).rss_kib / 1024
    for _ in range(20):
        time.sleep(0.5)
        now = cost_of(pid).rss_kib / 1024
        if abs(now - before) < before / 100:
            return now
        before = now
    return before


def unshared(pid: int) -> float:
    """Return the MiB that no other process shares and the kernel cannot drop.

    The rest of RSS is pages of libraries' files, of which the kernel keeps what it has room for
    (Anonymous in smaps_rollup, Documentation/filesystems/proc.rst of Linux).
    """
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    (size,) = (line.split()[1] for line in lines if line.startswith("Anonymous:"))
    return int(size) / 1024


def rest_and_measure(python: list[str], state: Path, log: Path) -> tuple[float, float]:
    """Return RSS and unshared MiB of an agent half a minute into its session."""
    with started([*python, "run", "--state", str(state)], log) as process:
        eventually(lambda: b"connected" in log.read_bytes(), "the session")
        time.sleep(35)
        assert b"one batch at a time" not in log.read_bytes(), "it has a session"
        return settled_rss(process.pid), unshared(process.pid)


@pytest.mark.slow
def test_the_agent_without_grpcio_is_lighter(state: Path, tmp_path: Path) -> None:
    """The agent without grpcio is lighter.

    Each is read half a minute after its session began: by then it has sealed its first batch.
    """
    sizes = {}
    for name, program in (("full", PLAIN), ("lean", LEAN)):
        log = tmp_path / f"{name}.log"
        log.touch()
        sizes[name] = rest_and_measure([sys.executable, "-c", program], state, log)
    full, lean = sizes["full"], sizes["lean"]
    print(
        f"\nidle agent, full: RSS {full[0]:.1f} MiB, of it unshared {full[1]:.1f} MiB"
        f"\nidle agent, lean: RSS {lean[0]:.1f} MiB, of it unshared {lean[1]:.1f} MiB (limit 32)"
    )
    assert lean[1] <= 32
    assert lean[0] < full[0]


def exporter_rss(log: Path) -> float:
    program = shutil.which("prometheus-blackbox-exporter")
    assert program, "install Debian's prometheus-blackbox-exporter"
    listen = f"--web.listen-address=127.0.0.1:{free_port()}"
    command = [program, "--config.file=/etc/prometheus/blackbox.yml", listen]
    with started(command, log) as exporter:
        time.sleep(0.5)
        return settled_rss(exporter.pid)


def test_the_idle_agent_is_light(state: Path, tmp_path: Path) -> None:
    arguments = ["run", "--state", str(state)]
    plain_command = [sys.executable, "-c", PLAIN, *arguments]
    eager_command = [sys.executable, "-c", EAGER, *arguments]
    plain, eager = [], []
    for _ in range(RUNS):  # interleaved, so that both meet the same machine
        plain.append(start_and_rest(plain_command, tmp_path / "plain.log"))
        eager.append(start_and_rest(eager_command, tmp_path / "eager.log"))
    plain_start, plain_rss = (statistics.median(column) for column in zip(*plain, strict=True))
    eager_start, eager_rss = (statistics.median(column) for column in zip(*eager, strict=True))
    # Of each pair: a machine of others changes its speed by a fifth from one run to the next.
    start_ratio = statistics.median(
        ours / theirs for (ours, _), (theirs, _) in zip(plain, eager, strict=True)
    )
    exporter = exporter_rss(tmp_path / "exporter.log")
    print(
        f"\nidle agent: start {plain_start * 1000:.0f} ms of CPU, RSS {plain_rss:.1f} MiB"
        f"\neverything imported: start {eager_start * 1000:.0f} ms of CPU, RSS {eager_rss:.1f} MiB"
        f"\nprometheus-blackbox-exporter: RSS {exporter:.1f} MiB"
        f"\nratios: start {start_ratio:.3f} (limit 0.3), "
        f"RSS {plain_rss / eager_rss:.3f} (limit 0.42), {plain_rss / exporter:.2f} (limit 3.6)"
    )
    # On 3.13 thirty pairs gave 0.15 to 0.29, half of them under 0.225; what imports aiohttp at the
    # start adds a tenth.
    assert start_ratio <= 0.3
    assert plain_rss / eager_rss <= 0.42
    # Of grpc's library 12 or 15 MiB are mapped, as the kernel keeps the file: more of a new one.
    assert plain_rss / exporter <= 3.6
