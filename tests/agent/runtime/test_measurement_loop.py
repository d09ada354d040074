"""The plan becomes measurements: anchors first, each with its link."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from heliograph.failure import Failure
from heliograph.observation import Epoch, Link, Measurement, Trigger
from heliograph.plan import Endpoint, EndpointKind, PlannedTask, Service
from heliograph.v1 import observation_pb2
from heliograph_agent.runtime.early_runs import HELLO_AGAIN_S, WATCHED_HELLOS
from heliograph_agent.runtime.measurement_loop import MeasurementLoop
from heliograph_agent.runtime.runner import Runner, TaskContext, TaskSpec
from heliograph_agent.runtime.vantage import VantageState
from heliograph_agent.schedule import Task, make_tasks
from heliograph_agent.spool import Spool
from support.agent_host import RecordingHost
from support.fake_net import FakeDoor, Page, World
from support.hand_clock import HandClock
from support.results import PLAIN, deliver_all
from support.scripted_intake import plan_of

ENDPOINTS = tuple(
    Endpoint(id=f"foreign-{i}", kind=EndpointKind.TCP, host=f"192.0.2.{i}", port=443)
    for i in (1, 2)
)
ANCHORS = Service(name="anchors", title="Anchors", experiment="connectivity", endpoints=ENDPOINTS)
PLAN = plan_of(
    PlannedTask(experiment="tcp", target="198.51.100.1:443", interval_s=60),
    PlannedTask(experiment="tcp", target="198.51.100.2:443", interval_s=60),
    PlannedTask(experiment="connectivity", service="anchors", interval_s=60),
    version=5,
    services=(ANCHORS,),
)
DEAD = {(f"192.0.2.{i}", 443): Failure.NETWORK_UNREACHABLE for i in (1, 2)}
ALIVE = {(f"192.0.2.{i}", 443): None for i in (1, 2)}


class LoopBench:
    """A measurement loop over a scripted network, with its spool."""

    def __init__(self, directory: Path, world: World) -> None:
        self.clock = HandClock()
        self.world = world
        self.spool = Spool(directory / "spool.db", PLAIN, clock=self.clock)
        self.host = RecordingHost(
            clock_offset_us=-7, net_factory=FakeDoor(world, self.clock), clock=self.clock
        )
        self.loop = MeasurementLoop(
            spool=self.spool,
            clock=self.clock,
            rng=random.Random(1),
            plan=PLAN,
            vantage=VantageState(epoch=Epoch(id="e1", started_us=1)),
            allowance=None,
            host=self.host,
        )

    async def wait_stored(self) -> None:
        self.host.stored_event.clear()
        async with asyncio.timeout(60):
            await self.host.stored_event.wait()

    async def results(self) -> list[observation_pb2.Measurement]:
        """Return everything in the spool, in order."""
        batches = await deliver_all(self.spool)
        return sorted((m for b in batches for m in b.measurements), key=lambda m: m.sequence)


@pytest_asyncio.fixture
async def bench(tmp_path: Path) -> AsyncIterator[LoopBench]:
    bench = LoopBench(tmp_path, World(ports=dict(ALIVE)))
    try:
        yield bench
    finally:
        await bench.spool.close()


def quiet(done: int, total: int) -> None:
    """Show no progress."""


async def test_offline_link_is_logged_once_and_results_are_stored(
    bench: LoopBench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.world.ports.update(DEAD)
    with caplog.at_level(logging.INFO, "heliograph"):
        assert await bench.loop.run_once(quiet) == 3
        await bench.loop.run_once(quiet)
    assert [r.message for r in caplog.records if "offline" in r.message] == [
        "this vantage is offline: measuring and storing, nothing is judged blocked"
    ]
    results = await bench.results()
    assert results[0].experiment == "connectivity", "anchors first"
    assert {m.link for m in results} == {"offline"}
    assert len(results) == 6
    assert (results[1].plan_version, results[1].services_version) == (5, "test")
    assert results[1].clock_offset_us == -7


async def test_visit_is_urgent_and_changes_no_state(bench: LoopBench) -> None:
    """A visit is urgent and changes no state.

    A verdict waits for it, and one address shows neither a service's state nor a change.
    """
    target = "tcp.example:443"
    bench.world.ports["5.6.7.8", 443] = None
    visit = Task(experiment="tcp", target=target, addresses={"": ("5.6.7.8",)})
    await bench.loop.measure_visit(visit)
    assert await bench.results() == [], "the link is not known yet"
    bench.loop.vantage.link = Link.ONLINE
    bench.host.stored.clear()
    states = dict(bench.loop.vantage.service_states)
    for _ in range(2):
        await bench.loop.measure_visit(visit)
    visits = [m for m in await bench.results() if m.is_visit]
    assert [m.observations[0].tcp.address for m in visits] == ["5.6.7.8"] * 2
    assert bench.host.stored == [True, True]
    assert bench.loop.vantage.service_states == states
    remaining = bench.loop.history.allowance.missing_bytes
    assert remaining == 0, "visits leave the plan's bytes alone"


async def test_restored_link_is_urgent(bench: LoopBench) -> None:
    bench.world.ports.update(DEAD)
    await bench.loop.run_once(quiet)
    bench.host.stored.clear()
    await bench.loop.run_once(quiet)
    assert not any(bench.host.stored), "repeats wait for the batch"
    bench.host.stored.clear()
    bench.world.ports.update(ALIVE)
    await bench.loop.run_once(quiet)
    assert bench.host.stored[0], "the anchors' answer is not a repeat"
    assert bench.loop.vantage.link is not Link.OFFLINE


async def test_anchors_run_first_on_each_network(
    bench: LoopBench,
) -> None:
    working = asyncio.create_task(bench.loop.run())
    await bench.wait_stored()
    bench.clock.advance_us(30_000_000)
    bench.loop.change_epoch(Epoch(id="e2", started_us=2))
    await bench.wait_stored()
    working.cancel()
    with suppress(asyncio.CancelledError):
        await working
    results = await bench.results()
    assert results[0].experiment == "connectivity"
    second = next(m for m in results if m.epoch == "e2")
    assert second.experiment == "connectivity"


async def test_task_across_networks_is_marked(
    bench: LoopBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Runner.run

    async def meanwhile(self: Runner, task: TaskSpec, context: TaskContext) -> Measurement:
        measurement = await run(self, task, context)
        if task.target == "198.51.100.1:443":
            bench.loop.change_epoch(Epoch(id="e2", started_us=2))
        return measurement

    monkeypatch.setattr(Runner, "run", meanwhile)
    await bench.loop.run_once(quiet)
    doubtful = [m for m in await bench.results() if m.not_measured]
    assert {m.epoch for m in doubtful} == {"e1"}
    assert "198.51.100.1:443" in {m.target for m in doubtful}
    assert all("network changed" in m.not_measured for m in doubtful)
    assert all(m.observations for m in doubtful), "what was seen is kept"


RESOLVER = Endpoint(
    id="resolver-a", kind=EndpointKind.DNS, host="a.test", port=53, group="resolver"
)
WEB = Endpoint(id="foreign-web", kind=EndpointKind.HTTPS, host="a.test", port=443)
WHOLE = replace(PLAN, services=(replace(ANCHORS, endpoints=(RESOLVER, WEB, *ANCHORS.endpoints)),))


def whole(world: World) -> None:
    """Let everything exist that the anchors of WHOLE need."""
    world.names["a.test"] = ("192.0.2.1",)
    world.pages["https://a.test/"] = Page()
    world.ports.update(ALIVE)


async def test_failure_on_whole_link_repeats_anchors_once(
    bench: LoopBench,
) -> None:
    whole(bench.world)
    bench.loop.change_plan(WHOLE)
    await bench.loop.run_once(quiet)
    results = await bench.results()
    failed = [m for m in results if m.experiment == "tcp"]
    assert [m.link for m in failed] == ["online", "online"]
    assert {m.observations[0].failure for m in failed} == {"connection_refused"}
    looks = [m for m in results if m.experiment == "connectivity"]
    assert 2 <= len(looks) <= 3, "one look serves all that failed before it began"


async def test_failure_on_dying_link_is_offline(
    bench: LoopBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The anchors answered, then the cable was pulled, then the test failed."""
    whole(bench.world)
    bench.loop.change_plan(WHOLE)
    run = Runner.run

    async def meanwhile(self: Runner, task: TaskSpec, context: TaskContext) -> Measurement:
        if task.target.startswith("198.51.100."):
            bench.world.ports.update(DEAD)
            bench.world.names["a.test"] = Failure.GENERIC_TIMEOUT_ERROR
        return await run(self, task, context)

    monkeypatch.setattr(Runner, "run", meanwhile)
    await bench.loop.run_once(quiet)
    results = await bench.results()
    assert results[0].link == "online"
    assert {m.link for m in results if m.experiment == "tcp"} == {"offline"}


async def test_success_repeats_no_anchors(bench: LoopBench) -> None:
    whole(bench.world)
    bench.world.ports.update({(f"198.51.100.{i}", 443): None for i in (1, 2)})
    bench.loop.change_plan(WHOLE)
    await bench.loop.run_once(quiet)
    results = await bench.results()
    assert [m.experiment for m in results].count("connectivity") == 1


async def test_plan_without_anchors_has_unknown_link(bench: LoopBench) -> None:
    bench.loop.change_plan(replace(PLAN, tasks=PLAN.tasks[:2]))
    await bench.loop.run_once(quiet)
    assert {m.link for m in await bench.results()} == {"unknown"}


async def test_task_bytes_are_spent_from_allowance(bench: LoopBench) -> None:
    before = bench.loop.history.allowance.missing_bytes
    await bench.loop.run_once(quiet)
    assert bench.loop.history.allowance.missing_bytes >= before
    assert not bench.loop.history.running


async def test_anchors_after_a_lost_session_say_so(bench: LoopBench) -> None:
    whole(bench.world)
    bench.loop.change_plan(WHOLE)
    assert await bench.loop.check_anchors(Trigger.SESSION_LOST)
    bench.clock.advance_us(1)
    await bench.loop.check_anchors()
    results = await bench.results()
    assert [(m.experiment, m.link, m.trigger) for m in results] == [
        ("connectivity", "online", "session_lost"), ("connectivity", "online", ""),
    ]  # fmt: skip


@pytest.mark.parametrize("fixed_schedule", [False, True])
async def test_first_failure_is_looked_at_a_second_time(
    bench: LoopBench, fixed_schedule: bool
) -> None:
    whole(bench.world)
    bench.loop.change_plan(replace(WHOLE, fixed_schedule=fixed_schedule))
    bench.world.ports |= {("198.51.100.1", 443): None, ("198.51.100.2", 443): None}
    looks: list[list[tuple[str, str]]] = []
    for failure in (None, Failure.CONNECTION_RESET, Failure.CONNECTION_RESET, None):
        bench.world.ports["198.51.100.1", 443] = failure
        bench.clock.advance_us(60_000_000)
        await bench.loop.run_once(quiet)
        early = bench.loop.history.early
        looks.append([(key, start.trigger) for key, start in early.items()])
        waits_s = [(start.at_us - bench.clock.monotonic) / 1e6 for start in early.values()]
        assert all(10 <= wait_s <= 40 for wait_s in waits_s), "jittered"
    first = [("tcp  198.51.100.1:443 ", "second_look")]
    assert looks == [[], [] if fixed_schedule else first, [], []]


CUT = ("minded.test", "also.test", "third.test", "fourth.test")
HELLO = PlannedTask(experiment="hello", target="pages", interval_s=7_200)
BROWSER = PlannedTask(experiment="browser", target="pages", interval_s=14_400)
PAGES = tuple(
    PlannedTask(experiment="web", target=f"https://{name}/", interval_s=600) for name in CUT
)


async def test_hello_follows_a_cut_handshake_and_then_itself(bench: LoopBench) -> None:
    """`hello` follows a cut handshake, and then itself.

    Few run out of turn, so that a filter of all names costs a volunteer little. Where our hello and
    browsers' disagree, a browser opens the page, where the plan has that.
    """
    whole(bench.world)
    bench.loop.change_plan(replace(WHOLE, tasks=(*WHOLE.tasks[-1:], *PAGES, HELLO, BROWSER)))
    bench.world.names |= dict.fromkeys(CUT, ("192.0.2.7",))
    bench.world.ports["192.0.2.7", 443] = None
    bench.world.handshakes |= dict.fromkeys(CUT, Failure.CONNECTION_RESET)
    bench.world.speeches["192.0.2.7", 443] = "server_hello"
    for _ in range(2):
        bench.clock.advance_us(60_000_000)
        await bench.loop.run_once(quiet)
    hellos = [t for t in make_tasks(bench.loop.plan) if t.experiment == "hello"]
    assert [t.target for t in hellos] == [f"{name}:443" for name in CUT]
    assert all(task.interval_s == 4 * 7_200 for task in hellos), "in turn"
    early = [task for task in hellos if task.key in bench.loop.history.early]
    assert len(early) == WATCHED_HELLOS
    bench.loop.history = bench.loop.history.record_start(early[0], bench.clock.monotonic)
    await bench.loop._measure_task(early[0])
    again = bench.loop.history.early[early[0].key]
    assert (again.at_us - bench.clock.monotonic) / 1e6 == HELLO_AGAIN_S
    pages = [t for t in make_tasks(bench.loop.plan) if t.experiment == "browser"]
    assert [(t.target, t.interval_s) for t in pages] == [
        (page.target, 4 * 14_400) for page in PAGES
    ]
    opened = [task.target for task in pages if task.key in bench.loop.history.early]
    assert opened == [f"https://{early[0].target.removesuffix(':443')}/"]


async def test_second_look_runs_and_names_its_trigger(bench: LoopBench) -> None:
    bench.world.ports |= {("198.51.100.1", 443): None, ("198.51.100.2", 443): None}
    await bench.loop.run_once(quiet)
    task = make_tasks(PLAN)[0]
    bench.clock.advance_us(20_000_000)
    bench.loop.bring_forward(task, 0, Trigger.SECOND_LOOK)
    async with asyncio.timeout(60):
        running = asyncio.ensure_future(bench.loop.run())
        await bench.wait_stored()
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
    last = (await bench.results())[-1]
    assert (last.target, last.trigger) == ("198.51.100.1:443", "second_look")
    assert not bench.loop.history.early
