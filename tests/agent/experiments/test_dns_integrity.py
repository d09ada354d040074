"""dns_integrity: every way is asked, replies from nowhere are kept, and real liars show."""

import dns.rcode
import pytest

from heliograph.failure import Failure
from heliograph.observation import DnsReply
from heliograph_agent.experiment import CannotRun
from support.dns_server import DnsServer, answer, dns_server
from support.experiment_run import observed
from support.fake_net import World
from support.real_run import Opening, really

NAME = "target.test"
NEUTRAL, WHOAMI = "www.example.com", "whoami.v4.powerdns.org"


async def test_every_way_has_its_label_and_what_it_is_held_against() -> None:
    world = World(names={NAME: ("192.0.2.1",), WHOAMI: ("203.0.113.77",)})
    seen = await observed("dns_integrity", NAME, world)
    asked = {o.endpoint: (o.dns.engine, o.dns.name, o.dns.resolver) for o in seen if o.dns}
    assert asked == {
        "system": ("system", NAME, ""),
        "udp": ("udp", NAME, "9.9.9.9:53"),
        "tcp": ("tcp", NAME, "9.9.9.9:53"),
        "dot": ("dot", NAME, "9.9.9.9:853"),
        "doh": ("doh", NAME, "https://cloudflare-dns.com/dns-query"),
        "nowhere": ("udp", NAME, "192.0.2.53:53"),
        "nowhere_neutral": ("udp", NEUTRAL, "192.0.2.53:53"),
        "neutral": ("system", NEUTRAL, ""),
        "whoami_system": ("system", WHOAMI, ""),
        "whoami_udp": ("udp", WHOAMI, "9.9.9.9:53"),
    }
    assert len(seen) == len(asked)


async def test_of_who_asks_only_the_network_is_kept() -> None:
    world = World(names={NAME: ("192.0.2.1",), WHOAMI: ("203.0.113.77",)})
    seen = await observed("dns_integrity", NAME, world)
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


async def test_both_families_are_asked_for_when_wanted() -> None:
    seen = await observed("dns_integrity", NAME, World(), {"types": "A,AAAA"})
    types = {(o.endpoint, o.dns.query_type) for o in seen if o.dns}
    assert {("udp", "A"), ("udp", "AAAA"), ("nowhere", "AAAA")} <= types


async def test_further_replies_are_kept() -> None:
    later = (DnsReply(after_us=900, rcode=0, answers=()),)
    seen = await observed("dns_integrity", NAME, World(later={NAME: later}))
    kept = {o.endpoint for o in seen if o.dns and o.dns.later == later}
    assert {"udp", "nowhere"} <= kept
    assert "system" not in kept


@pytest.mark.parametrize(
    ("target", "options", "words"),
    [
        ("192.0.2.1", {}, "the target cannot be '192.0.2.1'"),
        ("a..b", {}, "the target cannot be"),
        (NAME, {"neutral": "a b"}, "neutral cannot be 'a b'"),
        (NAME, {"whoami": "192.0.2.1"}, "whoami cannot be"),
    ],
)
async def test_what_is_no_name_is_said_so(target: str, options: dict[str, str], words: str) -> None:
    with pytest.raises(CannotRun, match=words):
        await observed("dns_integrity", target, World(), options)


async def test_a_real_injector_answers_even_where_nobody_serves(opening: Opening) -> None:
    """Nowhere is a port where a forger answers for one name and is silent for every other."""

    def honest(query: bytes) -> list[bytes]:
        name = "neutral.test" if b"neutral" in query else NAME
        return [answer(query, f"{name}. 60 IN A 192.0.2.1")]

    def forger(query: bytes) -> list[bytes]:
        return [answer(query, f"{NAME}. 60 IN A 10.10.34.35")] if b"target" in query else []

    def denier(query: bytes) -> list[bytes]:
        return [answer(query, rcode=dns.rcode.NXDOMAIN)]

    def asked(server: DnsServer, nowhere: DnsServer) -> dict[str, str]:
        return {
            "resolver": server.address,
            "nowhere": nowhere.address,
            "neutral": "neutral.test",
            "dot": "",
            "doh": "",
            "whoami": "",
            "linger_ms": "10",
        }

    with dns_server(honest) as good, dns_server(forger) as nowhere, dns_server(denier) as own:
        net = opening(resolver=own.address, dns_s=1.0, hosts_file="/nonexistent")
        seen = await really("dns_integrity", NAME, net, asked(good, nowhere))
    ends = {o.endpoint: o.failure for o in seen.observations}
    assert ends == {
        "system": Failure.DNS_NXDOMAIN_ERROR,
        "udp": None,
        "tcp": None,
        "nowhere": None,
        "nowhere_neutral": Failure.GENERIC_TIMEOUT_ERROR,
        "neutral": Failure.DNS_NXDOMAIN_ERROR,
    }
