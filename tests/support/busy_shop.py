"""A shop with something on every page of the console: two hundred agents, plans, deeds."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from heliograph_collector.console.backend import DryRun, VerdictChangeCount
from support.office import INGEST, PLAN, Shop, here

PLACES = (("KZ", 9198), ("KZ", 206026), ("IR", 44244), ("BY", 6697), ("ZZ", 0))
PATHS = (
    "/console", "/console/fleet", "/console/fleet/coverage", "/console/invites", "/console/plan",
    "/console/plan/1", "/console/plan/edit", "/console/services", "/console/health",
    "/console/rules", "/console/code", "/console/trail",
)  # fmt: skip


@contextmanager
def busy_shop(data: Path) -> Iterator[Shop]:
    shop = Shop(data)
    try:
        _enrol(shop)
        _plans(shop)
        shop.standing = {"confirmed": 2, "suspected": 1}
        shop.ingest = replace(INGEST, lag_entries=312)
        moved = VerdictChangeCount(
            country="KZ", service="telegram", before="tls.reset", after="tls.reset_after_hello",
            state_before="blocked", state_after="unknown", count=31,
        )  # fmt: skip
        now_us = shop.clock.wall_us()
        shop.rehearsal = DryRun(
            since_us=now_us - 86_400_000_000, until_us=now_us, judged_count=48_211,
            changed_count=35, is_complete=True,
            changes=[moved, replace(moved, service="whatsapp", count=4)],
        )  # fmt: skip
        yield shop
    finally:
        shop.close()


def _enrol(shop: Shop) -> None:
    for number in range(1, 64):
        country, asn = PLACES[number % len(PLACES)]
        role = "control" if number == 9 else "volunteer"
        agent = shop.enrol(number, country=country, asn=asn, role=role)
        if number % 3 == 0:
            queued = 412 if number == 12 else number % 5
            link = "domestic_only" if number % 7 == 0 else "online"
            region = f"{country}-75" if number % 2 else ""
            shop.here[agent] = replace(here(link, queued), country=country, region=region)
        if number == 5:
            shop.fleet.revoke_agent(agent, shop.now_s())
    with shop.fleet.transaction() as db:
        db.execute("UPDATE agents SET access = 'mobile' WHERE country = 'IR'")
        db.execute("UPDATE agents SET trial_s = 1641000000 WHERE country = 'BY'")
        db.execute("UPDATE agents SET created_s = ?", (shop.now_s() - 400_000,))


def _plans(shop: Shop) -> None:
    office = shop.office()
    for text in (PLAN, PLAN.replace("600", "300")):
        office.issue_plan(office.read_plan(text, "plan"))
    for uses, role in ((20, "volunteer"), (1, "control")):
        office.create_invite(role, uses, 604_800)
    for number in range(64):
        did = ("login", "invite.make", "agent.revoke", "plan.send")[number % 4]
        office.trail.add(
            shop.clock.wall_us() + number * 1_000_000,
            ("operator", "vera")[number % 3 == 0],
            did,
            "" if did == "login" else f"{number:032x}",
            refused=number % 9 == 0,
        )
