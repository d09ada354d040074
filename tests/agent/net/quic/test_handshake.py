"""QUIC handshakes and HTTP/3 with a real server, and with broken ones."""

import hashlib
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import aioquic
import pytest

from heliograph.failure import Failure, Operation
from heliograph.observation import Http, Tls, Udp
from heliograph_agent.net import QuicConnection, StepResult
from heliograph_agent.net.quic.connection import SystemQuicConnection
from heliograph_agent.net.system_net import SystemNet
from support import quic_server as servers
from support.loopback_ca import Leaf, LoopbackCA
from support.net_fixtures import Opening
from support.ports import free_port
from support.quic_server import Behaviour, initial, page, quic_server, version_negotiation
from support.udp_server import Script, udp_server
from support.values import present

NAME = "www.example.test"


async def shake(
    net: SystemNet, port: int, name: str = NAME, host: str = "127.0.0.1", trust: str = ""
) -> tuple[StepResult, QuicConnection | None]:
    return await net.quic(host, port, name, trust=trust, endpoint="web")


LIBRARY = f"aioquic {aioquic.__version__}"


def tls_of(seen: StepResult) -> Tls:
    assert seen.observation.operation is Operation.QUIC_HANDSHAKE
    return present(seen.observation.tls)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_success_names_version_cipher_and_chain(
    opening: Opening, ca: LoopbackCA, host: str
) -> None:
    with quic_server(ca.through_intermediate(NAME), host=host) as port:
        net, trace = opening()
        seen, connection = await shake(net, port, host=host)
        present(connection).close()
    facts = tls_of(seen)
    assert seen.is_success
    assert seen.observation.udp == Udp(address=host, port=port)
    assert (facts.server_name, facts.version, facts.alpn) == (NAME, "TLSv1.3", "h3")
    assert facts.cipher in ("TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256")
    assert len(facts.chain) == 2
    assert trace.bytes_moved > 2_400  # two padded datagrams are the least


@pytest.mark.parametrize(
    ("leaf", "failure"),
    [
        (lambda ca, _: ca.expired(NAME), Failure.SSL_INVALID_CERTIFICATE),
        (lambda ca, _: ca.leaf("other.example.test"), Failure.SSL_INVALID_HOSTNAME),
        (lambda _, stranger: stranger.leaf(NAME), Failure.SSL_UNKNOWN_AUTHORITY),
    ],
    ids=["expired", "wrong name", "unknown CA"],
)
async def test_a_chain_that_proves_nothing_is_kept(
    opening: Opening,
    ca: LoopbackCA,
    tmp_path: Path,
    leaf: Callable[[LoopbackCA, LoopbackCA], Leaf],
    failure: Failure,
) -> None:
    with quic_server(leaf(ca, LoopbackCA(tmp_path / "stranger"))) as port:
        net, _ = opening()
        seen, connection = await shake(net, port)
        believed, believing = await shake(net, port, trust="any")
    assert connection is None
    assert seen.observation.failure is failure
    assert len(tls_of(seen).chain) == 1
    assert believed.is_success
    assert tls_of(believed).chain == tls_of(seen).chain
    present(believing).close()


async def test_a_closed_port_refuses(opening: Opening) -> None:
    net, _ = opening()
    seen, connection = await shake(net, free_port())
    assert (seen.observation.failure, connection) == (Failure.CONNECTION_REFUSED, None)
    assert tls_of(seen) == Tls(server_name=NAME, library=LIBRARY)


async def test_an_alert_of_the_peer_is_kept(opening: Opening, ca: LoopbackCA) -> None:
    with quic_server(ca.leaf(NAME), alpn=["doq"]) as port:
        net, _ = opening()
        seen, _ = await shake(net, port)
    assert seen.observation.failure is Failure.SSL_FAILED_HANDSHAKE
    assert tls_of(seen).alert == 120  # no_application_protocol


@pytest.mark.parametrize(
    ("behaviour", "failure", "alert"),
    [
        (lambda _: [], Failure.GENERIC_TIMEOUT_ERROR, None),
        (lambda _: [b"garbage" * 200], Failure.GENERIC_TIMEOUT_ERROR, None),
        (lambda _: [b"\xc0\x00\x00\x00\x01\xff" * 9], Failure.GENERIC_TIMEOUT_ERROR, None),
        (version_negotiation(0x6B3343CF, 0x0A0A0A0A), Failure.QUIC_INCOMPATIBLE_VERSION, None),
        # A version negotiation with our version in it is a forgery.
        (version_negotiation(1), Failure.GENERIC_TIMEOUT_ERROR, None),
        # CONNECTION_CLOSE and its code
        (initial(b"\x1c\x02\x00\x00"), Failure.CONNECTION_REFUSED, None),
        (initial(b"\x1c\x00\x00\x00"), Failure.EOF_ERROR, None),
        (initial(b"\x1c\x41\x28\x06\x00"), Failure.SSL_FAILED_HANDSHAKE, 40),
        (initial(b"\x3f" * 40), Failure.UNEXPECTED_REPLY, None),  # no such frame
        (initial(b"\x06\x00\x06\x02\x00\x00\x02ab"), Failure.SSL_FAILED_HANDSHAKE, None),
    ],
)
async def test_a_first_packet_that_is_no_answer(
    opening: Opening, behaviour: Script, failure: Failure, alert: int | None
) -> None:
    settings = {"quic_s": 0.3} if failure is Failure.GENERIC_TIMEOUT_ERROR else {}
    with udp_server(behaviour) as port:
        seen, _ = await shake(opening(**settings)[0], port)
    assert seen.observation.failure is failure
    assert tls_of(seen) == Tls(server_name=NAME, alert=alert, library=LIBRARY)


async def got(
    opening: Opening, ca: LoopbackCA, behaviour: Behaviour, limit: int = 1000, **settings: object
) -> tuple[list[tuple[Operation, Failure | None, int | None]], Http]:
    with quic_server(ca.leaf(NAME), behaviour) as port:
        net, trace = opening(**settings)
        _, connection = await shake(net, port)
        seen = await net.http3(present(connection), f"https://{NAME}:{port}/", body_limit=limit)
    assert seen.observation.http is not None
    assert {each.endpoint for each in trace.observations} == {"web"}
    steps = [(each.operation, each.failure, each.parent) for each in trace.observations[1:]]
    return steps, seen.observation.http


async def test_a_page(opening: Opening, ca: LoopbackCA) -> None:
    headers = (b"server", b"quiet"), (b"content-type", b"text/html"), (b"x-secret", b"192.0.2.1")
    steps, http = await got(opening, ca, page(b"<title>It works</title>", *headers))
    assert steps == [(Operation.HTTP_ROUND_TRIP, None, 0), (Operation.READ_BODY, None, 1)]
    assert (http.status, http.title, http.server, http.version) == (200, "It works", "quiet", "3")
    assert http.header_names == ("content-type", "server", "x-secret")
    assert (http.body_bytes, http.truncated) == (23, False)
    assert http.body_sha256 == hashlib.sha256(b"<title>It works</title>").hexdigest()


async def test_a_long_page_is_cut(opening: Opening, ca: LoopbackCA) -> None:
    steps, http = await got(opening, ca, page(b"x" * 3_000_000), limit=1_500_000)
    assert steps[-1][1] is None
    assert (http.body_bytes, http.truncated) == (1_500_000, True)


async def test_a_redirect_is_not_followed(opening: Opening, ca: LoopbackCA) -> None:
    moved = page(b"", (b"location", b"/there"), status=b"301")
    _, http = await got(opening, ca, moved)
    assert (http.status, http.location, http.body_bytes) == (301, "/there", 0)


@pytest.mark.parametrize(
    ("behaviour", "failures"),
    [
        (servers.reset, [Failure.CONNECTION_RESET]),
        (servers.leave, [Failure.EOF_ERROR]),
        (servers.no_http, [Failure.HTTP_REQUEST_FAILED]),
        (servers.nothing, [Failure.GENERIC_TIMEOUT_ERROR]),
        (servers.half_a_page, [None, Failure.HTTP_TRUNCATED_BODY]),
        (page(end=False), [None, Failure.GENERIC_TIMEOUT_ERROR]),
    ],
    ids=["reset", "left", "no HTTP", "silence", "half", "stalled"],
)
async def test_a_reply_that_is_none(
    opening: Opening, ca: LoopbackCA, behaviour: Behaviour, failures: Sequence[Failure | None]
) -> None:
    steps, http = await got(opening, ca, behaviour, http_s=0.5, body_s=0.5)
    assert [failure for _, failure, _ in steps] == failures
    assert http.version == ("3" if len(failures) == 2 else "")


@pytest.mark.parametrize(
    "behaviour", [servers.claim_windows, servers.endless_head, servers.small_bomb]
)
async def test_a_server_cannot_fill_the_memory(
    opening: Opening, ca: LoopbackCA, behaviour: Behaviour
) -> None:
    """A server cannot fill the memory.

    Each behavior made hundreds of megabytes of a few packets; now the step ends early.
    """
    with quic_server(ca.leaf(NAME), behaviour) as port:
        net, _ = opening(http_s=120)
        _, connection = await shake(net, port)
        seen = await net.http3(present(connection), f"https://{NAME}:{port}/")
    assert seen.observation.failure is Failure.HTTP_REQUEST_FAILED
    assert isinstance(connection, SystemQuicConnection)
    buffers = connection.transport.connection._streams.values()
    assert sum(len(stream.receiver._buffer) for stream in buffers) <= 10_000_000


async def test_names_of_headers_are_as_short_as_the_contract_wants(
    opening: Opening, ca: LoopbackCA
) -> None:
    _, http = await got(opening, ca, servers.long_names)
    assert http.header_names == ("x" * 128,)


async def test_what_cannot_be_asked_for(opening: Opening, ca: LoopbackCA) -> None:
    with quic_server(ca.leaf(NAME)) as port:
        net, trace = opening()
        _, connection = await shake(net, port)
        assert connection is not None
        with pytest.raises(ValueError, match="no https URL"):
            await net.http3(connection, f"http://{NAME}/")
    assert len(trace.observations) == 1


def test_without_aioquic_the_cure_is_named(tmp_path: Path) -> None:
    (tmp_path / "aioquic").mkdir()
    (tmp_path / "aioquic" / "__init__.py").write_text("raise ImportError('not here')")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from heliograph_agent.net.quic.connection import require_aioquic\n"
        "require_aioquic()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "ValueError: QUIC needs aioquic: run pip install '.[quic]'" in done.stderr
