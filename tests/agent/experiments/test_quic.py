"""quic: three things beside each other; tests/lab has real ports that swallow QUIC."""

from heliograph.failure import Failure, Operation
from support.experiment_run import observed
from support.fake_net import Page, World

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
