"""Several services that are blocked at once, where a country has few testers."""

from collections.abc import Iterator, Sequence
from random import Random

import pytest

from heliograph.units import HOUR_US, MINUTE_US
from heliograph_collector.incidents.incident import IncidentState
from heliograph_collector.model.signals import ServiceVote, VantageLocation, VantageRef, VoteValue
from support.sparse_replay import confirm, hours_after

BEGAN_US = 1_766_000_000_000_000  # 17 December 2025
ONSET_H = 28 * 24 + 9.0
ONSET_US = BEGAN_US + round(ONSET_H * HOUR_US)
MTN, AIRTEL, LYCA = 20294, 36991, 327687
MESSENGERS = ("whatsapp", "telegram", "signal")
PAGES = ("www.bbc.com", "www.wikipedia.org", "www.monitor.co.ug")
ALL = (*MESSENGERS, *PAGES)


def make_round(
    hour: float,
    network: int,
    failing: Sequence[str] = (),
    services: Sequence[str] = ALL,
    country: str = "UG",
) -> list[ServiceVote]:
    """Return the rows of one run of a tester's program; each test writes a report of its own."""
    votes = []
    for index, service in enumerate(services):
        at_us = BEGAN_US + round(hour * HOUR_US) + index * MINUTE_US // 3
        name = f"{country}-{hour}-{network}-{service}"
        witness = VantageRef(name, name, VantageLocation(country, "", network, ""))
        value = VoteValue.BLOCKED if service in failing else VoteValue.GOOD
        votes.append(ServiceVote(at_us, witness, service, value, source=service))
    return votes


def past(
    days: int = 12, services: Sequence[str] = ALL, country: str = "UG"
) -> Iterator[ServiceVote]:
    """Draw eight rounds a day, in which two of a hundred tests fail."""
    rng = Random(1)
    for day in range(28 - days, 28):
        for number in range(8):
            failing = [service for service in services if rng.random() < 0.02]
            hour = 24 * day + 5 + 2 * number + rng.random()
            network = (MTN, AIRTEL, MTN, LYCA)[number % 4]
            yield from make_round(hour, network, failing, services, country)


def on_the_day(
    networks: Sequence[int] = (MTN, AIRTEL, MTN),
    hours: Sequence[float] = (0.4, 1.5, 2.4),
    failing: Sequence[str] = MESSENGERS,
    services: Sequence[str] = ALL,
) -> list[ServiceVote]:
    """Return the rounds after the onset; two that worked came before it."""
    votes = [*make_round(ONSET_H - 4, MTN, (), services)]
    votes += make_round(ONSET_H - 2, AIRTEL, (), services)
    for network, hour in zip(networks, hours, strict=True):
        votes += make_round(ONSET_H + hour, network, failing, services)
    return votes


def test_three_rounds_of_two_networks_tell_of_each_service_that_is_blocked() -> None:
    told = confirm([*past(), *on_the_day()])
    assert {(i.scope.country, i.scope.asn, i.service) for i in told} == {
        ("UG", 0, service) for service in MESSENGERS
    }
    for incident in told:
        assert incident.state is IncidentState.CONFIRMED
        assert 2.4 < hours_after(ONSET_US, incident) <= 2.75
        onset_us = ONSET_US
        assert incident.started.earliest_us < onset_us < incident.started.latest_us


@pytest.mark.parametrize(
    "votes",
    [
        on_the_day(networks=(MTN, MTN, MTN)),  # who fails may be one host, behind a filter
        on_the_day(networks=(MTN, AIRTEL), hours=(0.4, 2.4)),  # two rounds
        on_the_day(hours=(0.1, 0.4, 0.7)),  # a fault of an hour
        on_the_day(failing=ALL),  # no test of these hosts works
        on_the_day(failing=("whatsapp",)),  # one service alone
        [
            *on_the_day(),
            *make_round(ONSET_H + 0.8, MTN),
            *make_round(ONSET_H + 1.2, AIRTEL),
        ],  # between them all works
    ],
)
def test_what_one_host_or_one_hour_explains_is_not_told(votes: Sequence[ServiceVote]) -> None:
    assert not confirm([*past(), *votes])


def test_services_that_were_not_tested_before_are_not_told() -> None:
    assert not confirm([*past(days=1), *on_the_day()])


@pytest.mark.parametrize(
    ("services_abroad", "failing_abroad", "is_told"),
    [((), (), False), (ALL, (), True), (ALL, ("whatsapp", "www.instagram.com"), False)],
)
def test_services_of_one_owner_are_told_if_they_work_abroad(
    services_abroad: Sequence[str], failing_abroad: Sequence[str], *, is_told: bool
) -> None:
    """WhatsApp and Instagram fail everywhere when Meta does, as on 4 October 2021."""
    metas = ("whatsapp", "www.instagram.com")
    services = (*metas, *PAGES)
    votes = [*past(services=services), *on_the_day(failing=metas, services=services)]
    abroad = (*services_abroad, "www.instagram.com") if services_abroad else ()
    if abroad:
        votes += past(services=abroad, country="KE")
        for hour in (-3, -1.5, 0.5, 1.0, 2.0):
            votes += make_round(ONSET_H + hour, 33771, failing_abroad, abroad, "KE")
    told = [incident for incident in confirm(votes) if incident.scope.country == "UG"]
    assert {incident.service for incident in told} == (set(metas) if is_told else set())


def test_a_block_that_is_lifted_is_closed_by_the_rows_that_work() -> None:
    votes = [*past(), *on_the_day()]
    for hour in (8, 9.5, 11, 13):
        votes += make_round(ONSET_H + hour, AIRTEL)
    told = confirm(votes)
    assert {incident.service for incident in told} == set(MESSENGERS)
    for incident in told:
        assert incident.state is IncidentState.CLOSED
        assert incident.ended is not None
        assert incident.ended.latest_us <= BEGAN_US + round((ONSET_H + 11.5) * HOUR_US)


def test_what_is_told_does_not_hang_on_later_rows() -> None:
    votes = [*past(), *on_the_day()]
    early = {(i.service, i.confirmed_us) for i in confirm(votes)}
    for number in range(20):
        votes += make_round(ONSET_H + 5 + number, (MTN, AIRTEL)[number % 2], MESSENGERS)
    late = {(i.service, i.confirmed_us) for i in confirm(votes)}
    assert early <= late


def rounds_after_onset(
    networks: Sequence[int], failing: Sequence[str], services: Sequence[str]
) -> list[ServiceVote]:
    """Return a round each hour, in which the same services fail."""
    votes: list[ServiceVote] = []
    for number, network in enumerate(networks):
        votes += make_round(ONSET_H + 0.3 + number, network, failing, services)
    return votes


def test_one_host_on_which_nothing_works_blocks_nothing() -> None:
    """It tests each hour of a night in which nobody else does."""
    assert not confirm([*past(), *rounds_after_onset((MTN,) * 10, ALL, ALL)])


def test_hosts_of_two_networks_on_which_nothing_works_show_a_block() -> None:
    """A file may hold nothing but what is blocked."""
    services = (*MESSENGERS, "facebook_messenger")
    votes = [*past(services=services)]
    votes += rounds_after_onset((MTN, AIRTEL, MTN, LYCA, MTN, AIRTEL, MTN, MTN), services, services)
    told = confirm(votes)
    assert {incident.service for incident in told} == set(services)
    assert all(hours_after(ONSET_US, incident) <= 8 for incident in told)


@pytest.mark.parametrize(("share_abroad", "is_told"), [(0.4, False), (0.0, True)])
def test_a_service_that_fails_in_other_countries_too_is_not_blocked(
    share_abroad: float, *, is_told: bool
) -> None:
    """A release of the tester fails it, and reaches one country first."""
    rng = Random(2)
    votes = [*past()]
    for country in ("KE", "TZ"):
        votes += past(country=country)
        for number in range(30):
            failing = ["telegram"] if rng.random() < share_abroad else []
            votes += make_round(ONSET_H + number / 2, MTN + number % 2, failing, ALL, country)
    votes += rounds_after_onset((MTN, AIRTEL) * 6, ["telegram"], ALL)
    told = [incident for incident in confirm(votes) if incident.scope.country == "UG"]
    assert {incident.service for incident in told} == ({"telegram"} if is_told else set())
