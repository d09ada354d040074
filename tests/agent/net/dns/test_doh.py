"""DNS over HTTPS: one observation however many steps it took."""

from collections.abc import Callable
from pathlib import Path

import dns.rcode
import pytest

from heliograph.failure import Failure
from heliograph_agent.net.system_net import RealNet
from heliograph_agent.net.trace import Trace
from support.dns_server import answer
from support.doh_server import doh_server
from support.loopback_ca import LoopbackCA
from support.tcp_server import reset_after_first_bytes, tcp_server

Opening = Callable[..., tuple[RealNet, Trace]]
NAME = "www.example.test"


def truth(query: bytes) -> bytes:
    assert query[:2] == b"\0\0"  # so that HTTP caches can work
    return answer(query, f"{NAME}. 60 IN A 192.0.2.1")


async def test_by_address(opening: Opening, ca: LoopbackCA) -> None:
    with doh_server(ca.leaf("127.0.0.1"), truth) as port:
        net, trace = opening()
        url = f"https://127.0.0.1:{port}/dns-query"
        seen = await net.resolve(NAME, engine="doh", resolver=url)
    assert len(trace.observations) == 1
    facts = seen.observation.dns
    assert facts is not None
    assert (facts.engine, facts.resolver, facts.addresses) == ("doh", url, ("192.0.2.1",))
    assert trace.bytes_moved > 1000


async def test_by_name_through_the_system(opening: Opening, ca: LoopbackCA, tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("127.0.0.1 doh.example.test\n")
    with doh_server(ca.leaf("doh.example.test"), truth) as port:
        net, trace = opening(doh=(f"https://doh.example.test:{port}/dns-query",))
        seen = await net.resolve(NAME, engine="doh")
    assert seen.ok
    assert len(trace.observations) == 1


async def test_name_of_the_server_unknown(opening: Opening) -> None:
    net, trace = opening()
    seen = await net.resolve(NAME, engine="doh", resolver="https://doh.test/dns-query")
    assert seen.observation.failure is Failure.DNS_NO_RESOLVER
    assert len(trace.observations) == 1


async def test_rcode(opening: Opening, ca: LoopbackCA) -> None:
    def script(query: bytes) -> bytes:
        return answer(query, rcode=dns.rcode.NXDOMAIN)

    with doh_server(ca.leaf("127.0.0.1"), script) as port:
        net, _ = opening()
        seen = await net.resolve(NAME, engine="doh", resolver=f"https://127.0.0.1:{port}/dns-query")
    assert seen.observation.failure is Failure.DNS_NXDOMAIN_ERROR


@pytest.mark.parametrize("status", [403, 503])
async def test_http_error(opening: Opening, ca: LoopbackCA, status: int) -> None:
    with doh_server(ca.leaf("127.0.0.1"), truth, status=status) as port:
        net, _ = opening()
        seen = await net.resolve(NAME, engine="doh", resolver=f"https://127.0.0.1:{port}/dns-query")
    assert seen.observation.failure is Failure.DNS_SERVER_MISBEHAVING


async def test_stranger_answers_in_its_place(opening: Opening, ca: LoopbackCA) -> None:
    with doh_server(ca.leaf("127.0.0.1"), truth) as port:
        net, _ = opening(ca_file="")
        seen = await net.resolve(NAME, engine="doh", resolver=f"https://127.0.0.1:{port}/dns-query")
    assert seen.observation.failure is Failure.SSL_UNKNOWN_AUTHORITY


async def test_reset(opening: Opening) -> None:
    with tcp_server(reset_after_first_bytes) as port:
        net, _ = opening()
        seen = await net.resolve(NAME, engine="doh", resolver=f"https://127.0.0.1:{port}/dns-query")
    assert seen.observation.failure is Failure.CONNECTION_RESET


async def test_url_must_be_https(opening: Opening) -> None:
    net, trace = opening()
    with pytest.raises(ValueError, match="https URL"):
        await net.resolve(NAME, engine="doh", resolver="http://127.0.0.1/dns-query")
    assert trace.observations == []
