"""Plans: the default one, versions that rise, signatures, and new editions of services."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from heliograph import keys
from heliograph.plan import Carrier, Entrance
from heliograph.services import shipped
from heliograph_collector.fleet import Fleet
from heliograph_collector.fleet.plans import (
    LIFE_S,
    announce,
    default_plan,
    issue,
    keep_fresh,
    standing,
)

SIGNER = keys.SigningKey(b"k" * 32)
SERVICES = shipped()


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    opened = Fleet(tmp_path)
    yield opened
    opened.close()


def test_the_default_plan_asks_for_anchors_messengers_and_neutral_pages() -> None:
    plan = default_plan(SERVICES)
    every = {(t.experiment, t.service or t.target): t.interval_s for t in plan.tasks}
    assert every["connectivity", "anchors"] == 180
    for name in ("telegram", "whatsapp", "signal"):
        assert 300 <= every[name, name] <= 600, "fresh on a page that shows a quarter of an hour"
    assert plan.limits.bytes_per_month == 2_000_000_000, "what all of it costs, reckoned"
    assert sum(t.experiment == "web" for t in plan.tasks) >= 2
    assert plan.heartbeat_s == 15


def test_other_messengers_are_asked_for_rarely_and_tor_only_where_somebody_wants_it() -> None:
    every = {t.experiment: t.interval_s for t in default_plan(SERVICES).tasks}
    for name in ("facebook_messenger", "viber", "threema", "matrix", "discord", "wechat", "line"):
        assert every[name] >= 3_600, "few bytes: what they cost is no part of the mobile budget"
    assert every["stun"] == 3_600
    assert SERVICES.get("tor") is not None
    assert "tor" not in every


def test_a_country_s_own_sites_are_for_controls_alone() -> None:
    plan = default_plan(SERVICES)
    assert {t.role for t in plan.tasks if t.experiment == "outside_in"} == {"control"}
    theirs = plan.of_role("volunteer")
    assert not any(s.name.startswith("sites-") for s in theirs.services)
    assert {t.experiment for t in theirs.tasks} >= {"connectivity", "telegram", "web"}


def test_a_plan_is_signed_and_its_version_rises(fleet: Fleet) -> None:
    first = issue(fleet, SIGNER, default_plan(SERVICES), 1_000)
    second = issue(fleet, SIGNER, replace(first, heartbeat_s=30), 2_000)
    assert (first.version, second.version) == (1, 2)
    found = standing(fleet)
    assert found is not None
    plan, signed = found
    assert (plan.heartbeat_s, plan.issued_s, plan.expires_s) == (30, 2_000, 2_000 + LIFE_S)
    assert keys.verify(SIGNER.public, signed.signature, keys.PLAN, signed.plan)


def test_an_operator_s_plan_stays_while_services_do(fleet: Fleet) -> None:
    own = issue(fleet, SIGNER, replace(default_plan(SERVICES), heartbeat_s=60), 0)
    assert keep_fresh(fleet, SIGNER, SERVICES, 10) == own


def test_another_edition_of_services_is_issued_with_the_tasks_that_stood(fleet: Fleet) -> None:
    own = issue(fleet, SIGNER, replace(default_plan(SERVICES), heartbeat_s=60), 0)
    newer = replace(SERVICES, version="2999-01-01.1")
    plan = keep_fresh(fleet, SIGNER, newer, 10)
    assert (plan.version, plan.services_version, plan.tasks) == (2, newer.version, own.tasks)
    assert plan.heartbeat_s == 60


def test_a_plan_is_renewed_long_before_it_ends(fleet: Fleet) -> None:
    keep_fresh(fleet, SIGNER, SERVICES, 0)
    assert keep_fresh(fleet, SIGNER, SERVICES, LIFE_S // 2 - 10).version == 1
    assert keep_fresh(fleet, SIGNER, SERVICES, LIFE_S // 2 + 10).version == 2


def test_other_entrances_are_another_plan_and_the_same_are_none(fleet: Fleet) -> None:
    there = (Entrance(carrier=Carrier.POST, host="collector.example", port=443),)
    assert not announce(fleet, SIGNER, there, 500), "there is no plan to tell it in"
    issue(fleet, SIGNER, default_plan(SERVICES), 1_000)
    assert announce(fleet, SIGNER, there, 2_000)
    assert not announce(fleet, SIGNER, there, 3_000)
    keep_fresh(fleet, SIGNER, SERVICES, 1_000 + LIFE_S)
    found = standing(fleet)
    assert found is not None
    assert (found[0].version, found[0].entrances) == (3, there), "a renewal keeps them"
