"""The udp and tcp engines against a name server that lies, stutters or is silent."""

import dns.message
import dns.rcode
import pytest

from heliograph.failure import Failure
from support.dns_server import answer, dns_server, with_other_id
from support.net_fixtures import Opening
from support.udp_server import Script
from support.values import present

NAME = "www.example.test"
TRUTH = f"{NAME}. 60 IN A 192.0.2.1"


def other_question(query: bytes) -> bytes:
    asked = dns.message.from_wire(query)
    other = dns.message.make_query("else.test", "A", id=asked.id)
    return answer(other.to_wire(), "else.test. 60 IN A 192.0.2.66")


def twice(record: str) -> Script:
    return lambda query: [answer(query, record)] * 2


async def failure_of(opening: Opening, script: Script, engine: str) -> Failure | None:
    """Return a query's failure; without a reply the whole limit is waited for."""
    with dns_server(script) as server:
        net, trace = opening(dns_s=2.0)
        seen = await net.resolve(NAME, engine=engine, resolver=server.address)
    assert len(trace.observations) == 1
    return seen.observation.failure


@pytest.mark.parametrize("engine", ["udp", "tcp"])
async def test_answer(opening: Opening, engine: str) -> None:
    with dns_server(lambda query: [answer(query, TRUTH)]) as server:
        net, trace = opening()
        seen = await net.resolve(NAME, engine=engine, resolver=server.address)
    facts = present(seen.observation.dns)
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
    assert present(seen.observation.dns).addresses == ("192.0.2.1",)


@pytest.mark.parametrize(
    ("engine", "script", "failure"),
    [
        ("udp", lambda query: [with_other_id(answer(query, TRUTH))],
         Failure.DNS_REPLY_WITH_WRONG_QUERY_ID),
        ("udp", lambda _: [b"noise"], Failure.DNS_SERVER_MISBEHAVING),
        ("udp", lambda _: [b"noise"] * 5000, Failure.DNS_SERVER_MISBEHAVING),
        ("udp", lambda _: [], Failure.GENERIC_TIMEOUT_ERROR),
        ("udp", lambda query: [answer(query, rcode=dns.rcode.NOTIMP)],
         Failure.DNS_SERVER_MISBEHAVING),
        # A record for another name, thrown in beside none for ours.
        ("udp", lambda query: [answer(query, "else.test. 60 IN A 192.0.2.66")],
         Failure.DNS_NO_ANSWER),
        ("udp", lambda query: [answer(query, f"{NAME}. 60 IN CNAME a.test.",
                                      f"a.test. 60 IN CNAME {NAME}.")], Failure.DNS_NO_ANSWER),
        ("tcp", lambda query: [other_question(query)], Failure.DNS_SERVER_MISBEHAVING),
        ("tcp", lambda _: [], Failure.EOF_ERROR),
    ],
    ids=["other id", "noise", "flood of noise", "silence", "rcode", "other name", "alias loop",
         "tcp other question", "tcp hang-up"],
)  # fmt: skip
async def test_reply_decides_failure(
    opening: Opening, engine: str, script: Script, failure: Failure
) -> None:
    assert await failure_of(opening, script, engine) is failure


@pytest.mark.parametrize("resolver", ["", "dns.example.test:53", "127.0.0.1:0", "127.0.0.1:x"])
async def test_resolver_must_be_an_address(opening: Opening, resolver: str) -> None:
    net, trace = opening()
    with pytest.raises(ValueError, match="resolver: "):
        await net.resolve(NAME, engine="udp", resolver=resolver)
    assert trace.observations == []


async def test_engine_must_be_known(opening: Opening) -> None:
    net, _ = opening()
    with pytest.raises(ValueError, match="system, udp, tcp, dot, doh"):
        await net.resolve(NAME, engine="pigeon")


async def test_later_replies_are_kept_where_somebody_listens_on(opening: Opening) -> None:
    """Later replies are kept while the engine still listens.

    A forged answer comes before the true one; a blind forger's and a stranger's are no evidence.
    """
    forged, true = f"{NAME}. 60 IN A 192.0.2.66", TRUTH

    def script(query: bytes) -> list[bytes]:
        blind = with_other_id(answer(query, forged))
        real = answer(query, true)
        return [answer(query, forged), blind, other_question(query), b"noise", real, real]

    with dns_server(script) as server:
        net, _ = opening()
        seen = await net.resolve(NAME, engine="udp", resolver=server.address, linger_s=3)
        hasty = await net.resolve(NAME, engine="udp", resolver=server.address)
    facts, early = seen.observation.dns, hasty.observation.dns
    assert facts is not None
    assert early is not None
    assert facts.addresses == ("192.0.2.66",)
    assert [[a.data for a in reply.answers] for reply in facts.later] == [["192.0.2.1"]] * 2
    assert all(0 < reply.after_us < 3_000_000 for reply in facts.later)
    assert seen.observation.duration_us < 3_000_000  # the listening is no part of the lookup
    assert (early.addresses, early.later) == (facts.addresses, ())


async def test_flood_of_later_replies_is_bounded(opening: Opening) -> None:
    with dns_server(lambda query: [answer(query, TRUTH)] * 60) as server:
        net, _ = opening()
        seen = await net.resolve(NAME, engine="udp", resolver=server.address, linger_s=5)
    assert len(present(seen.observation.dns).later) == 16


async def test_the_address_of_the_asker_is_recorded_coarsely(opening: Opening) -> None:
    answers = {
        "A": f"{NAME}. 60 IN A 203.0.113.9",
        "AAAA": f"{NAME}. 60 IN AAAA 2001:db8:7:8::9",
        "TXT": f'{NAME}. 60 IN TXT "203.0.113.9"',
    }
    client = f'{NAME}. 60 IN TXT "edns0-client-subnet 198.51.100.7/32"'
    heard = []
    for query_type, record in (*answers.items(), ("TXT", client)):
        with dns_server(twice(record)) as server:
            net, _ = opening()
            seen = await net.resolve(
                NAME,
                query_type=query_type,
                engine="udp",
                resolver=server.address,
                linger_s=0.1,
                coarse=True,
            )
        assert seen.observation.dns is not None
        assert seen.observation.dns.later[0].answers == seen.observation.dns.answers
        heard += [a.data for a in seen.observation.dns.answers]
    assert heard[:3] == ["203.0.113.0/24", "2001:db8:7::/48", '"203.0.113.0/24"']
    assert "198.51" not in heard[3]
