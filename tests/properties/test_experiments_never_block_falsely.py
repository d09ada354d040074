"""No experiment is blocked if cancelled, without anchors, or without IPv6.

This holds for every experiment of the registry, over a scripted net, by the real judge.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from heliograph.failure import Failure, Operation
from heliograph.observation import Hop, Http, Link, Measurement, Observation, Tls
from heliograph.plan import Endpoint, EndpointKind, Service
from heliograph.services import load_shipped_services
from heliograph_agent.experiments import REGISTRY
from heliograph_agent.experiments.experiment import CannotRun, Experiment, Target, parse_config
from heliograph_agent.net import ByteStream, ProbeMessage, StepResult, StepTrace
from heliograph_agent.net.probe_message import TlsProbeMessage
from heliograph_collector.judge import judge
from heliograph_collector.judge.failure_semantics import METHOD_BY_FAILURE
from heliograph_collector.model.records import ControlView, VerdictState
from support.examples import IS_SOAK, choose, limit_examples
from support.fake_net import FakeNet
from support.fake_world import World
from support.hand_clock import HandClock
from support.interference_world import NOTHING, TARGET, TROUBLES, Trouble, world
from support.scenario import MINUTE_US, measurement, taken

ALL = pytest.mark.parametrize("experiment", REGISTRY, ids=lambda e: e.name)
TARGETS = {"url": f"https://{TARGET}/", "host": TARGET, "endpoint": f"{TARGET}:443", "none": ""}
OPTIONS: dict[str, dict[str, str]] = {}
OWN_TARGETS = {"vpn": f"openvpn://{TARGET}:1194/udp", "outside_in": "sites"}
SITES = Service(
    name="sites", title="Sites of a country", experiment="outside_in",
    endpoints=(Endpoint(id="gov", kind=EndpointKind.HTTPS, host=TARGET, port=443),),
)  # fmt: skip
SERVICES = {service.name: service for service in (*load_shipped_services().services, SITES)}
NEVER_BLOCKS = {"middlebox"}  # it tells of the path, and blocks nothing
# A good run with failures does not do: `hello` says more after a failure, for example.
BLAMES_MORE_STEPS = {"connectivity", "hello", "middlebox", "path", "throttling"}
WITHOUT_SIX = (  # how a network without IPv6 shows it
    Failure.NETWORK_UNREACHABLE,
    Failure.ADDRESS_FAMILY_NOT_SUPPORTED,
    Failure.ADDRESS_NOT_AVAILABLE,
    Failure.HOST_UNREACHABLE,
    Failure.CONNECTION_REFUSED,
    Failure.GENERIC_TIMEOUT_ERROR,
)


class StoppedNet(FakeNet):
    """A net whose step number `at` never ends; `reached` is set when it begins.

    With `no_ech`, packets after a ClientHello that hides something and has the target's name are
    reset.
    """

    def __init__(
        self, world: World, clock: HandClock, trace: StepTrace, at: int, *, no_ech: bool
    ) -> None:
        super().__init__(world, clock, trace)
        self._left = at
        self._no_ech = no_ech
        self.reached = asyncio.Event()

    async def exchange(self, stream: ByteStream, message: ProbeMessage) -> StepResult:
        facts = message.tls_facts() if isinstance(message, TlsProbeMessage) else None
        is_minded = facts is not None and facts.ech and "target" in facts.server_name
        if not (self._no_ech and is_minded):
            return await super().exchange(stream, message)
        cut = world(replace(NOTHING, everywhere=True, speech=Failure.CONNECTION_RESET))
        where, self._world = self._world, cut
        try:
            return await super().exchange(stream, message)
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
    """Run an experiment to its end, or cancel it in its step of this number."""
    clock = HandClock()
    trace = StepTrace(clock)
    net = StoppedNet(where, clock, trace, stop_at, no_ech=no_ech)
    text = OWN_TARGETS.get(experiment.name) or experiment.default_target
    service = SERVICES.get(text)
    text = text or TARGETS[experiment.target_kind]
    config = parse_config(experiment, OPTIONS.get(experiment.name, {}))
    reason = ""
    task = asyncio.ensure_future(experiment.run(Target(value=text, service=service), config, net))
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


def view(control: Measurement | None, here: Measurement, **more: Any) -> ControlView:
    service = SERVICES.get(here.service)
    groups = {e.id: e.group for e in service.endpoints if e.group} if service else {}
    fresh = ControlView(measurement=control, age_us=MINUTE_US, link=Link.ONLINE, groups=groups)
    return replace(fresh, **more)


def blocked(
    here: Measurement, control: Measurement | None, link: Link = Link.ONLINE, **more: Any
) -> set[str]:
    """Return the endpoints that are judged blocked, "" for the whole."""
    verdicts = judge(taken(replace(here, link=link)), view(control, here, **more))
    return {v.endpoint for v in verdicts if v.state is VerdictState.BLOCKED}


@st.composite
def spoiled_runs(draw: st.DrawFn, good_run: Measurement, rate: int = 2) -> Measurement:
    """Draw a run in which 1 in `rate` steps failed, without the steps based on those."""
    steps: list[Observation] = []
    index_of: dict[int, int] = {}  # of the steps that went well: old → new
    for index, step in enumerate(good_run.observations):
        if step.parent is not None and step.parent not in index_of:
            continue
        parent = None if step.parent is None else index_of[step.parent]
        if draw(st.integers(1, rate)) == 1:
            steps.append(replace(draw(failed_steps(step)), parent=parent))
        else:
            index_of[index] = len(steps)
            steps.append(replace(step, parent=parent))
    return replace(good_run, observations=tuple(steps))


def failed_steps(step: Observation) -> st.SearchStrategy[Observation]:
    """Draw the step with a failure that the judge has a method for."""
    if step.hop is not None:
        hop = Hop(ttl=step.hop.ttl, sent=step.hop.sent)
        reset = replace(step, hop=replace(hop, reply="rst", reply_ttl=61))
        return st.sampled_from([reset, replace(step, hop=hop, failure=WITHOUT_SIX[-1])])
    bare = replace(
        step,
        dns=step.dns and replace(step.dns, answers=()),
        tls=step.tls and Tls(server_name=step.tls.server_name),
        http=step.http and Http(method="GET", url=step.http.url, status=step.http.status),
        exchange=step.exchange and replace(step.exchange, reply=""),
    )
    words = sorted(METHOD_BY_FAILURE.get(step.operation, {Failure.GENERIC_TIMEOUT_ERROR: ""}))
    return st.sampled_from([replace(bare, failure=word) for word in words])


@ALL
def test_it_runs_here_at_all(experiment: Experiment) -> None:
    assert good(experiment).observations, "give it OPTIONS"
    assert not good(experiment).not_measured
    assert blocked(good(experiment), good(experiment)) == set()


@ALL
def test_real_interference_is_seen(experiment: Experiment) -> None:
    """Real interference is blocked, or the other tests would prove nothing."""
    found = [t for t in TROUBLES if blocked(whole_run(experiment, t), good(experiment))]
    assert bool(found) != (experiment.name in NEVER_BLOCKS)


@cache
def whole_run(experiment: Experiment, trouble: Trouble) -> Measurement:
    return asyncio.run(_troubled(experiment, trouble))


async def _troubled(experiment: Experiment, trouble: Trouble, stop_at: int = 10_000) -> Measurement:
    return await run(experiment, world(trouble), stop_at, no_ech=trouble.handshake is not None)


def choose_troubles(experiment: Experiment, troubles: Sequence[Trouble]) -> Sequence[Trouble]:
    """Return half of the troubles, all of them to two experiments in a row; in the soak all."""
    first = 0 if IS_SOAK else REGISTRY.index(experiment) % 2
    return choose(troubles[first :: 1 if IS_SOAK else 2])


@ALL
def test_never_when_the_anchors_failed(experiment: Experiment) -> None:
    links = [link for link in Link if link is not Link.ONLINE]
    for index, trouble in enumerate(choose_troubles(experiment, TROUBLES)):
        here = whole_run(experiment, trouble)
        for link in links if IS_SOAK else (links[index % len(links)],):
            assert blocked(here, good(experiment), link) == set(), f"{trouble.name}, {link}"


@ALL
def test_never_when_it_was_cancelled_and_nobody_interferes(experiment: Experiment) -> None:
    count = len(good(experiment).observations)
    stride = 1 if IS_SOAK else 4
    for at in choose([*range(min(count, 8)), *range(8, count, stride)]):  # later ones are alike
        here = asyncio.run(run(experiment, world(), at))
        assert any(step.failure is Failure.INTERRUPTED for step in here.observations), at
        assert blocked(here, good(experiment)) == set(), at


@ALL
def test_cancelling_blocks_nothing_that_would_not_be_blocked(experiment: Experiment) -> None:
    """Cancelling blocks nothing that the whole run would not block.

    This holds for all other trouble on the network.
    """
    at_target = experiment.target_kind != "service" or experiment.name == "outside_in"
    for trouble in choose_troubles(experiment, [t for t in TROUBLES if t.everywhere != at_target]):
        whole = whole_run(experiment, trouble)
        judged = blocked(whole, good(experiment))
        count = len(whole.observations)
        first, stride = (12, 7) if IS_SOAK else (4, 29)
        for at in (*range(min(count, first)), *range(first, count, stride)):  # later ones are alike
            here = asyncio.run(_troubled(experiment, trouble, at))
            assert blocked(here, good(experiment)) <= judged, f"{trouble.name}, step {at}"


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
    """Missing IPv6 never blocks names without IPv4.

    The control has none either, or the vantage's own system reports that there is no route.
    """
    control = asyncio.run(run(experiment, world(four=False, six=failure)))
    here = asyncio.run(run(experiment, world(four=False, six=failure)))
    assert blocked(here, control) == set()
    if failure in WITHOUT_SIX[:3]:
        works = asyncio.run(run(experiment, world(four=False)))
        assert blocked(here, works) == set()


@ALL
def test_cut_in_spoiled_run_blocks_nothing_it_touches(experiment: Experiment) -> None:
    """Stopped at a step: that one is interrupted, and none follows."""

    @settings(max_examples=limit_examples(30), deadline=None)
    @given(st.data())
    def holds(data: st.DataObject) -> None:
        whole = data.draw(spoiled_runs(good(experiment))).observations
        at = data.draw(st.integers(0, len(whole) - 1))
        cut = (*whole[:at], replace(whole[at], failure=Failure.INTERRUPTED))
        here = replace(good(experiment), observations=cut)
        assert not blocked(here, good(experiment)) & {"", whole[at].endpoint}

    holds()


@ALL
def test_never_without_link_or_good_control(experiment: Experiment) -> None:
    @settings(max_examples=limit_examples(30), deadline=None)
    @given(
        spoiled_runs(good(experiment)),
        spoiled_runs(good(experiment), rate=1),
        st.sampled_from([link for link in Link if link is not Link.ONLINE]),
    )
    def holds(here: Measurement, bad: Measurement, link: Link) -> None:
        control = good(experiment)
        assert not blocked(here, control, link)
        assert not blocked(here, None, age_us=None)
        assert not blocked(here, bad)
        assert not blocked(here, replace(control, observations=()))
        for change in ({"age_us": 16 * MINUTE_US}, {"link": Link.UNKNOWN}, {"link": Link.OFFLINE}):
            verdicts = judge(taken(here), view(control, here, **change))
            assert VerdictState.BLOCKED not in {v.state for v in verdicts}

    holds()


@ALL
def test_failures_of_ipv6_alone_block_nothing(experiment: Experiment) -> None:
    """Failures of IPv6 alone block nothing while IPv4 works.

    All failures of connections over IPv6 and of its lookups are tried.
    """
    steps = good(experiment).observations
    connections = [step for step in steps if step.tcp or step.udp]
    with_ipv4 = {step.endpoint for step in connections if not is_ipv6(steps, steps.index(step))}

    @settings(max_examples=limit_examples(30), deadline=None)
    @given(st.data())
    def holds(data: st.DataObject) -> None:
        spoiled = [
            data.draw(failed_steps(step) | st.just(step)) if is_ipv6(steps, index) else step
            for index, step in enumerate(steps)
        ]
        here = replace(good(experiment), observations=tuple(spoiled))
        assert not blocked(here, good(experiment)) & {"", *with_ipv4}

    holds()


def is_ipv6(steps: Sequence[Observation], index: int | None) -> bool:
    """Return whether a step looks up an IPv6 address, or uses a connection over IPv6."""
    dns = steps[index].dns if index is not None else None
    if dns is not None:
        return dns.query_type == "AAAA"
    while index is not None:
        end = steps[index].tcp or steps[index].udp
        if end is not None:
            return ":" in end.address
        index = steps[index].parent
    return False


@pytest.mark.parametrize(
    "experiment",
    [e for e in REGISTRY if e.name not in BLAMES_MORE_STEPS],
    ids=lambda e: e.name,
)
def test_some_spoiled_run_is_blocked(experiment: Experiment) -> None:
    """Some spoiled run is blocked, so that the tests above are not empty."""
    find(
        spoiled_runs(good(experiment)),
        lambda here: bool(blocked(here, good(experiment))),
        settings=settings(
            max_examples=150,
            deadline=None,
            derandomize=True,
            phases=[Phase.generate],
            report_multiple_bugs=False,  # the first one will do
        ),
    )


def test_nothing_troubles_by_itself() -> None:
    assert not NOTHING.everywhere
    assert len({t.name for t in TROUBLES}) == len(TROUBLES)
