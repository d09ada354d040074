"""quic: three things beside each other, and a real silent port that shows which it is."""

import pytest

from heliograph.failure import Failure, Operation
from heliograph.observation import Measurement
from heliograph_agent.experiments.experiment import CannotRun
from support.experiment_run import observed
from support.fake_net import Page, World
from support.loopback_ca import LoopbackCA
from support.quic_server import page, quic_server
from support.real_run import Opening, really, verdict
from support.tls_server import tls_server
from support.udp_server import udp_server

OWN, OTHER = "192.0.2.1", "192.0.2.80"
NEUTRAL = {"neutral": "neutral.test"}


def world(**quic: Failure | None) -> World:
    return World(
        names={"target.test": (OWN,), "neutral.test": (OTHER,)},
        ports={(OWN, 443): None},
        pages={"https://target.test/": Page(title="Hello")},
        quic={"target.test": None, "neutral.test": None, **quic},
    )


async def test_a_handshake_a_page_a_handshake_over_tcp_and_a_neutral_one() -> None:
    seen = await observed("quic", "target.test", world(), NEUTRAL)
    done = {(o.endpoint, o.operation.value) for o in seen if o.operation is not Operation.RESOLVE}
    assert done == {
        ("target", "quic_handshake"),
        ("target", "http_round_trip"),
        ("target", "read_body"),
        ("tcp", "connect"),
        ("tcp", "tls_handshake"),
        ("neutral", "quic_handshake"),
    }
    assert {o.udp.address for o in seen if o.udp} == {OWN, OTHER}
    assert next(o.http.version for o in seen if o.http and o.http.title) == "3"


async def test_page_and_neutral_can_be_left_out() -> None:
    options = {"neutral": "", "page": "false"}
    seen = await observed("quic", "https://target.test/x", world(), options)
    assert {o.endpoint for o in seen} == {"target", "tcp"}
    assert not any(o.http for o in seen)


async def test_a_target_without_quic_is_still_asked_over_tcp() -> None:
    timeout = {"target.test": Failure.GENERIC_TIMEOUT_ERROR}
    seen = await observed("quic", "target.test", world(**timeout), NEUTRAL)
    failures = {o.endpoint: o.failure for o in seen if o.tls}
    assert failures == {"target": Failure.GENERIC_TIMEOUT_ERROR, "tcp": None, "neutral": None}


async def test_a_machine_without_quic_says_so_in_a_sentence() -> None:
    scripted = world()
    scripted.without = frozenset({"quic"})
    with pytest.raises(CannotRun, match="has no quic"):
        await observed("quic", "target.test", scripted, NEUTRAL)


async def test_a_port_that_swallows_quic_is_told_from_one_that_swallows_it_from_all(
    opening: Opening, ca: LoopbackCA
) -> None:
    """UDP is silent, TCP on another port speaks; the ports stand for one host's two doors."""
    ours, other = ca.leaf("target.test"), ca.leaf("neutral.test")
    with (
        udp_server(lambda _: []) as silent,
        quic_server(ours, page(b"<title>Here</title>")) as speaking,
        quic_server(other) as neutral,
    ):

        async def run(port: int, neutral_port: int) -> Measurement:
            options = {"neutral": f"neutral.test:{neutral_port}"}
            return await really("quic", f"target.test:{port}", opening(quic_s=1.0), options)

        only_target = await run(silent, neutral)
        nobody = await run(silent, silent)
        control = await run(speaking, neutral)
    ends = {
        o.endpoint: o.failure
        for o in control.observations
        if o.operation is Operation.QUIC_HANDSHAKE
    }
    assert ends == {"target": None, "neutral": None}
    assert next(o.http.title for o in control.observations if o.http and o.http.title) == "Here"
    assert verdict(control, control).rule == "quic.reached"
    assert verdict(nobody, control).rule == "quic.udp_dropped"
    assert verdict(only_target, control).rule == "quic.tcp_too"  # nobody listens there over TCP


async def test_quic_alone_is_swallowed(opening: Opening, ca: LoopbackCA) -> None:
    leaf = ca.leaf("target.test", "neutral.test")
    with quic_server(leaf, page()) as speaking, tls_server(leaf) as tls:
        options = {"neutral": f"neutral.test:{speaking}", "page": "false"}
        here = await really("quic", f"target.test:{tls}", opening(quic_s=1.0), options)
        control = await really("quic", f"target.test:{speaking}", opening(), options)
    found = verdict(here, control)
    assert (found.state, found.layer) == ("blocked", "quic")
