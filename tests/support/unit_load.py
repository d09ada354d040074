"""A collector's directory and a file of envelopes sealed to it.

They hold the default plan's own load: so many results of a fleet's agents and controls, each in a
separate envelope, at the plan's intervals; one country meets a block of one service. The first
third is in the journal, as the past; `stage_costs` takes the rest. No collector runs.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from heliograph import envelope, keys
from heliograph.services import load_shipped_services
from heliograph.units import DAY_S
from heliograph.v1 import envelope_pb2
from heliograph.zstd_frame import compress_frame
from heliograph_collector.fleet import Fleet, open_keyring
from heliograph_collector.fleet.keyring import SealingKeys
from heliograph_collector.model.records import AgentRole, JournalRow, RowKind
from heliograph_collector.store.journal.journal import Journal
from heliograph_lab.simulate.agent import derive_key
from heliograph_lab.simulate.measuring import build_batch
from heliograph_lab.simulate.script import Actor
from heliograph_lab.simulate.visits import InterferenceMethod
from heliograph_lab.simulate.workload import Run, Workload, build_load_plan

COUNTRIES = ("KZ", "DE", "FR", "BR")
PLANTED = ("KZ", "signal")
VERSION = "0"


def build_fleet(agents: int) -> list[Actor]:
    """Build a fleet with one control for every 24 agents."""
    return [
        Actor(n, "ZZ", control=True)
        if n % 24 == 0
        else Actor(n, COUNTRIES[n % len(COUNTRIES)], asn=100 + n % 12, access="fixed")
        for n in range(agents)
    ]


def write_load(data: Path, file: Path, *, agents: int, results: int) -> float:
    """Write both; return the results that an agent makes in an hour."""
    workload = build_workload()
    actors = build_fleet(agents)
    begun_s = time.time() - 6 * 3_600
    _enrol(data, actors, int(begun_s) - 60 * DAY_S)
    (sealing_key,) = SealingKeys(data).list_all()
    earlier: list[JournalRow] = []
    with file.open("wb") as output:
        measured = list_batches(workload, actors, begun_s, results + results // 2)
        for number, (actor, batch) in enumerate(measured, start=1):
            if number <= results // 2:
                earlier.append(build_row(batch, actor))
                continue
            signer = derive_key(0, actor.number)[0]
            body = envelope.seal_batch(batch, signer, sealing_key.public)
            output.write(len(body).to_bytes(4, "big") + body)
    asyncio.run(_append(data, earlier))
    return sum(3_600 / tasks[0].interval_s for tasks in workload.select_rounds(actors[1]))


def build_workload() -> Workload:
    """Build the default plan's workload, with a block of one service in one country."""
    plan = build_load_plan("plan", load_shipped_services(), [], 60.0)
    return Workload(plan=plan, interference={PLANTED: InterferenceMethod.RESET})


def list_batches(
    workload: Workload, actors: Sequence[Actor], begun_s: float, results: int
) -> Iterator[tuple[Actor, envelope_pb2.Batch]]:
    """Measure the first results of all actors, in order of time."""
    runs = islice(_list_runs(workload, actors), results)
    for number, (actor, run) in enumerate(runs, start=1):
        yield actor, _measure(workload, actor, run, number, begun_s)


def _enrol(data: Path, actors: Sequence[Actor], at_s: int) -> None:
    open_keyring(data, ["localhost"])
    fleet = Fleet(data)
    for role in ("volunteer", "control"):
        token = fleet.create_invite(role=role, uses=len(actors), now_s=at_s, expires_s=at_s + DAY_S)
        for actor in actors:
            if actor.control == (role == "control"):
                fleet.enrol_agent(token, derive_key(0, actor.number)[0].public, VERSION, at_s)
    fleet.close()


def _list_runs(workload: Workload, actors: Sequence[Actor]) -> Iterator[tuple[Actor, Run]]:
    """Yield all agents' runs in order of time."""
    schedules = [(actor, workload.build_schedule(actor)) for actor in actors]
    for _, schedule in schedules:
        schedule.start(0.0)
    while True:
        actor, schedule = min(schedules, key=lambda each: each[1].pending[0])
        yield actor, schedule.next_run(0.0)


def _measure(
    workload: Workload, actor: Actor, run: Run, number: int, begun_s: float
) -> envelope_pb2.Batch:
    started_us = int((begun_s + run.at_s) * 1e6)
    result = workload.measure(actor, run, run.at_s, started_us, started_us)
    result = replace(result, runtime_us=min(result.runtime_us, 60_000_000))
    agent = keys.agent_id(derive_key(0, actor.number)[0].public)
    return build_batch(agent, VERSION, number, result, started_us, actor)


def build_row(batch: envelope_pb2.Batch, actor: Actor) -> JournalRow:
    """Build the row of one that arrives when it was sealed."""
    return JournalRow(
        kind=RowKind.ENVELOPE, agent=batch.agent, received_us=batch.sealed_us,
        position=batch.sequence,
        role=AgentRole.CONTROL if actor.control else AgentRole.VOLUNTEER,
        country=actor.country, asn=actor.asn, prefix=batch.agent.hex(), sequence=batch.sequence,
        body=compress_frame(batch.SerializeToString(), level=9), since_s=1,
    )  # fmt: skip


async def _append(data: Path, rows: Sequence[JournalRow]) -> None:
    journal = Journal(data / "journal.db")
    for at in range(0, len(rows), 64):
        await journal.append(rows[at : at + 64])
    await journal.close()
