"""throttling: transfers in turn and watched, bounded in bytes and time."""

from heliograph.failure import Failure, Operation
from heliograph.observation import Arrival, Observation
from heliograph_agent.experiments import find_experiment
from heliograph_agent.experiments.experiment import Target, parse_config
from heliograph_agent.net import ByteStream, StepResult, StepTrace
from support.experiment_run import observed
from support.fake_net import FakeNet, Page, World
from support.values import present
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
    last = present(seen[-1].http)
    assert last.arrivals == SLOW.arrivals
    assert {headers["Range"] for _, _, headers in scripted.requests} == {"bytes=0-131071"}


async def test_so_many_transfers_and_bytes_as_wanted() -> None:
    scripted = world()
    options = OPTIONS | {"transfers": "1", "bytes": "65536", "ranged": "false"}
    seen = await observed("throttling", TARGET, scripted, options)
    assert bodies(seen) == ["neutral", "target"]
    assert [o.http.body_bytes for o in seen if o.http and o.http.body_bytes] == [65_536] * 2
    coding = {"Accept-Encoding": "identity;q=1, *;q=0"}
    assert [headers for _, _, headers in scripted.requests] == [coding, coding]


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
