"""http_host: the neutral name goes first, and a real box that minds a Host header shows."""

from pathlib import Path

import pytest

from heliograph.failure import Failure, Operation
from heliograph_agent.experiments.experiment import CannotRun
from support.experiment_run import observed
from support.fake_net import Page, World
from support.name_filter import Treatment, cut, name_filter, silence
from support.nginx import nginx
from support.real_run import Opening, really, verdict

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


async def test_an_address_is_no_name_to_send() -> None:
    with pytest.raises(CannotRun, match="no name to send"):
        await observed("http_host", "192.0.2.1", World())


@pytest.mark.parametrize(
    ("treatment", "failure", "rule"),
    [
        (cut, Failure.CONNECTION_RESET, "http_host.reset"),
        (silence, Failure.GENERIC_TIMEOUT_ERROR, "http_host.timeout"),
    ],
)
async def test_a_real_box_that_minds_the_host_shows(
    opening: Opening, tmp_path: Path, treatment: Treatment, failure: Failure, rule: str
) -> None:
    with (
        nginx(tmp_path, {}) as site,
        name_filter(site.http, b"target.test", treatment) as here,
    ):
        seen, control = [
            await really(
                "http_host",
                "target.test",
                opening(http_s=1.0),
                {"neutral": f"neutral.test:{port}", "direct": "false"},
            )
            for port in (here, site.http)
        ]
    trips = {
        o.endpoint: o.failure for o in seen.observations if o.operation is Operation.HTTP_ROUND_TRIP
    }
    assert trips == {"neutral": None, "target": failure}
    found = verdict(seen, control)
    assert (found.state, found.rule) == ("blocked", rule)
    assert verdict(control, control).state == "reachable"
