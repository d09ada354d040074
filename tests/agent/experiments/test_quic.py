"""quic: three attempts side by side; tests/lab has real ports that drop QUIC."""

from heliograph.failure import Failure, Operation
from support.experiment_run import observed
from support.fake_net import Page, World

OWN, OTHER = "192.0.2.1", "192.0.2.80"
NEUTRAL = {"neutral": "neutral.test"}


HELLOS = [("chrome", "quic_handshake"), ("firefox", "quic_handshake")]
SILENCE = Failure.GENERIC_TIMEOUT_ERROR


def world(**quic: Failure | None) -> World:
    return World(
        names={"target.test": (OWN,), "neutral.test": (OTHER,)},
        ports={(OWN, 443): None},
        pages={"https://target.test/": Page(title="Hello")},
        speeches={(OWN, 443): "server_hello", (OTHER, 443): "server_hello"},
        quic={"target.test": None, "neutral.test": None, **quic},
    )


async def test_a_handshake_a_page_a_handshake_over_tcp_and_a_neutral_one() -> None:
    seen = await observed("quic", "target.test", world(), NEUTRAL)
    done = {(o.endpoint, o.operation.value) for o in seen if o.operation is not Operation.RESOLVE}
    assert done == {
        *HELLOS,
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
    assert {o.endpoint for o in seen} == {"chrome", "firefox", "target", "tcp"}
    assert not any(o.http for o in seen)


async def test_a_target_without_quic_is_still_asked_over_tcp() -> None:
    scripted = world(**{"target.test": SILENCE})
    scripted.speeches[OWN, 443] = SILENCE
    seen = await observed("quic", "target.test", scripted, NEUTRAL)
    failures = {o.endpoint: o.failure for o in seen if o.tls}
    silent = dict.fromkeys(("chrome", "firefox", "target"), SILENCE)
    assert failures == {**silent, "tcp": None, "neutral": None, "neutral_chrome": None}


async def test_browsers_hellos_come_before_ours() -> None:
    """A filter that minds our packet alone may refuse for a while what follows it."""
    seen = await observed("quic", "target.test", world(), {"neutral": "", "page": "false"})
    handshakes = [o for o in seen if o.operation is Operation.QUIC_HANDSHAKE]
    assert [o.endpoint for o in handshakes] == ["chrome", "firefox", "target"]
    assert [o.tls.profile.split()[0] for o in handshakes if o.tls and o.tls.profile] == [
        "chrome", "firefox",
    ]  # fmt: skip


async def test_an_address_gets_no_browsers_hello() -> None:
    seen = await observed("quic", OWN, world(**{OWN: None}), {"neutral": "", "page": "false"})
    assert {o.endpoint for o in seen} == {"target", "tcp"}
