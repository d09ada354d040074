"""The order and time of transports: decisions without a clock and a network."""

import random
from dataclasses import replace

from heliograph.plan import Carrier, Entrance
from heliograph_agent.uplink.transports import (
    AFTER_DARK_S,
    FIRST_PROBE_S,
    JITTER,
    MAX_PROBE_S,
    ProxyUse,
    Transport,
    TransportSelector,
    list_transports,
)
from support.hand_clock import HandClock

HOST = "collector.example"
STREAM = Entrance(carrier=Carrier.STREAM, host=HOST, port=7443)
POST = Entrance(carrier=Carrier.POST, host=HOST, port=7444)
FRONT = Entrance(carrier=Carrier.POST, host="192.0.2.1", port=443, server_name="www.example.net")
OTHER = Entrance(carrier=Carrier.STREAM, host="other.example", port=7443)
LISTED = (OTHER, FRONT, POST, STREAM)
TRANSPORTS = list_transports(f"{HOST}:7443", (STREAM, POST, FRONT), ProxyUse.LAST)


def entrances(transports: tuple[Transport, ...]) -> list[tuple[Entrance, bool]]:
    return [(transport.entrance, transport.is_proxied) for transport in transports]


def test_session_first_then_post_then_as_listed() -> None:
    transports = list_transports(f"{HOST}:7443", LISTED, None)
    assert [transport.entrance for transport in transports] == [STREAM, FRONT, OTHER, POST]


def test_without_entrances_only_joined_endpoint() -> None:
    assert entrances(list_transports(f"{HOST}:7443", (), None)) == [(STREAM, False)]
    (six,) = list_transports("[2001:db8::1]:7443", (), None)
    assert six.name == "stream://[2001:db8::1]:7443"


def test_proxy_last_or_always() -> None:
    last = entrances(list_transports(f"{HOST}:7443", (POST,), ProxyUse.LAST))
    assert last == [(STREAM, False), (POST, False), (STREAM, True), (POST, True)]
    assert entrances(list_transports(f"{HOST}:7443", (POST,), ProxyUse.ALWAYS)) == last[2:]


def test_the_hello_names_the_address_that_was_dialed() -> None:
    """The collector derives the same from its own list: the value is a promise to it."""
    assert f"{STREAM.tag:08x}" == "bb79a2a7"
    assert Transport(STREAM).tag == replace(STREAM, host=HOST.upper(), server_name="x.example").tag
    assert len({STREAM.tag, POST.tag, FRONT.tag, OTHER.tag}) == 4
    assert Transport(STREAM, is_proxied=True).tag == 0, "the proxy is another way"


def test_transport_names_are_unique() -> None:
    assert len({transport.name for transport in TRANSPORTS}) == len(TRANSPORTS) == 6
    assert (
        Transport(FRONT, is_proxied=True).name == "post://192.0.2.1:443 as www.example.net by proxy"
    )


class SelectorRun:
    """A selector with its own time."""

    def __init__(self, preferred: str = "", probes: int = 0) -> None:
        self.clock = HandClock()
        self.selector = TransportSelector(self.clock, random.Random(7), preferred, probes)

    def next(self) -> int:
        return TRANSPORTS.index(self.selector.select_next(TRANSPORTS))

    def fail(self) -> bool:
        return self.selector.record_failure(TRANSPORTS[self.next()])

    def deliver(self) -> bool:
        return self.selector.record_delivery(TRANSPORTS[self.next()], TRANSPORTS)

    def wait_for_probe(self) -> float:
        waited_s = self.selector.probe_in_s()
        assert waited_s is not None
        self.clock.advance_us(int(waited_s * 1e6) + 1_000)
        return waited_s


def test_pass_tries_each_transport_once() -> None:
    run = SelectorRun()
    tried = []
    for _ in TRANSPORTS:
        tried.append(run.next())
        rested = run.fail()
    assert (tried, rested) == ([0, 1, 2, 3, 4, 5], True)
    assert run.next() == 0


def test_delivering_transport_is_preferred() -> None:
    run = SelectorRun()
    run.fail()
    assert run.deliver(), "it is news"
    assert not run.deliver()
    run.fail()
    assert run.next() == 0, "and the others still follow, best first"


def test_probes_of_better_transports_get_rarer() -> None:
    run = SelectorRun()
    run.fail()
    run.deliver()
    waits = []
    for _ in range(12):
        waits.append(run.wait_for_probe())
        assert run.next() == 0, "the better one, though another is good"
        run.fail()
        assert run.selector.probes == len(waits)
        assert run.next() == 1, "and back"
        run.deliver()
    planned = [min(MAX_PROBE_S, FIRST_PROBE_S * 2**n) for n in range(12)]
    assert all(
        (1 - JITTER) * p - 1 <= w <= (1 + JITTER) * p + 1
        for w, p in zip(waits, planned, strict=True)
    )
    assert len({w / p for w, p in zip(waits, planned, strict=True)}) > 6, "nobody marches in step"


def test_session_is_tried_soon_after_a_cut_though_its_probes_had_failed_in_it() -> None:
    """A session is tried soon after a cut though its probes had failed in it.

    An agent that only posted as a night's cut began was lost for hours after its end.
    """
    run = SelectorRun()
    run.fail()
    run.deliver()
    for _ in range(8):
        run.wait_for_probe()
        for _ in TRANSPORTS:
            run.fail()
    assert run.selector.probes == 8
    run.next()
    run.selector.record_delivery(TRANSPORTS[1], TRANSPORTS)
    assert AFTER_DARK_S[0] <= run.wait_for_probe() <= AFTER_DARK_S[1]
    assert run.next() == 0
    run.fail()
    run.deliver()
    assert run.wait_for_probe() >= (1 - JITTER) * FIRST_PROBE_S * 2, (
        "and rarely where it is blocked"
    )


def test_best_transport_is_not_probed() -> None:
    run = SelectorRun()
    run.fail()
    run.deliver()
    run.wait_for_probe()
    assert run.next() == 0
    assert run.deliver()
    assert run.selector.probe_in_s() is None
    assert run.selector.probes == 0


def test_restart_keeps_preferred_and_delays_probe() -> None:
    run = SelectorRun(TRANSPORTS[2].name, probes=3)
    assert run.next() == 2
    run.deliver()
    assert run.wait_for_probe() >= (1 - JITTER) * FIRST_PROBE_S * 8


def test_reset_network_begins_with_best() -> None:
    run = SelectorRun(TRANSPORTS[3].name, probes=9)
    run.next()
    run.deliver()
    run.selector.reset_network()
    assert run.next() == 0
    assert run.selector.probes == 0


def circle(run: SelectorRun) -> bool:
    """Return whether a transport for single envelopes and a probe replace each other.

    PostTransport ends when a probe is due, so that the agent would send nothing any more.
    """
    run.next()
    return run.selector.probe_in_s() == 0


def test_no_transport_gives_way_to_itself_on_another_network() -> None:
    run = SelectorRun()
    run.next()
    run.deliver()  # a session
    run.selector.reset_network()
    run.fail()  # which the new network does not let through
    assert run.next() == 1
    assert not circle(run)
    run.deliver()
    assert run.selector.probe_in_s(), "and the session is tried again later"


def test_no_better_transport_gives_way_to_the_probe_that_it_is_part_of() -> None:
    run = SelectorRun(TRANSPORTS[2].name)
    run.next()
    run.deliver()
    run.wait_for_probe()
    assert run.next() == 0
    run.fail()
    assert run.next() == 1
    assert not circle(run)


def test_no_transport_gives_way_to_itself_while_there_is_nothing_to_send() -> None:
    run = SelectorRun(TRANSPORTS[1].name)
    assert run.next() == 1
    run.wait_for_probe()
    assert run.next() == 0, "the better one is tried although nothing was delivered"
    run.fail()
    assert run.next() == 1
    assert not circle(run)


def test_session_that_a_probe_found_and_that_breaks_at_once_counts_as_a_failed_probe() -> None:
    run = SelectorRun()
    run.fail()
    run.deliver()
    run.wait_for_probe()
    assert run.next() == 0
    run.selector.order_after_loss(TRANSPORTS[0], TRANSPORTS)
    assert run.next() != 0
    assert not circle(run)
    assert run.selector.probes == 1


def test_changed_list_is_followed() -> None:
    run = SelectorRun("post://gone.example:1")
    fewer = TRANSPORTS[:2]
    assert run.selector.select_next(TRANSPORTS) == TRANSPORTS[0]
    run.fail()
    run.fail()
    assert run.selector.select_next(fewer) == TRANSPORTS[0], "what is listed no more is not tried"
