"""A carrier's answer in place of every service is no block of one."""

from collections.abc import Callable
from random import Random

import pytest

from heliograph_collector.detect.blocking.detector import detect_blocking
from heliograph_collector.incidents.incident import Incident
from heliograph_collector.model.signals import ServiceVote, VantageRef, VoteValue
from support.presence_model import T0, at, confirmed, country, world

HOUR = 3_600.0
AT = 2 * HOUR
SERVICES = ("signal", "telegram", "whatsapp")
HOME = country(each=2)
WALLED = [v for v in HOME if v.place.asn == HOME[0].place.asn]
Answer = tuple[VoteValue, str, str]
WORKS: Answer = (VoteValue.GOOD, "", "")
UNKNOWN: Answer = (VoteValue.UNKNOWN, "", "")
PORTAL: Answer = (VoteValue.BLOCKED, "http", "block_page")


def _detect(answer: Callable[[VantageRef, str, Random], Answer]) -> list[Incident]:
    """Test each service each three minutes; some get these answers for two hours."""
    rng = Random(1)
    votes: list[ServiceVote] = []
    for vantage in HOME + world():
        for service in SERVICES:
            now_s = rng.uniform(0, 180)
            while now_s < AT + 3 * HOUR:
                is_event = AT <= now_s < AT + 2 * HOUR
                result = answer(vantage, service, rng) if is_event else WORKS
                votes.append(ServiceVote(at(now_s), vantage, service, *result))
                now_s += 180
    return confirmed(detect_blocking(votes, T0, at(AT + 3 * HOUR)))


def test_portal_of_one_operator_is_no_block_of_its_services() -> None:
    def answer(vantage: VantageRef, service: str, rng: Random) -> Answer:
        return rng.choice((UNKNOWN, UNKNOWN, PORTAL)) if vantage in WALLED else WORKS

    assert _detect(answer) == []


@pytest.mark.parametrize("is_everywhere", [True, False])
def test_what_proven_links_or_all_networks_show_is_a_block(*, is_everywhere: bool) -> None:
    def answer(vantage: VantageRef, service: str, rng: Random) -> Answer:
        if service != "telegram":
            return UNKNOWN if is_everywhere and vantage.place.country == "KZ" else WORKS
        if vantage.place.country != "KZ":
            return WORKS
        return PORTAL if is_everywhere or vantage in WALLED else WORKS

    (block,) = _detect(answer)
    assert block.service == "telegram"
