"""DNS over TLS and HTTPS: one observation, with the resolver's own certificate."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import dns.message
import dns.rcode
import pytest

from heliograph.failure import Failure
from support.dns_server import answer, answer_stream, dns_server
from support.doh_server import doh_server, doh_server_over_http2
from support.loopback_ca import LoopbackCA
from support.net_fixtures import Opening
from support.ports import HOST
from support.tcp_server import Handler, reset_after_first_bytes, say_nothing, tcp_server
from support.tls_server import tls_server
from support.values import present

NAME = "www.example.test"
Reply = Callable[[bytes], bytes]
both_engines = pytest.mark.parametrize("engine", ["dot", "doh"])


def answer_truly(query: bytes) -> bytes:
    return answer(query, f"{NAME}. 60 IN A 192.0.2.1")


def answer_cacheable(query: bytes) -> bytes:
    assert query[:2] == b"\0\0"  # so that HTTP caches can work
    return answer_truly(query)


@contextmanager
def resolver(
    engine: str, ca: LoopbackCA, host: str = "127.0.0.1", reply: Reply = answer_truly
) -> Iterator[str]:
    """Run a resolver with a certificate for `host`; yield its address in a setting."""
    leaf, is_doh = ca.leaf(host), engine == "doh"
    with doh_server(leaf, reply) if is_doh else tls_server(leaf, answer_stream(reply)) as port:
        yield make_address(engine, port, host)


def make_address(engine: str, port: int, host: str = "127.0.0.1") -> str:
    return f"https://{host}:{port}/dns-query" if engine == "doh" else f"{host}:{port}"


async def failure_of(
    opening: Opening, engine: str, address: str, **settings: object
) -> Failure | None:
    net, trace = opening(**settings)
    result = await net.resolve(NAME, engine=engine, resolver=address)
    assert len(trace.observations) == 1
    return result.observation.failure


@both_engines
async def test_resolver_by_address(opening: Opening, ca: LoopbackCA, engine: str) -> None:
    reply = answer_cacheable if engine == "doh" else answer_truly
    with resolver(engine, ca, reply=reply) as address:
        net, trace = opening()
        result = await net.resolve(NAME, engine=engine, resolver=address)
    assert len(trace.observations) == 1
    facts = present(result.observation.dns)
    assert (facts.engine, facts.resolver, facts.addresses) == (engine, address, ("192.0.2.1",))
    assert trace.bytes_moved > 1000


@pytest.mark.parametrize(
    ("status", "failure"), [(200, None), (503, Failure.DNS_SERVER_MISBEHAVING)]
)
async def test_resolver_that_speaks_http_2_alone(
    opening: Opening, ca: LoopbackCA, status: int, failure: Failure | None
) -> None:
    with doh_server_over_http2(ca.leaf(HOST), answer_cacheable, status=status) as port:
        net, _ = opening()
        result = await net.resolve(NAME, engine="doh", resolver=make_address("doh", port))
    addresses = () if failure else ("192.0.2.1",)
    assert result.observation.failure is failure
    assert present(result.observation.dns).addresses == addresses


@both_engines
async def test_resolver_by_name(
    opening: Opening, ca: LoopbackCA, tmp_path: Path, engine: str
) -> None:
    (tmp_path / "hosts").write_text("127.0.0.1 dns.example.test\n")
    with resolver(engine, ca, "dns.example.test") as address:
        assert await failure_of(opening, engine, address) is None
        if engine == "doh":  # the configured one
            assert await failure_of(opening, engine, "", doh=(address,)) is None


async def test_doh_name_unknown_to_system(opening: Opening) -> None:
    failure = await failure_of(opening, "doh", "https://doh.test/dns-query")
    assert failure is Failure.DNS_NO_RESOLVER


@both_engines
@pytest.mark.parametrize("told", ["nxdomain", "servfail", "10.10.34.36", "127.0.0.1"])
async def test_what_is_told_of_the_resolver_is_no_answer(
    opening: Opening, engine: str, told: str
) -> None:
    """A failure to find the resolver is no answer to the query.

    A filter may deny or forge the name of an encrypted resolver too, and no server was asked.
    """
    host = "dns.example.test"
    rcode = {"nxdomain": dns.rcode.NXDOMAIN, "servfail": dns.rcode.SERVFAIL}

    def lie(query: bytes) -> list[bytes]:
        is_address = told not in rcode and dns.message.from_wire(query).question[0].rdtype == 1
        records = [f"{host}. 60 IN A {told}"] if is_address else []
        return [answer(query, *records, rcode=rcode.get(told, dns.rcode.NOERROR))]

    with dns_server(lie) as server:
        settings = {"resolver": server.address, "local_targets": False}
        failure = await failure_of(opening, engine, make_address(engine, 443, host), **settings)
    assert failure is Failure.DNS_SERVER_MISBEHAVING


@both_engines
async def test_certificate_of_unknown_authority_or_other_host(
    opening: Opening, ca: LoopbackCA, engine: str
) -> None:
    with resolver(engine, ca) as address:
        failure = await failure_of(opening, engine, address, ca_file="")
    assert failure is Failure.SSL_UNKNOWN_AUTHORITY
    with resolver(engine, ca, "dns.example.test") as address:
        failure = await failure_of(opening, engine, address.replace("dns.example.test", HOST))
    assert failure is Failure.SSL_INVALID_HOSTNAME


@pytest.mark.parametrize(
    ("engine", "reply", "failure"),
    [
        ("dot", lambda _: b"noise", Failure.DNS_SERVER_MISBEHAVING),
        ("doh", lambda query: answer(query, rcode=dns.rcode.NXDOMAIN), Failure.DNS_NXDOMAIN_ERROR),
    ],
)
async def test_reply_decides_failure(
    opening: Opening, ca: LoopbackCA, engine: str, reply: Reply, failure: Failure
) -> None:
    with resolver(engine, ca, reply=reply) as address:
        assert await failure_of(opening, engine, address) is failure


@pytest.mark.parametrize("status", [403, 503])
async def test_doh_http_error(opening: Opening, ca: LoopbackCA, status: int) -> None:
    with doh_server(ca.leaf("127.0.0.1"), answer_truly, status=status) as port:
        failure = await failure_of(opening, "doh", make_address("doh", port))
    assert failure is Failure.DNS_SERVER_MISBEHAVING


@both_engines
@pytest.mark.parametrize(
    ("handler", "failure"),
    [
        (reset_after_first_bytes, Failure.CONNECTION_RESET),
        (say_nothing, Failure.GENERIC_TIMEOUT_ERROR),
    ],
)
async def test_broken_connection(
    opening: Opening, engine: str, handler: Handler, failure: Failure
) -> None:
    with tcp_server(handler) as port:
        address = make_address(engine, port)
        resolve_s = 0.3 if failure is Failure.GENERIC_TIMEOUT_ERROR else 60.0
        assert await failure_of(opening, engine, address, resolve_s=resolve_s) is failure


@pytest.mark.parametrize(
    ("engine", "address", "sentence"),
    [
        ("doh", "http://127.0.0.1/dns-query", "https URL"),
        *(("dot", bad, "resolver: ") for bad in ("", "dns.example.test", "a.test:0", "a b:853")),
    ],
)
async def test_bad_address_is_no_observation(
    opening: Opening, engine: str, address: str, sentence: str
) -> None:
    net, trace = opening()
    with pytest.raises(ValueError, match=sentence):
        await net.resolve(NAME, engine=engine, resolver=address)
    assert trace.observations == []
