"""dns_integrity: every way is asked, stray replies are kept, real liars show."""

from contextlib import ExitStack

import dns.message
import dns.rcode
import pytest

from heliograph.failure import Failure
from heliograph.observation import DnsReply, Measurement
from support.dns_server import answer, answer_stream, dns_server
from support.experiment_run import observed
from support.fake_net import World
from support.loopback_ca import LoopbackCA
from support.real_run import Opening, really, verdict
from support.tls_server import tls_server
from support.udp_server import Script

NAME = "target.test"
NEUTRAL, WHOAMI = "www.example.com", "whoami.v4.powerdns.org"


async def test_every_way_has_its_label_and_of_who_asks_only_the_network_is_kept() -> None:
    world = World(names={NAME: ("192.0.2.1",), WHOAMI: ("203.0.113.77",)})
    seen = await observed("dns_integrity", NAME, world)
    asked = {o.endpoint: (o.dns.engine, o.dns.name, o.dns.resolver) for o in seen if o.dns}
    assert asked == {
        "system": ("system", NAME, ""),
        "udp": ("udp", NAME, "9.9.9.10:53"),
        "tcp": ("tcp", NAME, "9.9.9.10:53"),
        "dot": ("dot", NAME, "9.9.9.10:853"),
        "doh": ("doh", NAME, "https://cloudflare-dns.com/dns-query"),
        "nowhere": ("udp", NAME, "192.0.2.53:53"),
        "nowhere_neutral": ("udp", NEUTRAL, "192.0.2.53:53"),
        "neutral": ("system", NEUTRAL, ""),
        "whoami_system": ("system", WHOAMI, ""),
        "whoami_udp": ("udp", WHOAMI, "9.9.9.10:53"),
    }
    assert len(seen) == len(asked)
    told = {o.endpoint: o.dns.answers[0].data for o in seen if o.dns and o.dns.answers}
    assert told["whoami_system"] == told["whoami_udp"] == "203.0.113.0/24"
    assert told["system"] == "192.0.2.1"


@pytest.mark.parametrize(
    ("option", "labels"),
    [
        ("resolver", {"udp", "tcp", "whoami_udp"}),
        ("dot", {"dot"}),
        ("doh", {"doh"}),
        ("nowhere", {"nowhere", "nowhere_neutral"}),
        ("neutral", {"neutral", "nowhere_neutral"}),
        ("whoami", {"whoami_system", "whoami_udp"}),
    ],
)
async def test_each_part_can_be_left_out(option: str, labels: set[str]) -> None:
    whole = {o.endpoint for o in await observed("dns_integrity", NAME, World())}
    less = {o.endpoint for o in await observed("dns_integrity", NAME, World(), {option: ""})}
    assert whole - less == labels


async def test_both_families_are_asked_for_when_wanted_and_further_replies_are_kept() -> None:
    later = (DnsReply(after_us=900, rcode=0, answers=()),)
    seen = await observed("dns_integrity", NAME, World(later={NAME: later}), {"types": "A,AAAA"})
    types = {(o.endpoint, o.dns.query_type) for o in seen if o.dns}
    assert {("udp", "A"), ("udp", "AAAA"), ("nowhere", "AAAA")} <= types
    kept = {o.endpoint for o in seen if o.dns and o.dns.later == later}
    assert {"udp", "nowhere"} <= kept
    assert "system" not in kept


TRUE, WHO = "45.90.2.10", "45.90.7.77"  # public ones: any other in an answer is a sign by itself


def honest(query: bytes) -> list[bytes]:
    name = dns.message.from_wire(query).question[0].name.to_text(omit_final_dot=True)
    return [answer(query, f"{name}. 60 IN A {WHO if name == 'whoami.test' else TRUE}")]


def forger(query: bytes) -> list[bytes]:
    return [answer(query, f"{NAME}. 60 IN A 10.10.34.35")] if b"target" in query else []


def injected(query: bytes) -> list[bytes]:
    """Return the forged reply before the true one."""
    return [*forger(query), *honest(query)]


def denier(query: bytes) -> list[bytes]:
    return [answer(query, rcode=dns.rcode.NXDOMAIN)] if b"target" in query else honest(query)


def silent(query: bytes) -> list[bytes]:
    del query
    return []


over_tls = answer_stream(lambda query: honest(query)[0])


@pytest.mark.parametrize(
    ("own", "public", "nowhere", "failed", "rule"),
    [
        (honest, honest, silent, {}, "dns_integrity.agree"),
        (honest, honest, forger, {}, "dns_integrity.nowhere"),
        (honest, injected, silent, {}, "dns_integrity.two_replies"),
        (denier, honest, silent, {"system": Failure.DNS_NXDOMAIN_ERROR},
         "dns_integrity.system_nxdomain"),
    ],
    ids=["nobody lies", "nowhere answers", "two replies", "the provider denies"],
)  # fmt: skip
async def test_real_lies_are_told_by_their_kind(
    opening: Opening,
    ca: LoopbackCA,
    own: Script,
    public: Script,
    nowhere: Script,
    failed: dict[str, Failure],
    rule: str,
) -> None:
    async def run(*scripts: Script) -> Measurement:
        with ExitStack() as servers:
            system, udp, empty = [
                servers.enter_context(dns_server(script, honest)) for script in scripts
            ]
            sealed = servers.enter_context(tls_server(ca.leaf("127.0.0.1"), over_tls))
            options = {
                "resolver": udp.address, "nowhere": empty.address, "dot": f"127.0.0.1:{sealed}",
                "doh": "", "neutral": "www.neutral.test", "whoami": "whoami.test",
                "linger_ms": "100",
            }  # fmt: skip
            net = opening(resolver=system.address, dns_s=3, hosts_file="/nonexistent")
            return await really("dns_integrity", NAME, net, options)

    here, control = await run(own, public, nowhere), await run(honest, honest, silent)
    ends = {o.endpoint: o.failure for o in here.observations if o.failure}
    unanswered = {"nowhere_neutral"} | ({"nowhere"} if nowhere is silent else set())
    assert ends == dict.fromkeys(unanswered, Failure.GENERIC_TIMEOUT_ERROR) | failed
    who = {o.dns.addresses for o in here.observations if o.dns and "whoami" in o.endpoint}
    assert who == {("45.90.7.0/24",)}
    assert verdict(here, control).rule == rule
