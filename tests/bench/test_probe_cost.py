"""CPU of a probe, beside prometheus-blackbox-exporter on the same targets.

Ours is the whole of it: the experiment through the runner, the record of every step with all its
facts, the measurement in protobuf, on the loop of the extra `fast`. Targets stand on one core, the
prober under test on another.
"""

import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from support.loopback_ca import LoopbackCA
from support.nginx import nginx
from support.ports import HOST, free_port
from support.process import listening
from support.programs import cost_of, eventually, started
from support.unbound import unbound

ROUNDS = 3
CONCURRENCY = 50
PROBER_CORE = 1
NAME = "www.example.test"
PAGE = b"<!doctype html><html><head><title>It works here</title></head><body>" + b"word " * 800


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of probe: its settings for each side, and the required ratio."""

    name: str
    wished: float  # what a prototype with minimal records showed to be possible
    limit: float  # what must hold
    probes: int
    experiment: str
    target: str  # ours
    module: Mapping[str, Any]
    theirs: str  # their target
    options: Mapping[str, str] = field(default_factory=dict)


def kinds(http: int, https: int, dns: int, ca_file: str) -> Iterator[Kind]:
    tls = {"ca_file": ca_file, "server_name": NAME}
    v4 = {"preferred_ip_protocol": "ip4"}
    yield Kind("tcp", 3.0, 1.6, 400, "tcp", f"{HOST}:{http}",
               {"prober": "tcp", "tcp": v4}, f"{HOST}:{http}")  # fmt: skip
    yield Kind("http", 6.0, 1.1, 500, "web", f"http://{HOST}:{http}/",
               {"prober": "http", "http": v4}, f"http://{HOST}:{http}/")  # fmt: skip
    yield Kind("https", 1.6, 0.8, 300, "web", f"https://{HOST}:{https}/",
               {"prober": "http", "http": {**v4, "tls_config": {"ca_file": ca_file}}},
               f"https://{HOST}:{https}/")  # fmt: skip
    yield Kind("dns", 5.0, 1.5, 400, "dns", NAME,
               {"prober": "dns", "dns": {**v4, "query_name": NAME, "query_type": "A"}},
               f"{HOST}:{dns}",
               {"engines": "udp", "types": "A", "resolver": f"{HOST}:{dns}"})  # fmt: skip
    yield Kind("tls", 1.1, 0.65, 300, "tls", f"{HOST}:{https}",
               {"prober": "tcp", "tcp": {**v4, "tls": True, "tls_config": tls}},
               f"{HOST}:{https}", {"server_name": NAME})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Exporter:
    pid: int
    port: int
    warm: set[str] = field(default_factory=set)  # modules that have probed

    async def cost_us(self, module: str, target: str, probes: int) -> float:
        """Return CPU µs, user and system, per probe; AssertionError if one failed."""
        if module not in self.warm:
            await self._probe(module, target, probes // 4)
            self.warm.add(module)
        began_s = cost_of(self.pid).cpu_s
        await self._probe(module, target, probes)
        return 1e6 * (cost_of(self.pid).cpu_s - began_s) / probes

    async def _probe(self, module: str, target: str, probes: int) -> None:
        asked = {"module": module, "target": target}
        connections = aiohttp.TCPConnector(limit=CONCURRENCY)
        async with (
            aiohttp.ClientSession(f"http://{HOST}:{self.port}", connector=connections) as session,
            asyncio.TaskGroup() as group,
        ):

            async def probe_once() -> None:
                async with session.get("/probe", params=asked) as reply:
                    text = await reply.text()
                    assert "\nprobe_success 1\n" in text, text

            for _ in range(probes):
                group.create_task(probe_once())


@contextmanager
def exporter(directory: Path, modules: Mapping[str, Any]) -> Iterator[Exporter]:
    program = shutil.which("prometheus-blackbox-exporter")
    assert program, "install Debian's prometheus-blackbox-exporter"
    config = directory / "blackbox.yml"
    config.write_text(yaml.safe_dump({"modules": dict(modules)}))
    port = free_port()
    command = [
        "taskset", "-c", str(PROBER_CORE), program, f"--config.file={config}",
        "--log.level=error", f"--web.listen-address={HOST}:{port}",
    ]  # fmt: skip
    with started(command, directory / "exporter.log") as process:
        eventually(lambda: listening(port), "the exporter's start")
        yield Exporter(process.pid, port)


@dataclass(frozen=True, slots=True)
class Ours:
    process: "subprocess.Popen[str]"

    def cost_us(self, kind: Kind) -> float:
        """Return CPU µs, user and system, per probe."""
        job = {
            "experiment": kind.experiment,
            "target": kind.target,
            "options": dict(kind.options),
            "probes": kind.probes,
        }
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        assert answer["faults"] == []
        return float(answer["cpu_us"])


@contextmanager
def ours(ca_file: str) -> Iterator[Ours]:
    tests = str(Path(__file__).parents[1])
    program = (sys.executable, "-m", "support.probe_load", ca_file)
    command = ("taskset", "-c", str(PROBER_CORE), *program)
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": tests},
    ) as process:  # fmt: skip
        yield Ours(process)


@pytest.fixture
def alone_on_core_0() -> Iterator[None]:
    """Pin this process, its load and every server that it starts to core 0."""
    before = os.sched_getaffinity(0)
    if len(before) < 2:
        pytest.skip("needs two cores: one for the targets, one for the prober")
    os.sched_setaffinity(0, {min(before)})
    yield
    os.sched_setaffinity(0, before)


@pytest.mark.usefixtures("alone_on_core_0")
def test_a_probe_is_cheap(tmp_path: Path) -> None:
    ca = LoopbackCA(tmp_path / "ca")
    with ExitStack() as stack:
        sites = {NAME: ca.leaf(NAME, HOST)}
        web = stack.enter_context(nginx(tmp_path, sites, pages={"/": PAGE}, nameless=NAME))
        zone = {"example.test": "www IN A 127.0.0.1"}
        resolver = stack.enter_context(unbound(tmp_path, zone))
        asked = tuple(kinds(web.http, web.https, resolver.port, str(ca.ca_file)))
        modules = {kind.name: dict(kind.module) for kind in asked}
        theirs = stack.enter_context(exporter(tmp_path, modules))
        mine = stack.enter_context(ours(str(ca.ca_file)))
        costs = [compared(kind, mine, theirs) for _ in range(ROUNDS) for kind in asked]
    short = []
    for number, kind in enumerate(asked):
        rounds = costs[number :: len(asked)]
        ratio = statistics.median(their / my for my, their in rounds)
        my, their = (statistics.median(column) for column in zip(*rounds, strict=True))
        print(
            f"\n{kind.name:5} ours {my:6.1f} µs, prometheus-blackbox-exporter {their:7.1f} µs: "
            f"{ratio:.2f} times (at least {kind.limit}, wished {kind.wished})",
            end="",
        )
        short += [kind.name] if ratio < kind.limit else []
    print()
    assert short == []


def compared(kind: Kind, mine: Ours, theirs: Exporter) -> tuple[float, float]:
    """Measure both one after another, so that both meet the same machine."""
    my = mine.cost_us(kind)
    their = theirs.cost_us(kind.name, kind.theirs, kind.probes)
    return my, asyncio.run(their)
