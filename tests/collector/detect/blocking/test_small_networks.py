"""Small networks that are blocked together are one block; a lone one is only suspected."""

from random import Random

import pytest

from heliograph_collector.detect.blocking.detector import detect_blocking
from heliograph_collector.incidents.incident import Incident
from heliograph_collector.model.scope import Scope
from heliograph_collector.model.signals import ServiceVote, VantageRef, VoteValue
from support.presence_model import BLOCKED_TLS, T0, at, confirmed, country, world

AT, END, UNTIL = 3_600.0, 7_200.0, 9_000.0
HOME = country(each=1)  # six operators of three vantages
ASNS = sorted({vantage.place.asn for vantage in HOME})  # three of phones, three of lines
TWO = (ASNS[0], ASNS[3])


def _detect(
    blocked: set[str], seed: int, services: tuple[str, ...] = ("telegram",), share: float = 1.0
) -> tuple[Incident, ...]:
    """Test messengers every 150 s; these vantages fail so many tests of an hour."""
    rng = Random(seed)
    votes: list[ServiceVote] = []
    for vantage in HOME + world(2):
        now_s = rng.uniform(0, 150)
        while now_s < UNTIL:
            for service in services:
                is_during = vantage.nym in blocked and AT <= now_s < END
                is_hit = (is_during and rng.random() < share) or rng.random() < 0.01
                result = BLOCKED_TLS if is_hit else (VoteValue.GOOD, "", "")
                votes.append(ServiceVote(at(now_s), vantage, service, *result))
            now_s += 150 * rng.uniform(0.97, 1.03)
    return detect_blocking(votes, T0, at(UNTIL))


def _select(*asns: int) -> list[VantageRef]:
    return [vantage for vantage in HOME if vantage.place.asn in asns]


@pytest.mark.parametrize("seed", range(3))
def test_two_small_operators_are_one_block(seed: int) -> None:
    blocked = {vantage.nym for vantage in _select(*TWO)}
    (incident,) = confirmed(_detect(blocked, seed))
    assert {cell.scope for cell in incident.parts} == {Scope("KZ", asn=asn) for asn in TWO}
    assert incident.confirmed_us is not None
    assert incident.confirmed_us <= at(AT + 600)
    assert incident.closed_us is not None
    assert at(END) <= incident.closed_us <= at(END + 600)


@pytest.mark.parametrize("seed", range(3))
def test_one_small_operator_is_only_suspected(seed: int) -> None:
    incidents = _detect({vantage.nym for vantage in _select(ASNS[0])}, seed)
    assert incidents
    assert confirmed(incidents) == []


@pytest.mark.parametrize("seed", range(3))
def test_few_of_several_operators_are_no_block_of_these(seed: int) -> None:
    blocked = {_select(asn)[turn % 3].nym for turn, asn in enumerate(ASNS[:4])}
    assert confirmed(_detect(blocked, seed)) == []


@pytest.mark.parametrize("seed", range(3))
def test_two_small_operators_that_fail_all_services_by_chance_are_no_block(seed: int) -> None:
    blocked = {vantage.nym for vantage in _select(*TWO)}
    services = ("signal", "telegram", "whatsapp")
    assert confirmed(_detect(blocked, seed, services, share=0.8)) == []
