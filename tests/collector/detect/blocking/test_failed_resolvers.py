"""A resolver that fails for every name of one network is no block of services."""

from collections.abc import Callable
from random import Random

import pytest

from heliograph_collector.detect.blocking.detector import detect_blocking
from heliograph_collector.incidents.incident import Incident, IncidentState
from heliograph_collector.model.signals import ServiceVote, VantageRef, VoteValue
from support.presence_model import T0, at, confirmed, country, world

AT = 7_200.0
LASTS = 1_500.0
SERVICES = ("signal", "telegram", "whatsapp")
HOME = country(each=3)
OWN = HOME[0].place.asn
TWO = {OWN, HOME[3].place.asn}
Answer = tuple[VoteValue, str, str]
WORKS: Answer = (VoteValue.GOOD, "", "")
MUTE: Answer = (VoteValue.BLOCKED, "dns", "timeout")
LIE: Answer = (VoteValue.BLOCKED, "dns", "nxdomain")


def _detect(answer: Callable[[VantageRef, str], Answer]) -> tuple[Incident, ...]:
    """Test each service every three minutes; some get these answers for 25 minutes."""
    rng = Random(1)
    votes: list[ServiceVote] = []
    for vantage in HOME + world():
        for service in SERVICES:
            now_s = rng.uniform(0, 180)
            while now_s < AT + 3_600:
                is_event = vantage in HOME and AT <= now_s < AT + LASTS
                result = answer(vantage, service) if is_event else WORKS
                votes.append(ServiceVote(at(now_s), vantage, service, *result))
                now_s += 180
    return detect_blocking(votes, T0, at(AT + 3_600))


def test_resolver_that_fails_for_all_names_of_a_network_leaves_a_suspicion() -> None:
    incidents = _detect(lambda vantage, _: MUTE if vantage.place.asn == OWN else WORKS)
    assert confirmed(incidents) == []
    assert {i.service for i in incidents} <= {*SERVICES}
    assert {i.state for i in incidents} <= {IncidentState.WITHDRAWN}
    assert {i.held for i in incidents} == {("all_services",)}


BLOCKS: dict[str, tuple[Callable[[VantageRef, str], Answer], set[str]]] = {
    "the resolver lies": (
        lambda vantage, _: LIE if vantage.place.asn == OWN else WORKS,
        {*SERVICES},
    ),
    "one service works": (
        lambda vantage, service: (
            MUTE if vantage.place.asn == OWN and service != "signal" else WORKS
        ),
        {"telegram", "whatsapp"},
    ),
    "all networks": (lambda _, __: MUTE, {*SERVICES}),
    "two networks of six": (
        lambda vantage, _: MUTE if vantage.place.asn in TWO else WORKS,
        {*SERVICES},
    ),
}


@pytest.mark.parametrize("case", BLOCKS)
def test_names_that_a_block_takes_are_told(case: str) -> None:
    answer, services = BLOCKS[case]
    assert {incident.service for incident in confirmed(_detect(answer))} == services


@pytest.mark.parametrize("seed", range(3))
def test_public_resolver_that_fails_in_every_network_is_no_block(seed: int) -> None:
    rng = Random(seed)
    public = {vantage.nym for vantage in HOME if rng.random() < 0.3}
    assert confirmed(_detect(lambda v, _: MUTE if v.nym in public else WORKS)) == []
