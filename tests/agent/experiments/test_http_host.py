"""http_host: the neutral name goes first; tests/lab has boxes that read Host."""

from support.experiment_run import observed
from support.fake_net import Page, World

NEUTRAL, OWN = "192.0.2.80", "192.0.2.1"


async def test_both_names_are_asked_of_the_neutral_server_and_one_of_its_own() -> None:
    world = World(
        names={"target.test": (OWN,), "neutral.test": (NEUTRAL,)},
        ports={(NEUTRAL, 8080): None, (OWN, 80): None},
        pages={"http://target.test/": Page(status=200), "http://neutral.test/": Page()},
    )
    seen = await observed("http_host", "target.test", world, {"neutral": "neutral.test:8080"})
    places = [(o.endpoint, o.tcp.address) for o in seen if o.tcp]
    assert sorted(places) == [("direct", OWN), ("neutral", NEUTRAL), ("target", NEUTRAL)]
    assert places.index(("neutral", NEUTRAL)) < places.index(("target", NEUTRAL))
    assert sorted(url for _, url, _ in world.requests) == [
        "http://neutral.test/", "http://target.test/", "http://target.test/",
    ]  # fmt: skip


async def test_without_direct_the_targets_own_server_is_left_alone() -> None:
    world = World(names={"neutral.test": (NEUTRAL,)}, ports={(NEUTRAL, 80): None})
    options = {"neutral": "neutral.test", "direct": "false"}
    seen = await observed("http_host", "https://target.test/x", world, options)
    assert {o.dns.name for o in seen if o.dns} == {"neutral.test"}
    assert {o.endpoint for o in seen if o.http} == {"neutral", "target"}
