"""A killed agent's disk shows no result, and none is lost or arrives twice."""

import asyncio
import os
import random
import re
import shutil
import socket
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import pytest

from heliograph.plan import Endpoint, EndpointKind, PlannedTask, Service
from heliograph.v1 import observation_pb2
from heliograph_agent.state import CONFIG, PLAN
from support import local_targets
from support.programs import CLEAN, agent, ask
from support.scripted_intake import Collector, intake, plan_of

KILLS = int(os.environ.get("HELIOGRAPH_KILLS", "2"))
DEADLINE_S = 240.0  # of a busy machine
SERVICE = "telegram"
# The signed plan says what may be tested, and config.yml is the volunteer's.
GIVEN = {PLAN, CONFIG}
# A wall clock in microseconds, as text, that is no whole minute.
TIME = re.compile(rb"(?<![0-9])1[6-9][0-9]{14}(?![0-9])")


@asynccontextmanager
async def running(state: Path, log: Path) -> AsyncIterator[Process]:
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *agent("run", "--state", state), env=CLEAN, stdin=DEVNULL, stdout=output, stderr=output
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def make_tasks(stack: ExitStack) -> tuple[tuple[PlannedTask, ...], tuple[Service, ...]]:
    """Return tests of ports, of which half refuse, and a service, each every second."""
    sockets = [stack.enter_context(socket.socket()) for _ in range(12)]
    for index, target in enumerate(sockets):
        target.bind(("127.0.0.1", 0))
        if index % 2:
            target.listen(512)
    ports = [target.getsockname()[1] for target in sockets]
    endpoint = Endpoint(
        id="secret-endpoint", kind=EndpointKind.TCP, host="127.0.0.1", port=ports[0]
    )
    service = Service(name=SERVICE, title="Telegram", experiment="telegram", endpoints=(endpoint,))
    tasks = [PlannedTask(experiment="tcp", target=f"127.0.0.1:{p}", interval_s=1) for p in ports]
    return (*tasks, PlannedTask(experiment="telegram", service=SERVICE, interval_s=1)), (service,)


def delivered(collector: Collector) -> list[observation_pb2.Measurement]:
    """Return all measurements, deduplicated by the envelope's number."""
    batches = {batch.sequence: batch for batch in collector.batches}
    for batch in collector.batches:
        same = list(batch.measurements) == list(batches[batch.sequence].measurements)
        assert same, f"envelope {batch.sequence} came with two contents"
    return [m for batch in batches.values() for m in batch.measurements]


def encode_varint(value: int) -> bytes:
    """Encode as protobuf does, by a message with one such field."""
    return observation_pb2.Measurement(started_us=value).SerializeToString()[1:]


def list_secrets(measurements: list[observation_pb2.Measurement]) -> Iterator[bytes]:
    """Yield what a disk must not show: targets, services, failures, times in any form."""
    yield from (b"secret-endpoint", SERVICE.encode(), b"connection_refused", b"127.0.0.1:9")
    for m in measurements:
        if m.experiment != "uplink":  # its target is the collector, which status.json names
            yield m.target.encode()
        yield from (m.service.encode(), encode_varint(m.started_us))
        yield m.started_us.to_bytes(8, "big")
        yield m.started_us.to_bytes(8, "little")
        yield str(m.started_us).encode()
        yield from (x.failure.encode() for x in m.observations)


def carve(folder: Path, secrets: set[bytes]) -> list[str]:
    """Search all files, with free pages and the journal."""
    matches = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.name not in GIVEN):
        content = path.read_bytes()
        matches += [f"{path.name}: {secret!r}" for secret in secrets if secret in content]
        matches += [f"{path.name}: {t!r}" for t in TIME.findall(content) if int(t) % 60_000_000]
    return matches


@pytest.mark.slow
@pytest.mark.timeout(1_500 + 10 * KILLS)
async def test_disk_of_a_killed_agent_shows_no_result_and_loses_none(tmp_path: Path) -> None:
    rng = random.Random(7)
    state = local_targets.allow(tmp_path / "agent")
    log = tmp_path / "agent.log"
    with ExitStack() as stack:
        tasks, services = make_tasks(stack)
        async with intake(plan_of(*tasks, services=services)) as collector:
            await asyncio.to_thread(
                ask, agent("join", collector.invite(), "--state", state, "--yes")
            )
            for kill in range(KILLS):
                wanted = len(collector.batches) + rng.randrange(1, 4)
                async with running(state, log) as process, asyncio.timeout(DEADLINE_S):
                    await collector.until(lambda: len(collector.batches) >= wanted)  # noqa: B023
                    await asyncio.sleep(rng.uniform(0, 0.5))  # at a moment like any other
                    process.kill()
                    await process.wait()
                shutil.copytree(state, tmp_path / "seized" / str(kill))
            # Without a session nothing new is sent, but what the last life left.
            await asyncio.to_thread(ask, agent("run", "--once", "--state", state))
    measurements = delivered(collector)
    secrets = {secret for secret in list_secrets(measurements) if len(secret) > 4}
    assert carve(tmp_path / "seized", secrets) == []
    assert not [s for s in (SERVICE.encode(), b"127.0.0.1:") if s in log.read_bytes()], (
        "nor the log"
    )
    numbers = sorted(m.sequence for m in measurements)
    assert numbers == list(range(1, numbers[-1] + 1)), "none is lost, and none is there twice"
    assert any(x.failure for m in measurements for x in m.observations)
    print(f"\nkill -9 of an agent: {KILLS}; {len(numbers)} results, 0 lost, 0 twice, 0 carved")
