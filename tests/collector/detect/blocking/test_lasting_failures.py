"""A block that reaches a part of each network is a partial while it lasts."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from heliograph_collector.detect.blocking.detector import detect_blocking
from heliograph_collector.detect.blocking.flapping import FlappingVantages, RecentTests
from heliograph_collector.detect.blocking.known_votes import KnownVotes
from heliograph_collector.detect.blocking.lasting_failures import LastingFailures
from heliograph_collector.detect.blocking.other_services import CountryTests, OtherServices
from heliograph_collector.incidents.incident import Incident, IncidentKind, IncidentState
from heliograph_collector.model.scope import AffectedCell, Scope
from heliograph_collector.model.signals import ServiceVote, VantageRef, VoteValue
from heliograph_collector.model.thresholds import THRESHOLDS
from support.examples import only_in_soak
from support.presence_model import T0, at, confirmed, country, world

AT, END, UNTIL = 7_200.0, 4 * 3_600.0, 5 * 3_600.0
SERVICES = ("signal", "telegram", "whatsapp")
HOME = country(each=3)
SPARED = HOME[0].place.asn
LIE = (VoteValue.BLOCKED, "dns", "block_address")


def _choose(every: int, people: Sequence[VantageRef] = HOME) -> set[str]:
    """Choose users of the lying resolver of five operators; a sixth is spared."""
    return {v.nym for n, v in enumerate(people) if v.place.asn != SPARED and n % every == 0}


def _detect(
    asking: Collection[str],
    *,
    people: Sequence[VantageRef] = HOME,
    services: Collection[str] = SERVICES[:1],
    onset_s: float = 60.0,
    noise: float = 0.02,
) -> list[Incident]:
    """Test each service each three minutes; from AT to END some vantages get a lie."""
    rng = Random(1)
    votes: list[ServiceVote] = []
    for vantage in [*people, *world()]:
        since_s = AT + rng.uniform(0, onset_s)
        for service in SERVICES:
            now_s = rng.uniform(0, 180)
            while now_s < UNTIL:
                is_hit = vantage.nym in asking and service in services and since_s <= now_s < END
                result = LIE if is_hit else (VoteValue.GOOD, "", "")
                if not is_hit and rng.random() < noise:
                    result = (VoteValue.BLOCKED, "tcp", "timeout")
                votes.append(ServiceVote(at(now_s), vantage, service, *result))
                now_s += 180
    return confirmed(detect_blocking(votes, T0, at(UNTIL)))


def test_a_lie_that_half_of_a_country_asks_for_is_a_partial_until_it_ends() -> None:
    (incident,) = _detect(_choose(2))
    assert (incident.kind, incident.layer) == (IncidentKind.PARTIAL, "dns")
    assert (incident.scope, incident.state) == (Scope("KZ"), IncidentState.CLOSED)
    assert incident.started.earliest_us < at(AT + 60) <= incident.started.latest_us
    assert (incident.confirmed_us or 0) <= at(AT + 1_800)
    assert at(END) <= (incident.closed_us or 0) <= at(END + 600)


def test_a_block_that_comes_slowly_is_no_partial_before_it_has_reached_all() -> None:
    everybody = {vantage.nym for vantage in HOME}
    (incident,) = _detect(everybody, onset_s=3_600.0)
    assert incident.kind is IncidentKind.BLOCKING
    assert incident.parts[0].share >= 0.6


@pytest.mark.parametrize(
    ("asking", "options"),
    [
        (_choose(2), {"onset_s": 6 * 3_600.0}),
        pytest.param(_choose(2), {"services": SERVICES}, marks=only_in_soak),
        (_choose(2) | _choose(2, world()), {}),
        (_choose(9), {}),
        pytest.param((), {"noise": 0.3}, marks=only_in_soak),
    ],
    ids=["each by itself", "lines that fail", "everywhere", "few", "noise"],
)
def test_what_fails_alone_everywhere_or_for_all_services_is_none(
    asking: Collection[str], options: dict[str, Any]
) -> None:
    assert [i for i in _detect(asking, **options) if i.kind is IncidentKind.PARTIAL] == []


def _put_behind_nats(people: Sequence[VantageRef], size: int) -> list[VantageRef]:
    """Make phones of all vantages, with a NAT for each so many neighbors."""
    return [
        replace(
            vantage,
            prefix=people[n // size * size].prefix,
            place=vantage.place._replace(access="mobile"),
        )
        for n, vantage in enumerate(people)
    ]


@pytest.mark.parametrize(("of_three", "told"), [(2, []), (3, [IncidentKind.PARTIAL])])
def test_a_third_of_phones_feigns_no_partial_though_it_decides_half_of_the_votes(
    of_three: int, told: list[IncidentKind]
) -> None:
    """Two of three decide the vote of their NAT; version 126 told a partial of the country."""
    phones = _put_behind_nats(HOME, 3)
    every_other = {n for n in range(len(phones)) if (n // 3 + n // 18) % 2}
    failing = {phones[n].nym for n in every_other if n % 3 < of_three}
    assert [incident.kind for incident in _detect(failing, people=phones)] == told


@pytest.mark.parametrize("bits", [0b11111, 0b10101])
def test_cell_of_a_vantage_that_may_always_fail_for_another_reason_is_dropped(bits: int) -> None:
    vantage = HOME[0]
    first = {vantage.nym: ServiceVote(at(AT), vantage, "signal", *LIE)}
    flapping = FlappingVantages(tests={vantage.nym: RecentTests(bits, 5, at(AT))})
    usual = OtherServices("signal", CountryTests({}, {}, at(AT), THRESHOLDS))
    failing = LastingFailures(KnownVotes(), first, set(), flapping, usual)
    cell = AffectedCell(Scope("KZ"), 20, 0.5, 6)
    other = AffectedCell(Scope("KZ", asn=vantage.place.asn + 1), 10, 0.5, 1)
    kept = failing.drop_doubted({cell: 0.5, other: 0.5}, {vantage.nym: "edition"})
    assert list(kept) == ([other] if bits == 0b11111 else [cell, other])
