"""The system engine against a real unbound, and against servers that fail in turn."""

from collections.abc import Iterator
from pathlib import Path

import dns.rcode
import pytest

from heliograph.failure import Failure, Operation
from heliograph.observation import Dns
from heliograph_agent.net import StepResult
from heliograph_agent.net.dns import system_resolver
from support.dns_server import answer, dns_server, truncated
from support.net_fixtures import Opening
from support.ports import free_port
from support.unbound import Unbound, unbound
from support.values import present

ZONE = """
www 300 IN A 127.0.0.1
www 300 IN AAAA ::1
alias 60 IN CNAME www
text 60 IN TXT "hello"
""" + "\n".join(f"big IN A 192.0.2.{last}" for last in range(1, 120))


@pytest.fixture(scope="module")
def resolver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Unbound]:
    with unbound(tmp_path_factory.mktemp("unbound"), {"example.test": ZONE}) as running:
        yield running


def dns_of(seen: StepResult) -> Dns:
    assert seen.observation.operation is Operation.RESOLVE
    return present(seen.observation.dns)


async def test_name_gives_addresses_with_their_chain(opening: Opening, resolver: Unbound) -> None:
    net, trace = opening(resolver=resolver.address)
    seen = await net.resolve("alias.example.test", endpoint="web")
    dns = dns_of(seen)
    assert seen.is_success
    assert [(a.type, a.data) for a in dns.answers] == [
        ("CNAME", "www.example.test"),
        ("A", "127.0.0.1"),
    ]
    # The resolver counts down what it holds since another test asked.
    alias_s, address_s = (a.ttl_s for a in dns.answers)
    assert 0 < alias_s <= 60 < address_s <= 300
    assert (dns.engine, dns.resolver, dns.name, dns.rcode) == (
        "system",
        "",
        "alias.example.test",
        0,
    )
    assert trace.observations == [seen.observation]
    assert seen.observation.endpoint == "web"
    assert trace.bytes_moved > 60


async def test_ipv6_and_other_types(opening: Opening, resolver: Unbound) -> None:
    net, _ = opening(resolver=resolver.address)
    assert dns_of(await net.resolve("www.example.test", query_type="AAAA")).addresses == ("::1",)
    text = dns_of(await net.resolve("text.example.test", query_type="TXT"))
    assert [a.data for a in text.answers] == ['"hello"']
    alias = dns_of(await net.resolve("alias.example.test", query_type="CNAME"))
    assert [a.data for a in alias.answers] == ["www.example.test"]


async def test_reply_too_big_for_udp_is_asked_for_over_tcp(
    opening: Opening, resolver: Unbound
) -> None:
    net, trace = opening(resolver=resolver.address)
    seen = await net.resolve("big.example.test")
    assert len(dns_of(seen).addresses) == 64  # of 119: as many as a message may carry
    assert len(trace.observations) == 1


@pytest.mark.parametrize(
    ("name", "query_type", "failure", "rcode"),
    [
        ("nowhere.example.test", "A", Failure.DNS_NXDOMAIN_ERROR, 3),
        ("text.example.test", "A", Failure.DNS_NO_ANSWER, 0),
        ("www.refused.test", "A", Failure.DNS_REFUSED_ERROR, 5),
        ("www.servfail.test", "A", Failure.DNS_SERVFAIL_ERROR, 2),
        ("www.dropped.test", "A", Failure.GENERIC_TIMEOUT_ERROR, None),
    ],
)
async def test_failures(
    opening: Opening,
    resolver: Unbound,
    name: str,
    query_type: str,
    failure: Failure,
    rcode: int | None,
) -> None:
    net, _ = opening(resolver=resolver.address, dns_s=0.3)
    seen = await net.resolve(name, query_type=query_type)
    assert (seen.observation.failure, dns_of(seen).rcode) == (failure, rcode)
    assert dns_of(seen).answers == ()


async def test_whole_lookup_has_a_deadline(opening: Opening, resolver: Unbound) -> None:
    net, _ = opening(resolver=resolver.address, resolve_s=0.2)
    seen = await net.resolve("www.dropped.test")
    assert seen.observation.failure is Failure.GENERIC_TIMEOUT_ERROR
    assert 150_000 < seen.observation.duration_us < 5_000_000


async def test_resolver_that_is_absent_or_not_listening_is_named(opening: Opening) -> None:
    for settings, failure in (
        ({"resolver": f"127.0.0.1:{free_port()}"}, Failure.CONNECTION_REFUSED),
        ({}, Failure.DNS_NO_RESOLVER),
    ):
        seen = await opening(**settings)[0].resolve("www.example.test")
        assert seen.observation.failure is failure


@pytest.mark.parametrize("name", ["192.0.2.7", "2001:db8::7", "[2001:db8::7]"])
async def test_literal_is_its_own_answer(opening: Opening, name: str) -> None:
    net, trace = opening()
    assert dns_of(await net.resolve(name)).addresses == (name.strip("[]"),)
    assert trace.bytes_moved == 0


async def test_hosts_file_comes_first(opening: Opening, resolver: Unbound, tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("127.0.0.9 WWW.example.test www # mine\n")
    net, _ = opening(resolver=resolver.address)
    first = dns_of(await net.resolve("www.example.test"))
    assert (first.engine, first.addresses) == ("hosts", ("127.0.0.9",))
    other_family = dns_of(await net.resolve("www.example.test", query_type="AAAA"))
    assert (other_family.engine, other_family.addresses) == ("system", ("::1",))


async def test_search_path_is_walked_as_ndots_says(
    opening: Opening, resolver: Unbound, tmp_path: Path
) -> None:
    (tmp_path / "resolv.conf").write_text("search nowhere.test example.test\n")
    net, _ = opening(resolver=resolver.address)
    assert dns_of(await net.resolve("www")).addresses == ("127.0.0.1",)
    assert (await net.resolve("www.")).observation.failure is Failure.DNS_NXDOMAIN_ERROR


async def test_plain_name_first_when_it_has_dots_enough(opening: Opening, tmp_path: Path) -> None:
    (tmp_path / "resolv.conf").write_text("search corp.test\noptions ndots:2\n")

    def script(query: bytes) -> list[bytes]:
        return [answer(query, rcode=dns.rcode.NXDOMAIN)]

    with dns_server(script) as server:
        net, _ = opening(resolver=server.address)
        await net.resolve("a.b")
        await net.resolve("a.b.c")
        assert server.names == ["a.b.corp.test", "a.b", "a.b.c", "a.b.c.corp.test"]


async def test_next_server_is_asked_when_one_refuses(
    opening: Opening, resolver: Unbound, monkeypatch: pytest.MonkeyPatch
) -> None:
    """resolv.conf has no ports, so the servers are put in where it has been read."""
    dead = ("127.0.0.1", free_port())
    with dns_server(lambda query: [answer(query, rcode=dns.rcode.SERVFAIL)]) as failing:
        servers = (dead, ("127.0.0.1", failing.port), ("127.0.0.1", resolver.port))
        conf = system_resolver.ResolvConf(servers=servers)
        monkeypatch.setattr(system_resolver, "parse_resolv_conf", lambda *_, **__: conf)
        net, trace = opening()
        seen = await net.resolve("www.example.test")
    assert dns_of(seen).addresses == ("127.0.0.1",)
    assert len(failing.queries) == 1
    assert len(trace.observations) == 1


async def test_truncation_without_tcp_is_the_failure_of_tcp(opening: Opening) -> None:
    with dns_server(lambda query: [truncated(query)], tcp=lambda _: []) as server:
        net, _ = opening(resolver=server.address)
        seen = await net.resolve("www.example.test")
    assert seen.observation.failure is Failure.EOF_ERROR


@pytest.mark.parametrize("name", ["", "a..b", "x" * 64 + ".test"])
async def test_name_that_cannot_be_asked_for_is_no_observation(opening: Opening, name: str) -> None:
    net, trace = opening(resolver="127.0.0.1:1")
    with pytest.raises(ValueError, match="cannot be asked for"):
        await net.resolve(name)
    assert trace.observations == []


@pytest.mark.parametrize(
    ("servers", "is_public"),
    [
        (["5.9.0.53"], True),
        (["5.9.0.53", "9.9.9.9"], True),
        (["5.9.0.53", "192.168.1.1"], False),
        (["10.0.0.53"], False),
        (["127.0.0.53"], False),
        (["100.100.100.100"], False),
        (["2a02:8108::1"], False),
    ],
)
def test_resolver_of_a_home_or_an_office_is_not_called_public(
    servers: list[str], is_public: bool
) -> None:
    assert system_resolver.are_public([(server, 53) for server in servers]) is is_public
