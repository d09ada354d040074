"""Properties of the judge over any measurement that can be decoded."""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph.codec import measurement_from_pb, measurement_to_pb
from heliograph.failure import HELLO_CUTS, Failure, Operation
from heliograph.observation import (
    Certificate,
    Dns,
    DnsAnswer,
    Http,
    Link,
    Measurement,
    Observation,
    Tcp,
    Tls,
)
from heliograph_collector.judge import judge
from heliograph_collector.judge.comparisons import COMPARISONS
from heliograph_collector.model.records import ControlView, Verdict, VerdictState
from support.examples import limit_examples
from support.scenario import catalogue, keep_observations, measurement, taken

ADDRESSES = ("5.6.7.8", "5.6.7.9", "10.0.0.1", "2a00:1::8", "not an address", "")
LABELS = ("", "redirect-1", "redirect-2", "dc-1", "dc-2", "web")
HOSTS = ("a.example", "www.a.example", "other.example", "")
SCENARIOS = catalogue()

names = st.sampled_from(HOSTS)
dns = st.builds(
    Dns,
    engine=st.sampled_from(("system", "hosts", "udp", "doh", "odd")),
    resolver=st.just(""),
    name=names,
    query_type=st.sampled_from(("A", "AAAA", "TXT")),
    answers=st.lists(
        st.builds(DnsAnswer, type=st.sampled_from(("A", "AAAA")), data=st.sampled_from(ADDRESSES)),
        max_size=3,
    ).map(tuple),
)
tcp = st.builds(Tcp, address=st.sampled_from(ADDRESSES), port=st.sampled_from((80, 443)))
certificate = st.builds(
    Certificate,
    sha256=st.sampled_from("ab"),
    spki_sha256=st.sampled_from("ab"),
    subject=st.just(""),
    issuer=st.sampled_from("xy"),
    not_before_s=st.just(0),
    not_after_s=st.just(0),
)
tls = st.builds(Tls, server_name=names, chain=st.lists(certificate, max_size=1).map(tuple))
http = st.builds(
    Http,
    method=st.just("GET"),
    url=st.sampled_from(("http://a.example/", "https://[", "", "https://other.example/")),
    status=st.sampled_from((0, 200, 301, 302, 403, 404, 451, 503)),
    title=st.sampled_from(("", "the free newspaper", "denied")),
    server=st.sampled_from(("", "cloudflare")),
    location=st.sampled_from(("", "https://other.example/", "/here", "http://[")),
    body_bytes=st.sampled_from((0, 10, 5000)),
    truncated=st.booleans(),
)


@st.composite
def measurements(draw: st.DrawFn) -> Measurement:
    """Draw any measurement that the codec accepts, often with fitting words."""
    seen: list[Observation] = []
    for index in range(draw(st.integers(0, 8))):
        operation = draw(st.sampled_from(Operation))
        facts: dict[str, Any] = {
            "dns": draw(dns) if operation is Operation.RESOLVE else None,
            "tcp": draw(tcp) if operation is Operation.CONNECT else None,
            "tls": draw(tls) if operation is Operation.TLS_HANDSHAKE else None,
            "http": draw(http) if operation.value.startswith(("http", "read")) else None,
        }
        seen.append(
            Observation(
                operation=operation,
                started_us=0,
                duration_us=0,
                failure=draw(st.none() | st.sampled_from(Failure)),
                parent=draw(st.none() | st.integers(0, index - 1)) if index else None,
                endpoint=draw(st.sampled_from(LABELS)),
                **(facts if draw(st.integers(0, 9)) else {}),
            )
        )
    return _measurement(tuple(seen), draw(st.sampled_from(Link)), draw(st.sampled_from(("", "x"))))


def _measurement(seen: tuple[Observation, ...], link: Link, not_measured: str = "") -> Measurement:
    return replace(measurement([]), observations=seen, link=link, not_measured=not_measured)


views = st.builds(
    ControlView,
    measurement=st.none() | measurements(),
    age_us=st.none() | st.integers(0, 1_200_000_000),
    link=st.sampled_from((Link.ONLINE, Link.ONLINE, *Link)),
)


@settings(max_examples=limit_examples(200), deadline=None)
@given(measurements(), views)
def test_any_measurement_gets_verdicts(measurement: Measurement, control: ControlView) -> None:
    """Any measurement gets verdicts, one for each endpoint and one for the whole.

    The judge never raises, and the evidence exists.
    """
    decoded = measurement_from_pb(measurement_to_pb(measurement))
    verdicts = judge(taken(decoded), control)
    endpoints = [v.endpoint for v in verdicts]
    assert endpoints.count("") == 1
    assert len(set(endpoints)) == len(endpoints)
    for verdict in verdicts:
        assert 0.0 <= verdict.confidence <= 0.99
        assert (verdict.confidence == 0.0) == (verdict.state is VerdictState.UNKNOWN)
        assert all(0 <= index < len(decoded.observations) for index in verdict.evidence)


@settings(max_examples=limit_examples(200), deadline=None)
@given(measurements(), views)
def test_no_blocking_without_link_and_control(m: Measurement, control: ControlView) -> None:
    fresh = control.age_us is not None and control.age_us <= 900_000_000
    seen = control.measurement.observations if control.measurement else ()
    succeeded = control.link is Link.ONLINE and any(x.failure is None for x in seen)
    if m.link is Link.ONLINE and fresh and succeeded:
        return
    assert not _blocked(judge(taken(m), control))


@settings(max_examples=limit_examples(200), deadline=None)
@given(measurements(), views)
def test_interruptions_alone_never_block(m: Measurement, control: ControlView) -> None:
    stopped = tuple(
        replace(x, failure=Failure.INTERRUPTED if x.failure else None) for x in m.observations
    )
    clean = [replace(x, dns=None) for x in stopped]  # a bogon answer is a separate finding
    m = replace(m, observations=tuple(clean))
    assert not any(v.layer in ("tcp", "tls", "dns") for v in _blocked(judge(taken(m), control)))


def test_lost_observations_never_turn_doubt_into_blocking() -> None:
    """Lost observations never turn doubt into blocking.

    Over the whole catalogue: whichever observations are lost, unknown never becomes blocked.
    Evidence in the network's favor stays: without it only the failure is left.
    """
    for scenario in SCENARIOS:
        rng = random.Random(scenario.name)  # so that a new row changes no other's draws
        before = {v.endpoint: v for v in judge(scenario.taken, scenario.control)}
        count = len(scenario.taken.measurement.observations)
        for _ in range(limit_examples(40)):
            favor = set(filter(_speaks_in_favor(scenario.taken.measurement), range(count)))
            kept = [i for i in range(count) if i in favor or rng.random() < rng.choice((0.5, 0.8))]
            less = replace(
                scenario.taken, measurement=keep_observations(scenario.taken.measurement, kept)
            )
            for verdict in _blocked(judge(less, scenario.control)):
                state = before[verdict.endpoint].state
                assert state is not VerdictState.UNKNOWN, f"{scenario.name}: kept {kept}: {verdict}"


def _speaks_in_favor(m: Measurement) -> Callable[[int], bool]:
    """Return a test for steps in the network's favor.

    These are steps of another resolver or a neutral name, and the right certificate. A resolver
    that lies about neutral names too has another reason. A connection shows that its address and
    port are open to this vantage; a page in clear beside TLS that is cut, that the host may answer
    as a filter of a house does.
    """
    is_tls_cut = any(x.tls is not None and x.failure in HELLO_CUTS for x in m.observations)

    def holds(index: int) -> bool:
        step = m.observations[index]
        engine = step.dns.engine if step.dns else ""
        is_verified = step.tls is not None and step.failure is None
        is_other = engine in ("udp", "tcp", "dot", "doh") or step.endpoint == "neutral"
        is_connected = step.operation is Operation.CONNECT and step.failure is None
        is_beside = is_tls_cut and step.http is not None and step.failure is None
        return is_other or is_verified or is_connected or is_beside

    return holds


@pytest.mark.long
def test_worse_control_never_leaves_blocking_and_confidence_falls_with_its_age() -> None:
    """A worse control leaves no blocking; confidence falls with the control's age.

    Losing the control, its freshness or its link leaves no blocking but a known one.
    """
    for scenario in SCENARIOS:
        aged = [
            replace(scenario.control, age_us=minutes * 60_000_000) for minutes in range(0, 17, 5)
        ]
        stale = replace(scenario.control, age_us=16 * 60_000_000)
        lost = replace(scenario.control, measurement=None)
        for worse in (lost, stale, replace(scenario.control, link=Link.UNKNOWN)):
            assert not _blocked(judge(scenario.taken, worse)), scenario.name
        sure = [max(v.confidence for v in judge(scenario.taken, control)) for control in aged]
        assert sure == sorted(sure, reverse=True), scenario.name


def _blocked(verdicts: tuple[Verdict, ...]) -> list[Verdict]:
    blocked = [v for v in verdicts if v.state is VerdictState.BLOCKED]
    return [v for v in blocked if not v.fingerprint]


def test_another_address_that_verifies_makes_no_doubt_a_block() -> None:
    """Another address that verifies makes no doubt a block.

    Over the whole catalogue: a good handshake at another resolver's address blames nobody.
    """
    compared = [s for s in SCENARIOS if s.taken.measurement.experiment not in COMPARISONS]
    for scenario in compared:
        steps = scenario.taken.measurement.observations
        for name in {(x.endpoint, x.dns.name) for x in steps if x.dns}:
            favored = _add_verified_address(scenario.taken.measurement, *name)
            more = replace(scenario.taken, measurement=favored)
            less = keep_observations(favored, list(range(len(steps) + 1)))  # the lookup alone
            verdicts = judge(replace(scenario.taken, measurement=less), scenario.control)
            before = {v.endpoint: v.state for v in verdicts}
            for verdict in _blocked(judge(more, scenario.control)):
                assert before[verdict.endpoint] is VerdictState.BLOCKED, (scenario.name, verdict)


def _add_verified_address(m: Measurement, label: str, name: str) -> Measurement:
    count = len(m.observations)
    lookup = Dns(
        engine="udp",
        resolver="9.9.9.9:53",
        name=name,
        query_type="A",
        answers=(DnsAnswer(type="A", data="151.101.193.140"),),
    )
    connection = Tcp(address="151.101.193.140", port=443)
    added = (
        Observation(operation=Operation.RESOLVE, dns=lookup, endpoint=label, **_NO_TIME),
        Observation(
            operation=Operation.CONNECT, tcp=connection, endpoint=label, parent=count, **_NO_TIME
        ),
        Observation(
            operation=Operation.TLS_HANDSHAKE,
            tls=Tls(server_name=name),
            endpoint=label,
            parent=count + 1,
            **_NO_TIME,
        ),
    )
    return replace(m, observations=(*m.observations, *added))


_NO_TIME: dict[str, Any] = {"started_us": 0, "duration_us": 0}
