"""No measurement is blocked by a guess, over generated measurements and controls.

Known block pages and private answers are apart: they are drawn only where a test mentions it.
"""

from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from heliograph.failure import Operation
from heliograph.observation import Link, Measurement
from heliograph_collector.judge import judge
from heliograph_collector.judge.failure_semantics import METHOD_BY_FAILURE
from heliograph_collector.model.control_look import ControlLook
from heliograph_collector.model.records import ControlView, Verdict, VerdictState
from support.examples import limit_examples, only_in_soak
from support.scenario import MINUTE_US, measurement, taken

Steps = list[dict[str, Any]]
EDGES = ("5.6.7.8", "5.6.7.80", "77.77.77.7", "93.184.216.34")
SPARE = "151.101.1.1"  # an address that no measurement drawn here knows
PATHS = {443: ("tls", "http"), 80: ("http http://www.target.example/",)}
DENIALS = ("dns_nxdomain_error", "dns_servfail_error", "dns_no_answer", "dns_refused_error")
OPERATIONS = {"connect": Operation.CONNECT, "tls": Operation.TLS_HANDSHAKE}
OPERATIONS["http"] = Operation.HTTP_ROUND_TRIP


@dataclass(frozen=True)
class Drawn:
    here: Steps
    controls: tuple[tuple[str, Steps], ...]  # network, steps

    def judge(self, more: Steps | None = None, *controls: tuple[str, Steps]) -> Verdict:
        """Return the verdict, with some more steps here and some more controls."""
        record = taken(measurement([*self.here, *(more or [])]))
        (_, best), *others = (*self.controls, *controls)
        looks = tuple(
            ControlLook(measurement(steps), MINUTE_US, Link.ONLINE, network)
            for network, steps in others
        )
        view = ControlView(
            measurement=measurement(best), age_us=0, link=Link.ONLINE, looks=looks,
            network=self.controls[0][0],
        )  # fmt: skip
        return judge(record, view)[-1]


@st.composite
def climbs(draw: st.DrawFn, address: str, port: int) -> Steps:
    steps: Steps = []
    for step in (f"connect {address} {port}", *PATHS[port]):
        words = sorted(METHOD_BY_FAILURE[OPERATIONS[step.split(" ")[0]]])
        is_failing = draw(st.sampled_from((True, False, False)))  # else few get to the TLS
        word = draw(st.sampled_from(words)) if is_failing else "ok"
        chain = " key-of-other CN=Other" if word.startswith("ssl_") and draw(st.booleans()) else ""
        steps.append({step: 200 if word == "ok" and step.startswith("http") else word + chain})
        if word != "ok":
            break
    return steps


answers = st.lists(st.sampled_from(EDGES), min_size=1, max_size=2, unique=True).map(" ".join)


@st.composite
def drawn(draw: st.DrawFn) -> Drawn:
    port = draw(st.sampled_from((80, 443)))
    system = draw(answers | st.sampled_from(DENIALS))
    here: Steps = [{"system A": system}]
    for engine in ("udp", "doh"):
        if draw(st.booleans()):
            here.append({f"{engine} A": draw(answers | st.sampled_from(DENIALS))})
    for address in () if system in DENIALS else system.split():
        here += draw(climbs(address, port))
    controls = [
        (draw(st.sampled_from(("", "AS1", "AS2"))), draw(control_steps()))
        for _ in range(draw(st.integers(1, 3)))
    ]
    return Drawn(here, tuple(controls))


@st.composite
def control_steps(draw: st.DrawFn) -> Steps:
    steps: Steps = [{"system A": draw(answers)}]
    for address in draw(st.lists(st.sampled_from(EDGES), max_size=3, unique=True)):
        steps += draw(climbs(address, draw(st.sampled_from((80, 443)))))
    return steps


def ends(seen: Measurement, *, passed: bool) -> set[tuple[str, int]]:
    """Return the endpoints that reached the last step, or that failed before it."""
    found: dict[tuple[str, int], bool] = {}
    end = ("", 0)
    for step in seen.observations:
        if step.tcp:
            end = (step.tcp.address, step.tcp.port)
        if not step.dns:
            found[end] = step.failure is None
    return {end for end, well in found.items() if well == passed}


@settings(max_examples=limit_examples(500), deadline=None)
@given(drawn())
def test_blame_needs_a_look_that_got_further_at_the_same_endpoint(case: Drawn) -> None:
    """Blame needs a control that got further at the same endpoint.

    Or two lookups that contradict each other where the wrong certificate was shown.
    """
    verdict = case.judge()
    if verdict.state is not VerdictState.BLOCKED or verdict.layer == "dns":
        return
    failed = ends(measurement(case.here), passed=False)
    looked = {
        (x.tcp.address, x.tcp.port)
        for _, steps in case.controls
        for x in measurement(steps).observations
        if x.tcp and x.failure is None
    }
    assert failed & looked, verdict


@settings(max_examples=limit_examples(500), deadline=None)
@given(drawn())
def test_what_fails_for_all_controls_or_was_not_looked_at_is_not_blocked(case: Drawn) -> None:
    failed = ends(measurement(case.here), passed=False)
    passed = {end for _, s in case.controls for end in ends(measurement(s), passed=True)}
    partly = {
        (x.tcp.address, x.tcp.port)
        for _, s in case.controls
        for x in measurement(s).observations
        if x.tcp and x.failure is None
    }
    if failed & (passed | partly):
        return
    verdict = case.judge()
    is_lookup = "dns" in verdict.layer
    assert verdict.state is not VerdictState.BLOCKED or is_lookup, verdict


@settings(max_examples=limit_examples(500), deadline=None)
@given(drawn())
def test_a_lookup_equal_to_an_encrypted_one_is_no_dns_block(case: Drawn) -> None:
    system = str(case.here[0]["system A"])
    verdict = case.judge([{"doh A": system}])
    assert (verdict.state, verdict.layer) != (VerdictState.BLOCKED, "dns"), verdict


@settings(max_examples=limit_examples(500), deadline=None)
@given(drawn(), st.data())
def test_a_fact_in_favour_never_makes_it_worse(case: Drawn, data: st.DataObject) -> None:
    if case.judge().state is VerdictState.BLOCKED:
        return
    system = str(case.here[0]["system A"])
    works: Steps = [{f"connect {SPARE}": "ok"}, {"tls": "ok"}, {"http": 200}]
    elsewhere: tuple[str, Steps] = ("AS3", [{"system A": SPARE}, *works])
    better = [case.judge([{"doh A": system}]), case.judge(None, elsewhere)]
    best = case.controls[0]
    further = replace(case, controls=((best[0], [*best[1], *works]), *case.controls[1:]))
    better.append(further.judge())
    if system not in DENIALS:
        own = data.draw(st.sampled_from(system.split()))
        better.append(case.judge([{f"connect {own}": "ok"}, {"tls": "ok"}]))
    for verdict in better:
        assert verdict.state is not VerdictState.BLOCKED, verdict


@pytest.mark.long
@pytest.mark.parametrize("layer", ["dns", "tcp", pytest.param("tls", marks=only_in_soak)])
def test_real_blocks_are_among_what_is_drawn(layer: str) -> None:
    """Real blocks are among what is drawn, or the tests above would prove nothing."""

    def is_blocked(case: Drawn) -> bool:
        verdict = case.judge()
        return verdict.state is VerdictState.BLOCKED and verdict.layer == layer

    find(
        drawn(),
        is_blocked,
        settings=settings(
            max_examples=5_000,
            deadline=None,
            derandomize=True,
            phases=[Phase.generate],
            report_multiple_bugs=False,  # the first one will do
        ),
    )


def test_down_takes_two_networks_where_controls_are_in_two() -> None:
    here: Steps = [{"system A": EDGES[0]}, {f"connect {EDGES[0]}": "connection_refused"}]
    for networks in (("",), ("AS1",), ("AS1", "AS2")):
        case = Drawn(here, tuple((network, here) for network in networks))
        assert case.judge().state is VerdictState.DOWN
    elsewhere: Steps = [{"system A": EDGES[0]}, {f"connect {EDGES[3]}": "ok"}]
    assert Drawn(here, (("AS1", here), ("AS2", elsewhere))).judge().state is VerdictState.UNKNOWN


def test_disagreeing_controls_blame_nobody() -> None:
    here: Steps = [{"system A": EDGES[0]}, {f"connect {EDGES[0]}": "connection_refused"}]
    works: Steps = [{"system A": EDGES[0]}, {f"connect {EDGES[0]}": "ok"}, {"tls": "ok"}]
    assert Drawn(here, (("AS1", works), ("AS2", here))).judge().state is VerdictState.UNKNOWN
    both = Drawn(here, (("AS1", works), ("AS2", works), ("AS3", here)))
    assert both.judge().state is VerdictState.BLOCKED
