"""Anchors have their group as a label, which gives the state of the link."""

from heliograph.failure import Failure
from heliograph.services import load_shipped_services
from heliograph_agent.experiments.experiment import Target
from support.experiment_run import observed
from support.fake_net import Page, World

ANCHORS = Target(value="anchors", service=load_shipped_services().get("anchors"))
GROUPS = ("foreign", "domestic", "resolver", "captive")


async def test_offline_every_anchor_fails_and_none_keeps_another_from_being_asked() -> None:
    seen = await observed("connectivity", ANCHORS, World())
    assert ANCHORS.service is not None
    assert {o.endpoint for o in seen} == {e.id for e in ANCHORS.service.endpoints}
    assert all(o.failure is not None for o in seen)
    assert all(e.id.startswith(f"{e.group}-") for e in ANCHORS.service.endpoints)
    assert {e.group for e in ANCHORS.service.endpoints} <= set(GROUPS)


async def test_a_captive_portal_answers_in_the_place_of_the_anchor() -> None:
    host, portal = "connectivitycheck.gstatic.com", Page(status=302, location="http://login.test/")
    world = World(
        names={host: ("192.0.2.1",)},
        ports={("192.0.2.1", 80): None},
        pages={f"http://{host}/generate_204": portal},
    )
    seen = await observed("connectivity", ANCHORS, world)
    (status,) = {o.http.status for o in seen if o.http and o.endpoint == "captive-gstatic"}
    assert status == 302


async def test_a_domestic_anchor_is_visited_when_one_is_given() -> None:
    world = World(
        names={"www.gov.test": ("192.0.2.7",)},
        ports={("192.0.2.7", 443): None},
        pages={"https://www.gov.test/": Page()},
    )
    seen = await observed("connectivity", ANCHORS, world, {"domestic": "https://www.gov.test/"})
    assert {o.endpoint.split("-")[0] for o in seen} == set(GROUPS)
    home = [o for o in seen if o.endpoint == "domestic-www.gov.test"]
    assert [o.failure for o in home if o.tcp or o.tls or o.http] == [None] * 4
    assert {o.failure for o in home if o.dns} == {None, Failure.DNS_NO_ANSWER}
