"""throttling: transfers in turn and watched, bounded in bytes and time; a real freeze shows."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from heliograph.failure import Failure, Operation
from heliograph.observation import Arrival, Measurement, Observation
from heliograph_agent.experiments import find_experiment
from heliograph_agent.experiments.experiment import CannotRun, Target, parse_config
from heliograph_agent.net import ByteStream, StepResult, StepTrace
from support.experiment_run import observed
from support.fake_net import FakeNet, Page, World
from support.loopback_ca import LoopbackCA
from support.name_filter import freeze, name_filter
from support.nginx import nginx
from support.real_run import Opening, really, verdict
from support.virtual_time import VirtualClock, run_virtually

TARGET, NEUTRAL = "https://target.test/big", "https://neutral.test/big"
OWN, OTHER = "192.0.2.1", "192.0.2.80"
SLOW = Page(body_bytes=70_000, arrivals=(Arrival(at_us=9_000_000, bytes=70_000),))
OPTIONS = {"neutral": NEUTRAL}


def world() -> World:
    return World(
        names={"target.test": (OWN, "192.0.2.2"), "neutral.test": (OTHER,)},
        ports={(OWN, 443): None, (OTHER, 443): None},
        pages={TARGET: SLOW, NEUTRAL: Page(body_bytes=200_000)},
    )


def bodies(seen: list[Observation]) -> list[str]:
    return [o.endpoint for o in seen if o.operation is Operation.READ_BODY]


async def test_transfers_are_made_in_turn_each_over_its_own_connection() -> None:
    scripted = world()
    seen = await observed("throttling", TARGET, scripted, OPTIONS)
    assert bodies(seen) == ["neutral", "target"] * 3
    assert [o.tcp.address for o in seen if o.tcp] == [OTHER, OWN] * 3
    last = seen[-1].http
    assert last is not None
    assert last.arrivals == SLOW.arrivals
    assert {headers["Range"] for _, _, headers in scripted.requests} == {"bytes=0-131071"}


async def test_so_many_transfers_and_bytes_as_wanted() -> None:
    scripted = world()
    options = OPTIONS | {"transfers": "1", "bytes": "65536", "ranged": "false"}
    seen = await observed("throttling", TARGET, scripted, options)
    assert bodies(seen) == ["neutral", "target"]
    assert [o.http.body_bytes for o in seen if o.http and o.http.body_bytes] == [65_536] * 2
    assert [headers for _, _, headers in scripted.requests] == [{}, {}]


async def test_one_that_cannot_be_reached_is_tried_again_in_its_turn() -> None:
    scripted = world()
    scripted.ports[OWN, 443] = Failure.CONNECTION_RESET
    seen = await observed("throttling", TARGET, scripted, OPTIONS)
    assert bodies(seen) == ["neutral"] * 3
    assert sum(o.failure is Failure.CONNECTION_RESET for o in seen) == 3


class Dropped(FakeNet):
    """Every connection takes ten seconds to come to nothing."""

    async def connect(
        self, address: str, port: int, *, on: StepResult | None = None, endpoint: str = ""
    ) -> tuple[StepResult, ByteStream | None]:
        self._clock.advance_us(10_000_000)
        return await super().connect(address, port, on=on, endpoint=endpoint)


def test_a_path_that_swallows_all_ends_it_before_its_deadline() -> None:
    async def story(clock: VirtualClock) -> float:
        trace = StepTrace(clock)
        experiment = find_experiment("throttling")
        config = parse_config(experiment, OPTIONS | {"transfers": "10"})
        net = Dropped(World(names=world().names), clock, trace)
        await experiment.run(Target(value=TARGET), config, net)
        return trace.elapsed_us() / 1e6

    assert 60 < run_virtually(story) < 90


@pytest.mark.parametrize("url", ["target.test", "ftp://target.test/", ""])
async def test_what_is_no_page_is_said_so(url: str) -> None:
    with pytest.raises(CannotRun, match=r"target: .* no URL of a web page"):
        await observed("throttling", url, world(), OPTIONS)
    with pytest.raises(CannotRun, match=r"neutral: .* no URL of a web page"):
        await observed("throttling", TARGET, world(), {"neutral": url})


@contextmanager
def frozen_site(ca: LoopbackCA, folder: Path) -> Iterator[tuple[int, int]]:
    """The port of a site as seen through a box that freezes one name, and its own."""
    sites = {name: ca.leaf(name) for name in ("target.test", "neutral.test")}
    with (
        nginx(folder, sites, pages={"/big": b"x" * 200_000}) as site,
        name_filter(site.https, b"target.test", freeze(24_000)) as port,
    ):
        yield port, site.https


async def fetched(opening: Opening, port: int, body_s: float) -> Measurement:
    options = {"neutral": f"https://neutral.test:{port}/big", "transfers": "2"}
    target = f"https://target.test:{port}/big"
    return await really("throttling", target, opening(body_s=body_s), options)


async def test_a_real_freeze_shows_in_what_had_come_when(
    opening: Opening, ca: LoopbackCA, tmp_path: Path
) -> None:
    with frozen_site(ca, tmp_path) as (port, _):
        seen = await fetched(opening, port, 1.0)
    ends = [
        (o.endpoint, o.failure, o.http)
        for o in seen.observations
        if o.operation is Operation.READ_BODY and o.http
    ]
    assert [end[:2] for end in ends] == [
        ("neutral", None),
        ("target", Failure.GENERIC_TIMEOUT_ERROR),
    ] * 2
    for endpoint, _, http in ends:
        assert http.arrivals[-1].bytes == http.body_bytes
        if endpoint == "neutral":
            assert (http.status, http.body_bytes) == (206, 131_072)
        else:
            assert 0 < http.body_bytes < 24_000


@pytest.mark.slow
async def test_the_judge_calls_a_real_freeze_by_its_name(
    opening: Opening, ca: LoopbackCA, tmp_path: Path
) -> None:
    """He wants five seconds of silence, twice."""
    with frozen_site(ca, tmp_path) as (port, own):
        here = await fetched(opening, port, 6.0)
        control = await fetched(opening, own, 6.0)
    found = verdict(here, control)
    assert (found.state, found.rule) == ("blocked", "throttling.frozen")
    assert verdict(control, control).state != "blocked"
