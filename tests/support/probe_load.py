"""Thousands of our own probes in a separate process, made as the agent makes them.

PYTHONPATH=tests python -m support.probe_load CA_FILE reads one job a line from stdin, as JSON:
{"experiment": "tcp", "target": "127.0.0.1:80", "options": {}, "probes": 2000}, and answers each
with what it cost: {"cpu_us": 63.1, "bytes": 310.0, "faults": []}, all but the last by the probe.

Nothing is left out: the runner's turns, the record of every step, the measurement in protobuf.
The loop is the agent's own, on uvloop where the extra `fast` is installed.
"""

import asyncio
import json
import random
import resource
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from heliograph.clock import SystemClock
from heliograph.codec import measurement_to_pb
from heliograph.observation import Measurement
from heliograph.plan import Limits, Service
from heliograph_agent.net.config import NetConfig
from heliograph_agent.net.system_net import SystemNetFactory
from heliograph_agent.runtime.event_loop import run_main
from heliograph_agent.runtime.runner import Runner, TaskContext

CONCURRENCY = 50


@dataclass(frozen=True, slots=True)
class Errand:
    experiment: str
    target: str
    options: Mapping[str, str]
    service: Service | None = None
    hosts: frozenset[str] = field(default_factory=frozenset)  # all at once on one host, here


async def work(runner: Runner, errand: Errand, left: Iterator[int], seen: Counter[str]) -> None:
    context = TaskContext(epoch="0123456789abcdef0123456789abcdef")
    for _ in left:
        measurement = await runner.run(errand, context)
        seen["bytes"] += len(measurement_to_pb(measurement).SerializeToString())
        for fault in faults(measurement):
            seen[fault] += 1


def faults(measurement: Measurement) -> Iterator[str]:
    if measurement.not_measured or not measurement.observations:
        yield measurement.not_measured or "nothing observed"
    for each in measurement.observations:
        if each.failure is not None:
            yield f"{each.operation}: {each.failure} {each.failure_detail}"


async def probe(runner: Runner, errand: Errand, probes: int) -> Counter[str]:
    left, seen = iter(range(probes)), Counter[str]()
    async with asyncio.TaskGroup() as group:
        for _ in range(CONCURRENCY):
            group.create_task(work(runner, errand, left, seen))
    return seen


def cpu_us() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return 1e6 * (usage.ru_utime + usage.ru_stime)


async def measured(runner: Runner, job: Mapping[str, Any]) -> dict[str, Any]:
    errand = Errand(job["experiment"], job["target"], job["options"])
    probes = int(job["probes"])
    await probe(runner, errand, probes // 4)  # warm
    began = cpu_us()
    seen = await probe(runner, errand, probes)
    cost = (cpu_us() - began) / probes
    return {"cpu_us": cost, "bytes": seen.pop("bytes") / probes, "faults": list(seen.items())}


async def main(ca_file: str) -> None:
    clock = SystemClock()
    door = SystemNetFactory(NetConfig(ca_file=ca_file), clock, random.Random(1))
    runner = Runner(door, clock, Limits(concurrency=CONCURRENCY), "boot")
    for line in sys.stdin:
        print(json.dumps(await measured(runner, json.loads(line))), flush=True)


if __name__ == "__main__":
    run_main(main(sys.argv[1]))
