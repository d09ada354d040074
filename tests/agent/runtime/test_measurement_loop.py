"""The plan becomes measurements: anchors first, and each result knows its link."""

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
from heliograph.observation import Epoch, Link, Measurement
from heliograph.plan import Endpoint, EndpointKind, Limits, Plan, PlannedTask, Service
from heliograph.v1 import observation_pb2
from heliograph_agent.runtime.measurement_loop import Measuring, Place
from heliograph_agent.runtime.runner import Context, Errand, Runner
from heliograph_agent.spool import Spool
from support.fake_net import FakeDoor, Page, World
from support.hand_clock import HandClock

ANCHORS = Service(
    name="anchors",
    title="Anchors",
    experiment="connectivity",
    endpoints=tuple(
        Endpoint(id=f"foreign-{i}", kind=EndpointKind.TCP, host=f"192.0.2.{i}", port=443)
        for i in (1, 2)
    ),
)
PLAN = Plan(
    version=5,
    issued_s=0,
    expires_s=1,
    services_version="7",
    services=(ANCHORS,),
    tasks=(
        PlannedTask(experiment="tcp", target="198.51.100.1:443", interval_s=60),
        PlannedTask(experiment="tcp", target="198.51.100.2:443", interval_s=60),
        PlannedTask(experiment="connectivity", service="anchors", interval_s=60),
    ),
    limits=Limits(target_pause_s=0),
)
DEAD = {(f"192.0.2.{i}", 443): Failure.NETWORK_UNREACHABLE for i in (1, 2)}
ALIVE = {(f"192.0.2.{i}", 443): None for i in (1, 2)}


class Bench:
    """A measuring agent over a scripted world, and what came into its spool."""

    def __init__(self, directory: Path, world: World) -> None:
        self.clock = HandClock()
        self.world = world
        self.spool = Spool(directory / "spool.db", clock=self.clock)
        self.urgent: list[bool] = []
        self.changed = asyncio.Event()
        self.measuring = Measuring(
            spool=self.spool,
            runner=lambda plan: Runner(FakeDoor(world, self.clock), self.clock, plan.limits, "b"),
            clock=self.clock,
            rng=random.Random(1),
            plan=PLAN,
            place=Place(epoch=Epoch(id="e1", started_us=1)),
            allowance=None,
            offset_us=lambda: -7,
            stored=self.stored,
        )

    def stored(self, urgent: bool) -> None:
        self.urgent.append(urgent)
        self.changed.set()

    async def results(self) -> list[observation_pb2.Measurement]:
        """Everything in the spool, in the order it came."""
        found: list[bytes] = []

        def look(sequence: int, measurements: object, epochs: object) -> bytes:
            assert isinstance(measurements, list | tuple)
            found.extend(measurements)
            return b"sealed"

        while await self.spool.close_batch(look) is not None:
            pass
        read = [observation_pb2.Measurement.FromString(raw) for raw in found]
        return sorted(read, key=lambda m: m.sequence)


@pytest_asyncio.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path, World(ports=dict(ALIVE)))
    try:
        yield bench
    finally:
        await bench.spool.close()


def quiet(done: int, total: int) -> None:
    """No progress."""


async def test_an_offline_vantage_says_so_once_and_goes_on_storing(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.world.ports.update(DEAD)
    with caplog.at_level(logging.INFO, "heliograph"):
        assert await bench.measuring.once(quiet) == 3
        await bench.measuring.once(quiet)
    assert [r.message for r in caplog.records if "offline" in r.message] == [
        "this vantage is offline: measuring and storing, nothing is judged blocked"
    ]
    results = await bench.results()
    assert results[0].experiment == "connectivity", "anchors first"
    assert {m.link for m in results} == {"offline"}
    assert len(results) == 6
    assert (results[1].plan_version, results[1].services_version) == (5, "7")
    assert results[1].clock_offset_us == -7


async def test_a_link_that_comes_back_is_a_change_worth_sending_at_once(bench: Bench) -> None:
    bench.world.ports.update(DEAD)
    await bench.measuring.once(quiet)
    bench.urgent.clear()
    await bench.measuring.once(quiet)
    assert not any(bench.urgent), "repeats wait for the batch"
    bench.urgent.clear()
    bench.world.ports.update(ALIVE)
    await bench.measuring.once(quiet)
    assert bench.urgent[0], "the anchors' answer is not a repeat"
    assert bench.measuring.place.link is not Link.OFFLINE


async def test_nothing_is_measured_before_the_anchors_of_this_network_were_asked(
    bench: Bench,
) -> None:
    working = asyncio.create_task(bench.measuring.run())
    async with asyncio.timeout(20):
        await bench.changed.wait()
    bench.clock.advance_us(30_000_000)
    bench.measuring.moved_to(Epoch(id="e2", started_us=2))
    bench.changed.clear()
    async with asyncio.timeout(20):
        await bench.changed.wait()
    working.cancel()
    with suppress(asyncio.CancelledError):
        await working
    results = await bench.results()
    assert results[0].experiment == "connectivity"
    second = next(m for m in results if m.epoch == "e2")
    assert second.experiment == "connectivity"


async def test_what_straddles_two_networks_is_said_to(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Runner.run

    async def meanwhile(self: Runner, task: Errand, context: Context) -> Measurement:
        measurement = await run(self, task, context)
        if task.target == "198.51.100.1:443":
            bench.measuring.moved_to(Epoch(id="e2", started_us=2))
        return measurement

    monkeypatch.setattr(Runner, "run", meanwhile)
    await bench.measuring.once(quiet)
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
    """Everything the anchors of WHOLE ask for is there."""
    world.names["a.test"] = ("192.0.2.1",)
    world.pages["https://a.test/"] = Page()
    world.ports.update(ALIVE)


async def test_a_failure_on_a_whole_link_is_evidence_and_asks_the_anchors_once_more(
    bench: Bench,
) -> None:
    whole(bench.world)
    bench.measuring.adopt(WHOLE)
    await bench.measuring.once(quiet)
    results = await bench.results()
    failed = [m for m in results if m.experiment == "tcp"]
    assert [m.link for m in failed] == ["online", "online"]
    assert {m.observations[0].failure for m in failed} == {"connection_refused"}
    looks = [m for m in results if m.experiment == "connectivity"]
    assert 2 <= len(looks) <= 3, "one look serves all that failed before it began"


async def test_a_failure_as_the_link_dies_is_no_evidence(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The anchors answered, then the cable was pulled, then the test failed."""
    whole(bench.world)
    bench.measuring.adopt(WHOLE)
    run = Runner.run

    async def meanwhile(self: Runner, task: Errand, context: Context) -> Measurement:
        if task.target.startswith("198.51.100."):
            bench.world.ports.update(DEAD)
            bench.world.names["a.test"] = Failure.GENERIC_TIMEOUT_ERROR
        return await run(self, task, context)

    monkeypatch.setattr(Runner, "run", meanwhile)
    await bench.measuring.once(quiet)
    results = await bench.results()
    assert results[0].link == "online"
    assert {m.link for m in results if m.experiment == "tcp"} == {"offline"}


async def test_what_works_asks_nothing_more(bench: Bench) -> None:
    whole(bench.world)
    bench.world.ports.update({(f"198.51.100.{i}", 443): None for i in (1, 2)})
    bench.measuring.adopt(WHOLE)
    await bench.measuring.once(quiet)
    results = await bench.results()
    assert [m.experiment for m in results].count("connectivity") == 1


async def test_a_plan_without_anchors_measures_and_does_not_know_its_link(bench: Bench) -> None:
    bench.measuring.adopt(replace(PLAN, tasks=PLAN.tasks[:2]))
    await bench.measuring.once(quiet)
    assert {m.link for m in await bench.results()} == {"unknown"}


async def test_what_a_task_cost_is_taken_from_the_month(bench: Bench) -> None:
    before = bench.measuring.history.allowance.missing
    await bench.measuring.once(quiet)
    assert bench.measuring.history.allowance.missing >= before
    assert not bench.measuring.history.running
