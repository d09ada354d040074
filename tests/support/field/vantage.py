"""Run the agent's real runner, experiments and net at one place of the field.

python -m support.field.vantage JOBS      a JSON file; one line of JSON per finished job

The anchors are visited first, as an agent does; every measurement gets the link seen there.
"""

import asyncio
import base64
import dataclasses
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

from heliograph.clock import Clock, SystemClock
from heliograph.codec import measurement_to_pb
from heliograph.observation import Measurement
from heliograph.plan import Endpoint, EndpointKind, Limits, Service
from heliograph_agent.net.system_net import NetConfig, SystemNetFactory
from heliograph_agent.runtime.link import classify_link
from heliograph_agent.runtime.runner import Runner, TaskContext

SHORT = {  # patience, in seconds: nothing here is far away
    "connect_s": 4, "tls_s": 4, "http_s": 4, "body_s": 8, "dns_s": 2, "resolve_s": 4,
    "exchange_s": 4, "udp_s": 3, "quic_s": 4, "hop_s": 1,
}  # fmt: skip
AT_ONCE = 16


@dataclass(frozen=True, kw_only=True)
class Job:
    """One row's experiment; the runner takes it as a task."""

    id: str
    experiment: str
    target: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    service: Service | None = None
    hosts: frozenset[str] = frozenset()
    resolver: str = ""
    deadline_s: float = 60.0
    clock_s: int = 0  # how wrong the vantage's clock is
    net: Mapping[str, float] = field(default_factory=dict)
    addresses: Mapping[str, tuple[str, ...]] | None = None  # of a visit, by endpoint


class WrongClock:
    """The system's, so many seconds off."""

    def __init__(self, off_s: int) -> None:
        self._clock, self._off_us = SystemClock(), off_s * 1_000_000

    def wall_us(self) -> int:
        return self._clock.wall_us() + self._off_us

    def monotonic_us(self) -> int:
        return self._clock.monotonic_us()


def job(said: Mapping[str, Any]) -> Job:
    service = service_of(said["experiment"], said["endpoints"]) if said.get("endpoints") else None
    known = {f.name for f in dataclasses.fields(Job)}
    return Job(**{key: value for key, value in said.items() if key in known} | {"service": service})


def service_of(experiment: str, endpoints: list[Mapping[str, Any]]) -> Service:
    made = tuple(Endpoint(**{**e, "kind": EndpointKind(e["kind"])}) for e in endpoints)
    return Service(name=experiment, title="", experiment=experiment, endpoints=made)


async def main(plan: Mapping[str, Any]) -> None:
    places = asyncio.Semaphore(AT_ONCE)
    anchors = job({"id": "", "experiment": "connectivity", "endpoints": plan["anchors"]})
    anchors = dataclasses.replace(anchors, resolver=plan["resolver"])
    looked = await _run(anchors, plan["ca_file"], TaskContext(epoch="field"))
    context = TaskContext(epoch="field", link=classify_link(looked.observations))
    _print("", looked, str(context.link))

    async def one(said: Mapping[str, Any]) -> None:
        async with places:
            task = job(said)
            made = await _run(task, plan["ca_file"], replace(context, addresses=task.addresses))
        _print(said["id"], made, str(context.link))

    async with asyncio.TaskGroup() as group:
        for said in plan["jobs"]:
            group.create_task(one(said))


async def _run(job: Job, ca_file: str, context: TaskContext) -> Measurement:
    clock: Clock = WrongClock(job.clock_s) if job.clock_s else SystemClock()
    settings: dict[str, Any] = {**SHORT, **job.net}
    config = NetConfig(resolver=job.resolver, ca_file=ca_file, **settings)
    door = SystemNetFactory(config, clock, Random(job.id))
    runner = Runner(door, clock, Limits(), "field", deadline_s=job.deadline_s)
    return await runner.run(job, context)


def _print(id_: str, made: Measurement, link: str) -> None:
    data = base64.b64encode(measurement_to_pb(made).SerializeToString()).decode()
    print(json.dumps({"id": id_, "link": link, "measurement": data}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(json.loads(Path(sys.argv[1]).read_text())))
