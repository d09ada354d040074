"""The udp and tcp engines against a name server that lies, stutters or keeps silent."""

from collections.abc import Callable

import dns.message
import dns.rcode
import pytest

from heliograph.failure import Failure
from heliograph_agent.net.real import RealNet
from heliograph_agent.net.trace import Trace
from support.dns_server import Script, answer, dns_server, with_other_id

Opening = Callable[..., tuple[RealNet, Trace]]
NAME = "www.example.test"
TRUTH = f"{NAME}. 60 IN A 192.0.2.1"


def other_question(query: bytes) -> bytes:
    asked = dns.message.from_wire(query)
    other = dns.message.make_query("else.test", "A", id=asked.id)
    return answer(other.to_wire(), "else.test. 60 IN A 192.0.2.66")


async def failure_of(opening: Opening, script: Script, engine: str = "udp") -> Failure | None:
    with dns_server(script) as server:
        net, trace = opening(dns_s=0.3)
        seen = await net.resolve(NAME, engine=engine, resolver=server.address)
    assert len(trace.observations) == 1
    return seen.observation.failure


@pytest.mark.parametrize("engine", ["udp", "tcp"])
async def test_answer(opening: Opening, engine: str) -> None:
    with dns_server(lambda query: [answer(query, TRUTH)]) as server:
        net, trace = opening()
        seen = await net.resolve(NAME, engine=engine, resolver=server.address)
    facts = seen.observation.dns
    assert facts is not None
    assert (facts.engine, facts.resolver) == (engine, server.address)
    assert facts.addresses == ("192.0.2.1",)
    assert trace.bytes_moved > 50


async def test_forgeries_are_passed_over_for_the_true_reply(opening: Opening) -> None:
    def script(query: bytes) -> list[bytes]:
        forged = with_other_id(answer(query, f"{NAME}. 60 IN A 192.0.2.66"))
        return [forged, b"noise", other_question(query), query, answer(query, TRUTH)]

    with dns_server(script) as server:
        net, _ = opening()
        seen = await net.resolve(NAME, engine="udp", resolver=server.address)
    assert seen.observation.dns is not None
    assert seen.observation.dns.addresses == ("192.0.2.1",)


async def test_only_forgeries(opening: Opening) -> None:
    forged = await failure_of(opening, lambda query: [with_other_id(answer(query, TRUTH))])
    assert forged is Failure.DNS_REPLY_WITH_WRONG_QUERY_ID
    noise = await failure_of(opening, lambda _: [b"noise"])
    assert noise is Failure.DNS_SERVER_MISBEHAVING


async def test_flood_of_forgeries_is_bounded(opening: Opening) -> None:
    failure = await failure_of(opening, lambda _: [b"noise"] * 5000)
    assert failure is Failure.DNS_SERVER_MISBEHAVING


async def test_silence(opening: Opening) -> None:
    assert await failure_of(opening, lambda _: []) is Failure.GENERIC_TIMEOUT_ERROR


async def test_tcp_server_answers_another_question(opening: Opening) -> None:
    failure = await failure_of(opening, lambda query: [other_question(query)], "tcp")
    assert failure is Failure.DNS_SERVER_MISBEHAVING


async def test_tcp_server_hangs_up(opening: Opening) -> None:
    assert await failure_of(opening, lambda _: [], "tcp") is Failure.EOF_ERROR


async def test_other_rcodes(opening: Opening) -> None:
    failure = await failure_of(opening, lambda query: [answer(query, rcode=dns.rcode.NOTIMP)])
    assert failure is Failure.DNS_SERVER_MISBEHAVING


async def test_answers_to_nobodys_question_do_not_count(opening: Opening) -> None:
    """A record for another name, thrown in beside none for ours."""
    failure = await failure_of(
        opening, lambda query: [answer(query, "else.test. 60 IN A 192.0.2.66")]
    )
    assert failure is Failure.DNS_NO_ANSWER


async def test_chain_of_aliases_that_loops_ends(opening: Opening) -> None:
    def script(query: bytes) -> list[bytes]:
        return [answer(query, f"{NAME}. 60 IN CNAME a.test.", f"a.test. 60 IN CNAME {NAME}.")]

    assert await failure_of(opening, script) is Failure.DNS_NO_ANSWER


@pytest.mark.parametrize("resolver", ["", "dns.example.test:53", "127.0.0.1:0", "127.0.0.1:x"])
async def test_resolver_must_be_an_address(opening: Opening, resolver: str) -> None:
    net, trace = opening()
    with pytest.raises(ValueError, match="resolver: "):
        await net.resolve(NAME, engine="udp", resolver=resolver)
    assert trace.observations == []


async def test_engine_must_be_known(opening: Opening) -> None:
    net, _ = opening()
    with pytest.raises(ValueError, match="system, udp, tcp, doh"):
        await net.resolve(NAME, engine="pigeon")
