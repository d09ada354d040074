"""DNS over TLS: one observation, and the certificate is the resolver's own."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from heliograph.failure import Failure
from heliograph_agent.net.system_net import RealNet
from heliograph_agent.net.trace import Trace
from support.dns_server import answer
from support.loopback_ca import LoopbackCA
from support.tcp_server import Handler, reset_after_first_bytes, say_nothing, tcp_server
from support.tls_server import tls_server

Opening = Callable[..., tuple[RealNet, Trace]]
NAME = "www.example.test"


def replying(alter: Callable[[bytes], bytes] = lambda message: message) -> Handler:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        query = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
        message = alter(answer(query, f"{NAME}. 60 IN A 192.0.2.1"))
        writer.write(len(message).to_bytes(2, "big") + message)
        await writer.drain()

    return handler


async def failure_of(opening: Opening, resolver: str, **settings: object) -> Failure | None:
    net, trace = opening(**settings)
    seen = await net.resolve(NAME, engine="dot", resolver=resolver)
    assert len(trace.observations) == 1
    return seen.observation.failure


async def test_by_address(opening: Opening, ca: LoopbackCA) -> None:
    with tls_server(ca.leaf("127.0.0.1"), replying()) as port:
        net, trace = opening()
        seen = await net.resolve(NAME, engine="dot", resolver=f"127.0.0.1:{port}")
    assert len(trace.observations) == 1
    facts = seen.observation.dns
    assert facts is not None
    assert (facts.engine, facts.resolver) == ("dot", f"127.0.0.1:{port}")
    assert facts.addresses == ("192.0.2.1",)
    assert trace.bytes_moved > 1000


async def test_by_name(opening: Opening, ca: LoopbackCA, tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("127.0.0.1 dot.example.test\n")
    with tls_server(ca.leaf("dot.example.test"), replying()) as port:
        assert await failure_of(opening, f"dot.example.test:{port}") is None


async def test_certificate_of_another(opening: Opening, ca: LoopbackCA) -> None:
    with tls_server(ca.leaf("dot.example.test"), replying()) as port:
        failure = await failure_of(opening, f"127.0.0.1:{port}")
    assert failure is Failure.SSL_INVALID_HOSTNAME


async def test_stranger_answers_in_its_place(opening: Opening, ca: LoopbackCA) -> None:
    with tls_server(ca.leaf("127.0.0.1"), replying()) as port:
        failure = await failure_of(opening, f"127.0.0.1:{port}", ca_file="")
    assert failure is Failure.SSL_UNKNOWN_AUTHORITY


async def test_no_answer_to_our_question(opening: Opening, ca: LoopbackCA) -> None:
    with tls_server(ca.leaf("127.0.0.1"), replying(lambda message: b"noise")) as port:
        failure = await failure_of(opening, f"127.0.0.1:{port}")
    assert failure is Failure.DNS_SERVER_MISBEHAVING


async def test_reset_and_silence(opening: Opening) -> None:
    with tcp_server(reset_after_first_bytes) as port:
        assert await failure_of(opening, f"127.0.0.1:{port}") is Failure.CONNECTION_RESET
    with tcp_server(say_nothing) as port:
        failure = await failure_of(opening, f"127.0.0.1:{port}", resolve_s=0.3)
    assert failure is Failure.GENERIC_TIMEOUT_ERROR


@pytest.mark.parametrize("resolver", ["", "dns.example.test", "dns.example.test:0", "a b:853"])
async def test_resolver_must_have_a_port(opening: Opening, resolver: str) -> None:
    net, trace = opening()
    with pytest.raises(ValueError, match="resolver: "):
        await net.resolve(NAME, engine="dot", resolver=resolver)
    assert trace.observations == []
