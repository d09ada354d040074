"""Plans: the default one, rising versions, signatures, new editions of services."""

from dataclasses import replace

import pytest

from heliograph import keys
from heliograph.experiments import category_of
from heliograph.plan import ROLES, Carrier, Entrance
from heliograph.services import load_shipped_services
from heliograph.traffic_estimate import (
    describe_traffic,
    estimate_plan_bytes,
    estimate_task_bytes,
)
from heliograph_collector.fleet import Fleet
from heliograph_collector.fleet.plans import (
    PLAN_LIFE_S,
    announce_entrances,
    build_default_plan,
    issue_plan,
    load_current_plan,
    refresh_plan,
)

SIGNER = keys.SigningKey(b"k" * 32)
SERVICES = load_shipped_services()


def test_default_plan_measures_messengers_often_and_other_services_rarely() -> None:
    plan = build_default_plan(SERVICES)
    every = {(t.experiment, t.service or t.target): t.interval_s for t in plan.tasks}
    assert every["connectivity", "anchors"] <= 300
    for name in ("telegram", "whatsapp", "signal"):
        assert every[name, name] == 3_600, "light checks come between"
    assert plan.limits.bytes_per_month == 2_000_000_000
    assert sum(t.experiment == "web" for t in plan.tasks) >= 2
    assert plan.heartbeat_s == 15
    rare = {t.experiment: t.interval_s for t in plan.tasks}
    for name in ("facebook_messenger", "viber", "threema", "matrix", "discord", "wechat", "line"):
        assert rare[name] >= 3_600, "few bytes: what they cost is no part of the mobile budget"
    assert rare["stun"] == 3_600
    assert SERVICES.get("tor") is not None
    assert "tor" not in rare


def test_each_messenger_is_checked_within_ten_minutes_and_controls_look_as_often() -> None:
    plan = build_default_plan(SERVICES)
    messengers = {s.name for s in SERVICES.services if category_of(s.experiment) == "messengers"}
    light = {t.service: t for t in plan.tasks if t.options}
    assert light.keys() == messengers
    assert all(t.interval_s <= 150 and t.role == "volunteer" for t in light.values())
    controls = plan.for_role("control").tasks
    looks = {name: [t.interval_s for t in controls if t.service == name] for name in messengers}
    assert all(1.1 * min(intervals) < 900 for intervals in looks.values()), "an older look is stale"


@pytest.mark.parametrize("role", ROLES)
def test_default_plan_fits_its_limit_with_a_margin(role: str) -> None:
    """The default plan fits its limit with a margin, so that no test is delayed."""
    plan = build_default_plan(SERVICES).for_role(role)
    print(f"{role}: {describe_traffic(plan)}")
    assert estimate_plan_bytes(plan) < 0.95 * plan.limits.bytes_per_month / 30


def test_each_name_of_a_messenger_or_page_has_its_turn_for_hellos_within_the_budget() -> None:
    plan = build_default_plan(SERVICES).for_role("volunteer")
    hellos = {t.target: t for t in plan.expand_turns() if t.experiment == "hello"}
    assert {"web.telegram.org:443", "grpc.chat.signal.org:443", "www.wikipedia.org:443"} <= set(
        hellos
    )
    assert hellos["chat.signal.org:443"].options == {"trust": "signal"}, "its own roots"
    assert all(t.interval_s <= 48 * 3_600 for t in hellos.values()), "within two days"
    daily = sum(estimate_task_bytes(t, None) for t in hellos.values())
    lines = sum(estimate_task_bytes(t, None) for t in plan.tasks if t.is_turn)
    print(f"hellos: {len(hellos)} names, {daily / 1e6:.1f} MB a day; {describe_traffic(plan)}")
    assert abs(daily - lines) < 100, "the terms say what its turns come to"
    assert daily < 0.06 * plan.limits.bytes_per_month / 30


def test_other_hellos_of_browsers_are_signed_into_a_new_plan(fleet: Fleet) -> None:
    refresh_plan(fleet, SIGNER, SERVICES, 10)
    for _ in range(2):
        plan = refresh_plan(fleet, SIGNER, SERVICES, 10, b"version: newer")
        assert (plan.version, plan.hello_profiles) == (2, b"version: newer")


def test_national_sites_are_for_controls_alone() -> None:
    plan = build_default_plan(SERVICES)
    assert {t.role for t in plan.tasks if t.experiment == "outside_in"} == {"control"}
    theirs = plan.for_role("volunteer")
    assert not any(s.name.startswith("sites-") for s in theirs.services)
    assert {t.experiment for t in theirs.tasks} >= {"connectivity", "telegram", "web"}


def test_plan_is_signed_and_its_version_rises(fleet: Fleet) -> None:
    first = issue_plan(fleet, SIGNER, build_default_plan(SERVICES), 1_000)
    second = issue_plan(fleet, SIGNER, replace(first, heartbeat_s=30), 2_000)
    assert (first.version, second.version) == (1, 2)
    found = load_current_plan(fleet)
    assert found is not None
    plan, signed = found
    assert (plan.heartbeat_s, plan.issued_s, plan.expires_s) == (30, 2_000, 2_000 + PLAN_LIFE_S)
    assert keys.verify(SIGNER.public, signed.signature, keys.PLAN, signed.plan)


def test_new_services_are_issued_with_current_tasks(fleet: Fleet) -> None:
    own = issue_plan(fleet, SIGNER, replace(build_default_plan(SERVICES), heartbeat_s=60), 0)
    assert refresh_plan(fleet, SIGNER, SERVICES, 10) == own, "it stays while the services do"
    newer = replace(SERVICES, version="2999-01-01.1")
    plan = refresh_plan(fleet, SIGNER, newer, 10)
    assert (plan.version, plan.services_version, plan.tasks) == (2, newer.version, own.tasks)
    assert plan.heartbeat_s == 60


def test_plan_is_renewed_before_it_expires(fleet: Fleet) -> None:
    refresh_plan(fleet, SIGNER, SERVICES, 0)
    assert refresh_plan(fleet, SIGNER, SERVICES, PLAN_LIFE_S // 2 - 10).version == 1
    assert refresh_plan(fleet, SIGNER, SERVICES, PLAN_LIFE_S // 2 + 10).version == 2


def test_changed_entrances_issue_a_plan(fleet: Fleet) -> None:
    there = (Entrance(carrier=Carrier.POST, host="collector.example", port=443),)
    assert not announce_entrances(fleet, SIGNER, there, 500), "there is no plan to tell it in"
    issue_plan(fleet, SIGNER, build_default_plan(SERVICES), 1_000)
    assert announce_entrances(fleet, SIGNER, there, 2_000)
    assert not announce_entrances(fleet, SIGNER, there, 3_000)
    refresh_plan(fleet, SIGNER, SERVICES, 1_000 + PLAN_LIFE_S)
    found = load_current_plan(fleet)
    assert found is not None
    assert (found[0].version, found[0].entrances) == (3, there), "a renewal keeps them"
