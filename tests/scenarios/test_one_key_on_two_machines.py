"""Two machines run copies of one agent's directory at once, to the end.

The results of both must be stored, once, and nothing refused; the collector and both agents must
report it with the cure; to the detectors it must be neither two vantages nor a silence; and the one
that joins with a new key must count as itself.
"""

import asyncio
import json
import shutil
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from heliograph.envelope import decompress_batch
from heliograph_collector.model.records import AgentRole, JournalRow, RowKind
from heliograph_collector.store.journal.journal import Journal
from support.programs import agent, ask, collector, eventually, started
from support.volunteer_world import World, listening_targets

MACHINES = ("agent", "copy")
ENOUGH = 8  # results acknowledged to each


def spool(world: World, machine: str, query: str) -> int:
    file = world.home / machine / "spool.db"
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as db:
        ((count,),) = db.execute(query).fetchall()
    return int(count or 0)


def acknowledged(world: World, machine: str) -> int:
    return spool(world, machine, "SELECT sum(count) FROM gap WHERE kind = 'acked'")


def refused(world: World, machine: str) -> int:
    return spool(world, machine, "SELECT sum(measurements) FROM quarantine")


def works_on(world: World, machine: str) -> bool:
    return acknowledged(world, machine) > ENOUGH


def has_drained(world: World, machine: str) -> bool:
    return world.waiting(machine) == 0


def find_agent(world: World) -> dict[str, object]:
    found, *_ = json.loads(
        ask(collector("agents", "list", "--json", "--data", world.home / "data"))
    )
    return dict(found)


def says_so(world: World, machine: str) -> bool:
    return bool(world.read_status(machine).get("cloned"))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_nothing_is_lost_and_everybody_is_told(tmp_path: Path) -> None:
    with listening_targets(120) as targets:
        world = World(tmp_path, targets, heartbeat_s=1)
        world.prepare()
        shutil.copytree(world.home / "agent", world.home / "copy")
        with started(world.serve(), tmp_path / "serve.log"):
            eventually(world.up, "the collector")
            run_both(world)
            status = ask(agent("status", "--state", world.home / "copy"))
            give_new_key(world)
            agents = ask(collector("agents", "list", "--data", world.home / "data"))
            incidents = json.loads(world.get("/api/v1/incidents"))["incidents"]
        check_results(world)
    assert "join INVITE --new-key" in status
    assert "on two machines" in agents
    assert "`agents revoke`" in (tmp_path / "serve.log").read_text()
    assert incidents == []


def run_both(world: World) -> None:
    """Run both until all report it and some results of each are acknowledged; drain."""
    logs = [world.home / f"{machine}.log" for machine in MACHINES]
    with (
        started(world.measure("agent"), logs[0]) as one,
        started(world.measure("copy"), logs[1]) as two,
    ):
        for machine in MACHINES:
            eventually(partial(says_so, world, machine), f"{machine} is told")
            eventually(partial(works_on, world, machine), f"{machine} works on")
        assert find_agent(world)["cloned"]
        for process in (one, two):
            process.terminate()
            process.wait(timeout=60)
    for machine, log in zip(MACHINES, logs, strict=True):
        assert "another machine uses this agent's key" in log.read_text()
        with started([*world.measure(machine), "--once"], log) as last:
            last.wait(timeout=240)
        eventually(partial(has_drained, world, machine), f"{machine} drained")


def give_new_key(world: World) -> None:
    """Let the copy measure offline, join with a new key, and deliver what waited."""
    copy = world.home / "copy"
    where = ("--data", world.home / "data", "--endpoint", f"127.0.0.1:{world.grpc}")
    invite = ask(collector("invite", *where))
    ask(agent("join", invite.strip(), "--new-key", "--yes", "--state", copy))
    before = acknowledged(world, "copy")
    with started(world.measure("copy"), world.home / "copy.log") as process:
        eventually(lambda: acknowledged(world, "copy") > before + ENOUGH, "the copy works on")
        assert not says_so(world, "copy"), "also where old results are handed in"
        process.terminate()
        process.wait(timeout=60)
    eventually(partial(has_drained, world, "copy"), "the copy drained")


def check_results(world: World) -> None:
    """Check in the journal that acknowledged results are stored once by number."""
    rows = asyncio.run(read_journal(world.home / "data" / "journal.db"))
    envelopes = [row for row in rows if row.kind is RowKind.ENVELOPE]
    stored = sum(len(decompress_batch(row.body).measurements) for row in envelopes)
    acked = {machine: acknowledged(world, machine) for machine in MACHINES}
    kept_apart = {machine: refused(world, machine) for machine in MACHINES}
    print(f"\nstored {stored}, acknowledged {acked}, refused and kept apart {kept_apart}")
    assert kept_apart == dict.fromkeys(MACHINES, 0), "nothing stays with the loser"
    assert stored == sum(acked.values()), "nothing is lost, nothing is there twice"
    assert len({(row.agent, row.sequence) for row in envelopes}) == len(envelopes)
    arrivals = {row.agent: row.role for row in rows if row.kind is RowKind.ARRIVAL}
    old, new = arrivals.values()
    assert old is AgentRole.QUARANTINE, "no vote for it, present or silent"
    assert new is AgentRole.VOLUNTEER
    assert not [r for r in rows if r.kind is RowKind.LOST and r.role is AgentRole.VOLUNTEER]


async def read_journal(file: Path) -> list[JournalRow]:
    journal = Journal(file)
    try:
        return list(await journal.read(0, 100_000))
    finally:
        await journal.close()
