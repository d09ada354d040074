"""Answers of a server, a filter and a stranger to a browser's first QUIC packets."""

from random import Random

import pytest

from heliograph.failure import Failure, Operation
from heliograph.hello_profiles import HelloProfile, load_shipped_profiles
from heliograph.observation import Observation
from heliograph_agent.protocols.quic_hello import QUIC_RANDOM_BYTES, QuicBrowserHello
from support.loopback_ca import LoopbackCA
from support.net_fixtures import Opening
from support.quic_server import initial, quic_server
from support.udp_server import Script, udp_server
from support.values import present

NAME = "www.example.org"
DEADLINE_S = 300.0


def profile_of(name: str) -> HelloProfile:
    return present(load_shipped_profiles().get(name).quic)


def hello_of(name: str) -> QuicBrowserHello:
    random_bytes = Random(7).randbytes(QUIC_RANDOM_BYTES)
    return QuicBrowserHello(profile_of(name), "test", NAME, random_bytes)


@pytest.mark.parametrize("name", ["chrome", "firefox"])
async def test_a_real_server_answers(opening: Opening, ca: LoopbackCA, name: str) -> None:
    """A real server answers at once or asks again.

    aioquic does not know ML-KEM and takes X25519's share.
    """
    message = hello_of(name)
    with quic_server(ca.leaf(NAME)) as port:
        result = await opening()[0].datagram("127.0.0.1", port, message, endpoint=name)
    observation = result.observation
    assert (observation.operation, observation.failure) == (Operation.QUIC_HANDSHAKE, None)
    assert present(observation.exchange).reply in ("server_hello", "hello_retry")
    tls = present(observation.tls)
    assert (tls.profile, tls.ja4, tls.hello_segments) == (
        f"{name} test", profile_of(name).ja4, 2,
    )  # fmt: skip


def close_with(error: int) -> bytes:
    """A CONNECTION_CLOSE frame (RFC 9000 section 19.19)."""
    return bytes((0x1C,)) + (0x4000 | error).to_bytes(2, "big") + b"\x00\x00"


async def ask(opening: Opening, script: Script, quic_s: float = 0.4) -> Observation:
    with udp_server(script) as port:
        net, _ = opening(quic_s=quic_s)
        return (await net.datagram("127.0.0.1", port, hello_of("chrome"))).observation


@pytest.mark.parametrize(
    ("script", "failure"),
    [
        (lambda _: [], Failure.GENERIC_TIMEOUT_ERROR),
        (lambda _: [b"\xc3pong"], Failure.UNEXPECTED_REPLY),
        (initial(close_with(0x02)), Failure.UNEXPECTED_REPLY),
        (initial(b"\x1e"), Failure.UNEXPECTED_REPLY),  # HANDSHAKE_DONE, which no Initial has
        (initial(close_with(0x170)), Failure.SSL_FAILED_HANDSHAKE),
    ],
)
async def test_what_is_no_answer_is_none(
    opening: Opening, script: Script, failure: Failure
) -> None:
    """Anybody can send datagrams to us; only an Initial of this connection counts."""
    observation = await ask(opening, script)
    assert (observation.operation, observation.failure) == (Operation.QUIC_HANDSHAKE, failure)
    is_alert = failure is Failure.SSL_FAILED_HANDSHAKE
    assert present(observation.tls).alert == (0x70 if is_alert else None)


async def test_lost_packets_are_sent_again(opening: Opening) -> None:
    """The first two are lost: that must not look like a filter."""
    heard: list[bytes] = []
    answer = initial(close_with(0x150))

    def script(data: bytes) -> list[bytes]:
        heard.append(data)
        return answer(data) if len(heard) > 2 else []

    observation = await ask(opening, script, quic_s=DEADLINE_S)
    assert observation.failure is Failure.SSL_FAILED_HANDSHAKE
    assert heard[:2] == heard[2:4] or len(heard) == 3
