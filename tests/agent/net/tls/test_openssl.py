"""Handshakes with a real nginx, and with servers that break off in one way each."""

import ssl
from collections.abc import Callable, Iterator

import pytest

from heliograph.failure import Failure, Operation
from heliograph.observation import Tls
from heliograph_agent.net import Seen
from heliograph_agent.net.system_net import RealNet
from heliograph_agent.net.trace import Stream, Trace
from support.loopback_ca import Leaf, LoopbackCA
from support.nginx import nginx
from support.tcp_server import (
    Handler,
    alert,
    close_after_first_bytes,
    reply,
    reset_after_first_bytes,
    say_nothing,
    tcp_server,
)
from support.tls_server import tls_server

Opening = Callable[..., tuple[RealNet, Trace]]
NAME = "www.example.test"


@pytest.fixture(scope="module")
def web(ca: LoopbackCA, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with nginx(tmp_path_factory.mktemp("web"), {NAME: ca.through_intermediate(NAME)}) as running:
        yield running.https


async def shake(
    net: RealNet, port: int, name: str = NAME, *, host: str = "127.0.0.1", **options: object
) -> tuple[Seen, Stream | None]:
    _, stream = await net.connect(host, port, endpoint="web")
    assert stream is not None
    return await net.handshake(stream, name, **options)  # type: ignore[arg-type]


def tls_of(seen: Seen) -> Tls:
    assert seen.observation.operation is Operation.TLS_HANDSHAKE
    assert seen.observation.tls is not None
    return seen.observation.tls


async def test_success_names_version_cipher_and_chain(opening: Opening, web: int) -> None:
    net, trace = opening()
    seen, stream = await shake(net, web)
    assert stream is not None
    stream.close()
    facts = tls_of(seen)
    assert seen.ok
    assert (facts.server_name, facts.version, facts.alpn, facts.alert) == (
        NAME,
        "TLSv1.3",
        "http/1.1",
        None,
    )
    assert facts.cipher.startswith("TLS_")
    assert len(facts.chain) == 2  # leaf and intermediate; the root is not sent
    assert facts.chain[0].issuer == facts.chain[1].subject
    assert len(facts.chain[0].sha256) == len(facts.chain[0].spki_sha256) == 64
    assert (seen.observation.parent, seen.observation.endpoint) == (0, "web")
    assert trace.bytes_moved > 1000


async def test_older_version_and_no_alpn(opening: Opening, ca: LoopbackCA) -> None:
    with tls_server(ca.leaf(NAME), highest=ssl.TLSVersion.TLSv1_2) as port:
        net, _ = opening()
        seen, stream = await shake(net, port, alpn=())
    assert stream is not None
    stream.close()
    assert (tls_of(seen).version, tls_of(seen).alpn) == ("TLSv1.2", "")


async def test_over_ipv6(opening: Opening, ca: LoopbackCA) -> None:
    with tls_server(ca.leaf("::1"), host="::1") as port:
        net, _ = opening()
        seen, stream = await shake(net, port, "::1", host="::1")
    assert stream is not None
    stream.close()
    assert (seen.ok, tls_of(seen).server_name) == (True, "")  # an address is never an SNI


async def test_without_sni_the_server_cannot_tell(opening: Opening, web: int) -> None:
    net, _ = opening()
    seen, stream = await shake(net, web, send_sni=False)
    assert stream is None
    assert seen.observation.failure is Failure.SSL_FAILED_HANDSHAKE
    assert (tls_of(seen).server_name, tls_of(seen).alert) == ("", 112)


async def test_name_the_server_does_not_know(opening: Opening, web: int) -> None:
    net, _ = opening()
    seen, _ = await shake(net, web, "other.example.test")
    assert seen.observation.failure is Failure.SSL_FAILED_HANDSHAKE
    assert tls_of(seen).alert == 112


@pytest.mark.parametrize("number", [10, 40, 42, 48, 49, 70, 71, 80, 112, 120])
async def test_alert_number_is_kept(opening: Opening, number: int) -> None:
    with tcp_server(alert(number)) as port:
        net, _ = opening()
        seen, stream = await shake(net, port)
    assert stream is None
    assert seen.observation.failure is Failure.SSL_FAILED_HANDSHAKE
    assert tls_of(seen).alert == number


@pytest.mark.parametrize(
    ("handler", "failure"),
    [
        (reset_after_first_bytes, Failure.CONNECTION_RESET),
        (close_after_first_bytes, Failure.EOF_ERROR),
        (say_nothing, Failure.GENERIC_TIMEOUT_ERROR),
        (reply(b"HTTP/1.1 400 Bad Request\r\n\r\n"), Failure.SSL_FAILED_HANDSHAKE),
        (reply(b"\x16\x03\x03\x00\x40half a record"), Failure.EOF_ERROR),
    ],
)
async def test_broken_off(opening: Opening, handler: Handler, failure: Failure) -> None:
    with tcp_server(handler) as port:
        net, trace = opening(tls_s=0.4)
        seen, stream = await shake(net, port)
    assert stream is None
    assert seen.observation.failure is failure
    assert seen.observation.operation is Operation.TLS_HANDSHAKE
    assert (tls_of(seen).server_name, tls_of(seen).chain) == (NAME, ())
    assert len(trace.observations) == 2


async def test_server_that_speaks_first(opening: Opening) -> None:
    """A mail server on the port, say: its banner is not a ServerHello."""

    async def banner(reader: object, writer: object) -> None:
        writer.write(b"220 mail.example.test ESMTP\r\n")  # type: ignore[attr-defined]
        await reader.read(4096)  # type: ignore[attr-defined]

    with tcp_server(banner) as port:
        net, _ = opening()
        seen, _ = await shake(net, port)
    assert seen.observation.failure is Failure.SSL_FAILED_HANDSHAKE


def wrong(ca: LoopbackCA, other: LoopbackCA) -> dict[str, tuple[Leaf, Failure]]:
    return {
        "unknown authority": (other.leaf(NAME), Failure.SSL_UNKNOWN_AUTHORITY),
        "unknown and expired": (other.expired(NAME), Failure.SSL_UNKNOWN_AUTHORITY),
        "expired": (ca.expired(NAME), Failure.SSL_INVALID_CERTIFICATE),
        "not yet valid": (ca.not_yet(NAME), Failure.SSL_INVALID_CERTIFICATE),
        "expired, other name": (ca.expired("else.test"), Failure.SSL_INVALID_CERTIFICATE),
        "other name": (ca.leaf("else.test"), Failure.SSL_INVALID_HOSTNAME),
    }


@pytest.mark.parametrize(
    "case",
    [
        "unknown authority",
        "unknown and expired",
        "expired",
        "not yet valid",
        "expired, other name",
        "other name",
    ],
)
async def test_wrong_certificate_is_kept(
    opening: Opening, ca: LoopbackCA, tmp_path_factory: pytest.TempPathFactory, case: str
) -> None:
    leaf, failure = wrong(ca, LoopbackCA(tmp_path_factory.mktemp("other")))[case]
    with tls_server(leaf) as port:
        net, _ = opening()
        seen, stream = await shake(net, port)
    assert stream is None
    assert seen.observation.failure is failure
    facts = tls_of(seen)
    assert len(facts.chain) == 1
    assert facts.version == "TLSv1.3"
    assert facts.chain[0].not_after_s > 0


async def test_shipped_set_stands_in_place_of_the_public_roots(opening: Opening, web: int) -> None:
    net, _ = opening(ca_file="")
    seen, _ = await shake(net, web, trust="signal")
    assert seen.observation.failure is Failure.SSL_UNKNOWN_AUTHORITY


async def test_config_ca_file_adds_to_a_shipped_set(opening: Opening, web: int) -> None:
    net, _ = opening()
    seen, stream = await shake(net, web, trust="signal")
    assert stream is not None
    stream.close()
    assert seen.ok


async def test_unknown_trust_is_no_observation(opening: Opening, web: int) -> None:
    net, trace = opening()
    _, stream = await net.connect("127.0.0.1", web)
    assert stream is not None
    with pytest.raises(ValueError, match="the sets are: signal"):
        await net.handshake(stream, NAME, trust="nosuch")
    stream.close()
    assert len(trace.observations) == 1
