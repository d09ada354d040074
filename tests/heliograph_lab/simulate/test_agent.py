"""Virtual agents at a real collector: its records match the script."""

import asyncio
import random
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest

from heliograph.services import load_shipped_services
from heliograph.v1 import intake_pb2 as pb
from heliograph_collector.detect.link_readings import read_links
from heliograph_collector.fleet import format_invite
from heliograph_collector.model.records import RowKind
from heliograph_lab.simulate.addresses import assign_addresses, write_tables
from heliograph_lab.simulate.agent import VirtualAgent, derive_key
from heliograph_lab.simulate.channel import (
    Channels,
    CollectorEndpoint,
    EndpointError,
    EnrollmentRefusedError,
    connect_endpoint,
    open_connections,
    read_invite,
)
from heliograph_lab.simulate.counters import AgentCounters
from heliograph_lab.simulate.measuring import is_failing
from heliograph_lab.simulate.outbox import ResultSealer
from heliograph_lab.simulate.post_entrance import PostEntrance, open_post_entrance
from heliograph_lab.simulate.script import Actor, AgentSilence
from heliograph_lab.simulate.worker_context import WorkerContext
from heliograph_lab.simulate.workload import Schedule, Workload, build_load_plan
from support.intake import CLOCK, IngestServer, ingest_server
from support.waiting import until, until_true

PROXIES = (ip_network("127.0.0.0/8"),)


PAGES = Workload(
    plan=build_load_plan("scenario", load_shipped_services(), ["telegram"], 1.0), speed=5.0
)


async def crew(
    home: IngestServer,
    actors: list[Actor],
    *,
    shared: bool = False,
    measuring: bool = False,
    post: PostEntrance | None = None,
) -> list[VirtualAgent]:
    """Enrolled by an invite of the collector."""
    token = home.invite(uses=len(actors))
    invite = read_invite(format_invite(home.endpoint, home.keyring.pin, token))
    door = await asyncio.to_thread(connect_endpoint, invite)
    stage = WorkerContext(
        tokens=(token, b""),
        clock=CLOCK,
        counters=AgentCounters(),
        workload=PAGES,
        start_time=asyncio.get_running_loop().create_future(),
        post=post,
        speed=5.0,
    )
    ways = open_connections(len(actors), Channels(door), is_shared=shared)
    places = assign_addresses(actors)
    found = []
    for actor, line in zip(actors, ways, strict=True):
        signer, rng = derive_key(0, actor.number)
        schedule = PAGES.build_schedule(actor) if measuring else Schedule((), rng)
        outbox = ResultSealer(actor, signer, CLOCK, stage.counters)
        place = places[actor.number]
        found.append(VirtualAgent(actor, place, line, signer, rng, stage, schedule, outbox))
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for agent in found:
            group.create_task(agent.enroll())
    return found


@pytest.mark.parametrize("shared", [False, True])
async def test_they_come_in_beat_measure_and_say_goodbye(tmp_path: Path, shared: bool) -> None:
    actors = [
        Actor(n, country, "R", asn, "mobile")
        for n, (country, asn) in enumerate([("KZ", 9198)] * 5 + [("DE", 3320)] * 5)
    ]
    write_tables(actors, tmp_path / "geo")
    async with ingest_server(
        tmp_path / "data",
        heartbeat_s=1,
        trusted_proxies=PROXIES,
        country_file=tmp_path / "geo" / "country.mmdb",
        asn_file=tmp_path / "geo" / "asn.mmdb",
    ) as home:
        agents = await crew(home, actors, shared=shared, measuring=True)
        stage = agents[0].context
        assert (stage.counters.enrolled, stage.heartbeat_s) == (10, 1.0)
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            living = [group.create_task(agent.run_until(0.5)) for agent in agents]
            await until_true(lambda: stage.counters.receipts.get("stored", 0) >= 20)
            await until_true(lambda: stage.counters.answers >= 10)
            stage.start_time.set_result(asyncio.get_running_loop().time())
            await asyncio.wait(living)
        arrivals = await home.rows(RowKind.ARRIVAL)
        assert sorted((row.country, row.asn) for row in arrivals) == sorted(
            (a.country, a.asn) for a in actors
        )
        assert len({row.prefix for row in arrivals}) == 10, "each in a network of its own"
        assert pb.Hello.FromString(arrivals[0].body).region == "R"
        await home.wait_rows(RowKind.GOODBYE, 10)
        assert not stage.counters.troubles


async def test_they_follow_what_a_collector_advises(tmp_path: Path) -> None:
    async with ingest_server(tmp_path / "data", heartbeat_s=1) as home:
        (agent,) = await crew(home, [Actor(1, "KZ")], measuring=True)
        stage = agent.context
        async with asyncio.TaskGroup() as group:
            living = group.create_task(agent.run_until(60.0))
            await until_true(lambda: stage.counters.answers >= 2)
            (session,) = home.intake.connections
            assert session.offer(
                pb.CollectorMessage(advice=pb.Advice(heartbeat_s=900, interval_percent=250))
            )
            await until_true(lambda: agent.heartbeat_s != 1.0)
            assert (agent.heartbeat_s, agent.schedule.interval_percent) == (300.0, 250)
            living.cancel()


async def test_a_cut_is_a_loss_without_a_word_and_they_come_back(tmp_path: Path) -> None:
    """The connection hangs: the collector finds out by the missing heartbeats alone."""
    actors = [Actor(n, "KZ", silences=[AgentSilence(0.0, 5.0)]) for n in range(3)]
    actors.append(Actor(3, "KZ"))
    async with ingest_server(tmp_path, heartbeat_s=1) as home:
        agents = await crew(home, actors)
        stage = agents[0].context
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            living = [group.create_task(agent.run_until(12.0)) for agent in agents]
            await until_true(lambda: len(home.intake.connections) == 4)
            stage.start_time.set_result(asyncio.get_running_loop().time())
            await home.wait_rows(RowKind.LOST, 3)
            assert len(await home.rows(RowKind.ARRIVAL)) == 4
            await until_true(lambda: len(home.intake.connections) == 4)
            await asyncio.wait(living)
        assert {row.agent for row in await home.rows(RowKind.LOST)} == {a.id for a in agents[:3]}


@pytest.mark.long
async def test_while_our_address_is_blocked_results_come_by_post_or_at_the_return(
    tmp_path: Path,
) -> None:
    """While our address is blocked, results come by post or at the return.

    An agent with another way reports during the block; the other one keeps its results.
    """
    actors = [
        Actor(0, "KZ", silences=[AgentSilence(0.0, 3_600.0, "blocked", has_other_way=True)]),
        Actor(1, "KZ", silences=[AgentSilence(0.0, 8.0, "blocked")]),
    ]
    data = tmp_path / "data"
    async with (
        ingest_server(data, heartbeat_s=1) as home,
        home.intake.serve_post("127.0.0.1:0", data) as port,
        open_post_entrance(_entrance(home, port)) as post,
    ):
        agents = await crew(home, actors, post=post, measuring=True)
        start_time = agents[0].context.start_time
        async with asyncio.timeout(240), asyncio.TaskGroup() as group:
            living = [group.create_task(agent.run_until(7_200.0)) for agent in agents]
            await until_true(lambda: len(home.intake.connections) == 2)
            # Not by the losses: a busy collector notes them after the agents have looked.
            blocked_us = CLOCK.wall_us()
            start_time.set_result(asyncio.get_running_loop().time())
            await home.wait_rows(RowKind.LOST, 2)

            async def list_told() -> set[tuple[bytes, str]]:
                """List agents that reported answering anchors in the block, with their carrier."""
                return {
                    (row.agent, row.carrier)
                    for row in await home.rows(RowKind.ENVELOPE)
                    for link in read_links(row)
                    if link.is_online and link.at_us > blocked_us
                }

            async def have_both_told() -> bool:
                return len(await list_told()) == 2

            await until(have_both_told)
            for task in living:
                task.cancel()
        assert await list_told() == {(agents[0].id, "post"), (agents[1].id, "session")}
        arrived = [row.agent for row in await home.rows(RowKind.ARRIVAL)]
        assert sorted(arrived.count(agent.id) for agent in agents) == [1, 2]


def _entrance(home: IngestServer, port: int) -> CollectorEndpoint:
    certificate = home.keyring.tls_certificate.decode()
    return CollectorEndpoint(home.endpoint, certificate, b"", f"127.0.0.1:{port}")


async def test_away_is_a_goodbye(tmp_path: Path) -> None:
    actors = [Actor(0, "KZ", silences=[AgentSilence(0.0, 0.2, "away")])]
    async with ingest_server(tmp_path) as home:
        (agent,) = await crew(home, actors)
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            group.create_task(agent.run_until(2.0))
            await until_true(lambda: len(home.intake.connections) == 1)
            agent.context.start_time.set_result(asyncio.get_running_loop().time())
        await home.wait_rows(RowKind.GOODBYE, 2)
        assert len(await home.rows(RowKind.ARRIVAL)) == 2


async def test_killed_closes_without_a_goodbye(tmp_path: Path) -> None:
    actors = [Actor(0, "KZ", silences=[AgentSilence(0.0, 60.0, "killed")])]
    async with ingest_server(tmp_path, heartbeat_s=1) as home:
        (agent,) = await crew(home, actors)
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            running = group.create_task(agent.run_until(90.0))
            await until_true(lambda: len(home.intake.connections) == 1)
            agent.context.start_time.set_result(asyncio.get_running_loop().time())
            (loss,) = await home.wait_rows(RowKind.LOST)
            running.cancel()
    assert loss.closed_us >= loss.heard_us > 0


async def test_a_used_up_invite_is_said(tmp_path: Path) -> None:
    async with ingest_server(tmp_path) as home:
        (agent,) = await crew(home, [Actor(1, "KZ")])
        agent.signer = derive_key(0, 2)[0]  # another one, by the same invite
        with pytest.raises(EnrollmentRefusedError, match=r"let 1 of .* in and no more.*--uses N"):
            await agent.enroll()


async def test_an_invite_of_another_collector_is_refused(tmp_path: Path) -> None:
    async with ingest_server(tmp_path) as home:
        invite = read_invite(format_invite(home.endpoint, b"p" * 32, b"t" * 16))
        with pytest.raises(EndpointError, match="another collector"):
            await asyncio.to_thread(connect_endpoint, invite)
    with pytest.raises(EndpointError, match="is the collector up"):
        await asyncio.to_thread(connect_endpoint, invite)


@pytest.mark.parametrize(
    "line", ["", "hello", "heliograph1:", "heliograph1:!!!", "heliograph1:aGk"]
)
def test_what_is_no_invite_is_said(line: str) -> None:
    with pytest.raises(EndpointError, match="no invite"):
        read_invite(line)


def test_one_seed_is_one_key() -> None:
    assert derive_key(1, 2)[0].public == derive_key(1, 2)[0].public != derive_key(1, 3)[0].public


def test_a_test_fails_where_the_story_says_so() -> None:
    from heliograph_lab.simulate.script import ServiceTrouble

    actor = replace(Actor(1, "KZ"), troubles=[ServiceTrouble(10, 20, "telegram", 0.5)])
    rng = random.Random(2)
    hits = sum(is_failing(actor, "telegram", 15, rng) for _ in range(1_000))
    assert 400 < hits < 600
    assert not is_failing(actor, "telegram", 20, rng)
    assert not is_failing(actor, "signal", 15, rng)
