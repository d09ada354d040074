"""No experiment can be read as *blocked* when it was cancelled, when the anchors failed, or when
IPv6 is missing: every experiment of the registry, over a scripted net, by the real judge.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import pytest

from heliograph.failure import Failure, Operation
from heliograph.observation import Link, Measurement, Observation
from heliograph.plan import Endpoint, EndpointKind, Service
from heliograph.services import shipped
from heliograph_agent.experiments import REGISTRY
from heliograph_agent.experiments.experiment import CannotRun, Experiment, Target, parse_config
from heliograph_agent.net import Seen, Speech, Stream, Trace
from heliograph_agent.net.probe_message import TlsSpeech
from heliograph_collector.judge import judge
from heliograph_collector.model.records import ControlView, State
from support.any_world import NOTHING, TARGET, TROUBLES, Trouble, world
from support.fake_net import FakeNet
from support.fake_world import World
from support.hand_clock import HandClock
from support.scenario import MINUTE_US, measurement, taken

ALL = pytest.mark.parametrize("experiment", REGISTRY, ids=lambda e: e.name)
TARGETS = {"url": f"https://{TARGET}/", "host": TARGET, "endpoint": f"{TARGET}:443", "none": ""}
OPTIONS: dict[str, dict[str, str]] = {}
OWN_TARGETS = {"vpn": f"openvpn://{TARGET}:1194/udp", "outside_in": "sites"}
SITES = Service(
    name="sites",
    title="Sites of a country",
    experiment="outside_in",
    endpoints=(Endpoint(id="gov", kind=EndpointKind.HTTPS, host=TARGET, port=443),),
)
SERVICES = {service.name: service for service in (*shipped().services, SITES)}
NEVER_BLOCKS = {"middlebox"}  # it tells of the path, and blocks nothing
WITHOUT_SIX = (  # how a network without IPv6 shows it
    Failure.NETWORK_UNREACHABLE,
    Failure.ADDRESS_FAMILY_NOT_SUPPORTED,
    Failure.ADDRESS_NOT_AVAILABLE,
    Failure.HOST_UNREACHABLE,
    Failure.CONNECTION_REFUSED,
    Failure.GENERIC_TIMEOUT_ERROR,
)


class StoppedNet(FakeNet):
    """Its step of the number `at` never ends; `reached` tells that it began.

    With `no_ech` whatever follows a ClientHello that hides something is a reset.
    """

    def __init__(
        self, world: World, clock: HandClock, trace: Trace, at: int, *, no_ech: bool
    ) -> None:
        super().__init__(world, clock, trace)
        self._left = at
        self._no_ech = no_ech
        self.reached = asyncio.Event()

    async def exchange(self, stream: Stream, speech: Speech) -> Seen:
        facts = speech.tls() if isinstance(speech, TlsSpeech) else None
        if not (self._no_ech and facts is not None and facts.ech):
            return await super().exchange(stream, speech)
        cut = world(replace(NOTHING, everywhere=True, speech=Failure.CONNECTION_RESET))
        where, self._world = self._world, cut
        try:
            return await super().exchange(stream, speech)
        finally:
            self._world = where

    async def _pass(self, operation: Operation) -> None:
        self._left -= 1
        if self._left < 0:
            self.reached.set()
            await asyncio.Event().wait()
        await super()._pass(operation)


async def run(
    experiment: Experiment, where: World, stop_at: int = 10_000, *, no_ech: bool = False
) -> Measurement:
    """To its end, or cancelled in its step of this number."""
    clock = HandClock()
    trace = Trace(clock)
    net = StoppedNet(where, clock, trace, stop_at, no_ech=no_ech)
    text = OWN_TARGETS.get(experiment.name) or experiment.default_target
    service = SERVICES.get(text)
    text = text or TARGETS[experiment.wants]
    config = parse_config(experiment, OPTIONS.get(experiment.name, {}))
    reason = ""
    task = asyncio.ensure_future(experiment.run(Target(text=text, service=service), config, net))
    reached = asyncio.ensure_future(net.reached.wait())
    await asyncio.wait({task, reached}, return_when=asyncio.FIRST_COMPLETED)
    reached.cancel()
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        pass
    except CannotRun as error:
        reason = str(error)
    made = measurement([], experiment=experiment.name)
    seen = tuple(trace.observations)
    name = service.name if service else ""
    return replace(made, target=text, service=name, observations=seen, not_measured=reason)


@cache
def good(experiment: Experiment) -> Measurement:
    return asyncio.run(run(experiment, world()))


def blocked(here: Measurement, control: Measurement, link: Link = Link.ONLINE) -> set[str]:
    """The endpoints that are judged blocked, "" for the whole."""
    service = SERVICES.get(here.service)
    groups = {e.id: e.group for e in service.endpoints if e.group} if service else {}
    view = ControlView(measurement=control, age_us=MINUTE_US, link=Link.ONLINE, groups=groups)
    verdicts = judge(taken(replace(here, link=link)), view)
    return {v.endpoint for v in verdicts if v.state is State.BLOCKED}


@ALL
def test_it_runs_here_at_all(experiment: Experiment) -> None:
    assert good(experiment).observations, "give it OPTIONS"
    assert not good(experiment).not_measured
    assert blocked(good(experiment), good(experiment)) == set()


@ALL
def test_real_interference_is_seen(experiment: Experiment) -> None:
    """Or what follows would prove nothing."""
    seen = [asyncio.run(_troubled(experiment, t)) for t in TROUBLES]
    found = [here for here in seen if blocked(here, good(experiment))]
    assert bool(found) != (experiment.name in NEVER_BLOCKS)


async def _troubled(experiment: Experiment, trouble: Trouble, stop_at: int = 10_000) -> Measurement:
    return await run(experiment, world(trouble), stop_at, no_ech=trouble.handshake is not None)


@ALL
def test_never_when_the_anchors_failed(experiment: Experiment) -> None:
    for trouble in TROUBLES:
        here = asyncio.run(_troubled(experiment, trouble))
        for link in set(Link) - {Link.ONLINE}:
            assert blocked(here, good(experiment), link) == set(), f"{trouble.name}, {link}"


@ALL
def test_never_when_it_was_cancelled_and_nobody_interferes(experiment: Experiment) -> None:
    for at in range(len(good(experiment).observations)):
        here = asyncio.run(run(experiment, world(), at))
        assert _interrupted(here.observations), at
        assert blocked(here, good(experiment)) == set(), at


@ALL
def test_cancelling_blocks_nothing_that_would_not_be_blocked(experiment: Experiment) -> None:
    """Whatever else happens on the network: what is blocked then is blocked in the whole run."""
    at_target = experiment.wants != "service" or experiment.name == "outside_in"
    for trouble in [t for t in TROUBLES if t.everywhere != at_target]:
        whole = asyncio.run(_troubled(experiment, trouble))
        judged = blocked(whole, good(experiment))
        for at in _steps(len(whole.observations)):
            here = asyncio.run(_troubled(experiment, trouble, at))
            assert blocked(here, good(experiment)) <= judged, f"{trouble.name}, step {at}"


def _steps(count: int) -> Sequence[int]:
    """Every one of the first twelve, then some: those of one kind are alike."""
    return (*range(min(count, 12)), *range(12, count, 7))


@ALL
@pytest.mark.parametrize("failure", WITHOUT_SIX)
def test_never_when_ipv6_is_missing(experiment: Experiment, failure: Failure) -> None:
    """Names have both kinds of addresses, and IPv6 leads nowhere."""
    here = asyncio.run(run(experiment, world(six=failure)))
    assert blocked(here, good(experiment)) == set()


@ALL
@pytest.mark.parametrize("failure", [f for f in WITHOUT_SIX if f is not Failure.CONNECTION_REFUSED])
def test_never_when_ipv6_is_missing_for_names_that_have_nothing_else(
    experiment: Experiment, failure: Failure
) -> None:
    """The control has none either, or the vantage's own system says that there is no way."""
    control = asyncio.run(run(experiment, world(four=False, six=failure)))
    here = asyncio.run(run(experiment, world(four=False, six=failure)))
    assert blocked(here, control) == set()
    if failure in WITHOUT_SIX[:3]:
        works = asyncio.run(run(experiment, world(four=False)))
        assert blocked(here, works) == set()


def _interrupted(observations: Sequence[Observation]) -> bool:
    return any(x.failure is Failure.INTERRUPTED for x in observations)


def test_nothing_troubles_by_itself() -> None:
    assert not NOTHING.everywhere
    assert len({t.name for t in TROUBLES}) == len(TROUBLES)
