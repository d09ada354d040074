"""path: each packet goes one router further, and an answer ends a trace."""

import pytest

from heliograph.failure import Failure
from heliograph.observation import Hop, Observation
from support.experiment_run import observed
from support.fake_net import World

HOST, NEUTRAL = "www.test", "www.example.com"
ROUTER = "time_exceeded"


def replies(name: str, sent: str, *words: str) -> dict[tuple[str, int], Hop | Failure]:
    """Return the answer to `name` at each distance; "" is silence."""
    return {
        (name, ttl): Hop(ttl=ttl, sent=sent, reply=word) if word else Failure.GENERIC_TIMEOUT_ERROR
        for ttl, word in enumerate(words, start=1)
    }


def world(*hops: dict[tuple[str, int], Hop | Failure]) -> World:
    return World(
        names={HOST: ("192.0.2.1",)}, hops={k: v for each in hops for k, v in each.items()}
    )


def traces(seen: list[Observation]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for observation in seen:
        if observation.hop:
            found.setdefault(observation.endpoint, []).append(observation.hop.reply)
    return found


SYN = replies("", "syn", ROUTER, ROUTER, ROUTER, "synack")
PASSES = replies(NEUTRAL, "client_hello", ROUTER, ROUTER, ROUTER, "server_hello")


async def test_a_forged_reset_ends_the_targets_trace_before_the_end_host() -> None:
    reset = replies(HOST, "client_hello", ROUTER, ROUTER, "rst")
    seen = await observed("path", HOST, world(SYN, PASSES, reset))
    assert traces(seen) == {
        "syn": [ROUTER, ROUTER, ROUTER, "synack"],
        "neutral": [ROUTER, ROUTER, ROUTER, "server_hello"],
        "target": [ROUTER, ROUTER, "rst"],
    }
    assert [o.hop.sent for o in seen if o.hop and o.hop.ttl == 1] == [
        "syn", "client_hello", "client_hello",
    ]  # fmt: skip


async def test_silence_ends_a_trace_and_one_quiet_router_does_not() -> None:
    quiet = replies(NEUTRAL, "client_hello", "", ROUTER, "", "server_hello")
    seen = await observed("path", HOST, world(SYN, quiet), {"silent": "2"})
    assert traces(seen)["neutral"] == ["", ROUTER, "", "server_hello"]
    assert traces(seen)["target"] == ["", ""]


@pytest.mark.parametrize("end", ["rst", "unreachable", ""])
async def test_where_nobody_accepts_no_hello_is_sent(end: str) -> None:
    seen = await observed("path", HOST, world(replies("", "syn", ROUTER, end)))
    assert set(traces(seen)) == {"syn"}


async def test_queries_are_traced_when_asked_for() -> None:
    answers = replies(NEUTRAL, "dns", ROUTER, ROUTER, "dns")
    forged = replies(HOST, "dns", ROUTER, "dns")
    seen = await observed("path", HOST, world(answers, forged), {"resolver": "192.0.2.53:53"})
    assert traces(seen)["neutral"] == [ROUTER, ROUTER, "dns"]
    assert traces(seen)["target"] == [ROUTER, "dns"]
    assert all(o.udp and o.udp.port == 53 for o in seen if o.endpoint in ("neutral", "target"))


async def test_packets_and_time_are_bounded() -> None:
    endless = replies("", "syn", *[ROUTER] * 64)
    assert len(traces(await observed("path", HOST, world(endless)))["syn"]) == 24
    slow = await observed("path", HOST, world(endless), {"hops": "64", "seconds": "5"})
    assert 0 < len(traces(slow)["syn"]) <= 64


async def test_an_address_is_traced_without_a_name_unless_one_is_given() -> None:
    hops = replies("", "client_hello", ROUTER, ROUTER, ROUTER, "synack")
    seen = await observed("path", "192.0.2.1:8443", world(hops, PASSES), {"name": NEUTRAL})
    assert traces(seen)["target"][-1] == "server_hello"
    assert {o.tcp.port for o in seen if o.tcp} == {8443}


async def test_an_address_of_either_family_is_traced_and_ipv4_goes_first() -> None:
    both = world(SYN)
    both.names[HOST] = ("2001:db8::1", "192.0.2.1")
    assert {o.tcp.address for o in await observed("path", HOST, both) if o.tcp} == {"192.0.2.1"}
    seen = await observed("path", "2001:db8::1", world(SYN))
    assert {o.tcp.address for o in seen if o.tcp} == {"2001:db8::1"}
