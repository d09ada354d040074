"""hello: which hellos are said, and what the judge makes of a filter before a real server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from heliograph.failure import Failure
from heliograph.observation import Measurement
from heliograph_collector.model.records import VerdictState
from support.experiment_run import observed
from support.fake_net import World
from support.hello_filter import (
    Drops,
    drops_browsers,
    drops_name,
    drops_name_in_first_segment,
    drops_nothing,
    hello_filter,
    passes_browsers_only,
)
from support.loopback_ca import LoopbackCA
from support.net_fixtures import Opening
from support.nginx import nginx
from support.real_run import really, verdict

NAME = "minded.test"
NEUTRAL = "neutral.test"
PLACE = ("192.0.2.1", 443)
OPTIONS = {"neutral": NEUTRAL}


def world(**more: object) -> World:
    scripted = World(names={NAME: (PLACE[0],)}, ports={PLACE: None})
    for key, value in more.items():
        setattr(scripted, key, value)
    return scripted


async def test_where_all_pass_four_hellos_are_said_to_one_address() -> None:
    seen = await observed("hello", NAME, world(speeches={PLACE: "server_hello"}), OPTIONS)
    said = [(o.endpoint, o.tls.server_name, o.tls.profile.split(" ")[0]) for o in seen if o.tls]
    assert said == [
        ("own", NAME, ""),
        ("firefox", NAME, "firefox"),
        ("chrome", NAME, "chrome"),
        ("chrome_late", NAME, "chrome"),
    ]
    assert {o.tcp.address for o in seen if o.tcp} == {PLACE[0]}


@pytest.mark.parametrize(
    "more",
    [
        {"handshakes": {NAME: Failure.CONNECTION_RESET}, "speeches": {PLACE: "server_hello"}},
        {"speeches": {PLACE: Failure.CONNECTION_RESET}},
        {"speeches": {PLACE: "alert_40"}},
    ],
)
async def test_after_a_failure_a_neutral_name_and_ours_follow(more: dict[str, object]) -> None:
    seen = await observed("hello", NAME, world(**more), OPTIONS)
    said = [(o.endpoint, o.tls.server_name) for o in seen if o.tls]
    assert said[-2:] == [("neutral", NEUTRAL), ("again", NAME)]
    assert len(said) == 6


async def test_an_address_that_takes_no_connection_is_not_said_anything() -> None:
    seen = await observed("hello", NAME, World(names={NAME: (PLACE[0],)}), OPTIONS)
    assert not any(o.tls for o in seen)


@pytest.fixture(scope="module")
def web(ca: LoopbackCA, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    sites = {NAME: ca.leaf(NAME), NEUTRAL: ca.leaf(NEUTRAL)}
    with nginx(tmp_path_factory.mktemp("web"), sites) as running:
        yield running.https


async def measured(experiment: str, port: int, opening: Opening, tmp_path: Path) -> Measurement:
    (tmp_path / "hosts").write_text(f"127.0.0.1 {NAME}\n")
    options = OPTIONS if experiment == "hello" else {}
    # No hello here is met by silence, so that these deadlines cost nothing and a slow machine is
    # not taken for a filter.
    opened = opening(local_targets=True, connect_s=300, tls_s=300, exchange_s=300)
    return await really(experiment, f"{NAME}:{port}", opened, options)


def is_large(measurement: Measurement) -> bool:
    sizes = [o.tls.hello_bytes for o in measurement.observations if o.endpoint == "own" and o.tls]
    return sizes[0] > 1_460


@pytest.mark.parametrize(
    ("drops", "rule", "state"),
    [
        (drops_nothing, "hello.passes", VerdictState.REACHABLE),
        (drops_browsers, "hello.browsers_dropped", VerdictState.BLOCKED),
        (passes_browsers_only, "hello.own_filtered", VerdictState.UNKNOWN),
        (drops_name(NAME), "hello.name", VerdictState.BLOCKED),
        (drops_name_in_first_segment(NAME), "hello.first_segment", VerdictState.BLOCKED),
        (lambda _: True, "hello.doubt", VerdictState.UNKNOWN),
    ],
    ids=["nothing", "browsers", "all_but_browsers", "name", "first_segment", "everything"],
)
async def test_a_filter_is_told_as_what_it_is(
    drops: Drops, rule: str, state: VerdictState, web: int, opening: Opening, tmp_path: Path
) -> None:
    control = await measured("hello", web, opening, tmp_path)
    async with hello_filter(web, drops) as port:
        here = await measured("hello", port, opening, tmp_path)
    if rule == "hello.browsers_dropped" and not is_large(here):  # OpenSSL before 3.5
        rule, state = "hello.size_or_fingerprint", VerdictState.UNKNOWN
    seen = verdict(here, control)
    assert (seen.rule, seen.state) == (rule, state)


async def test_a_server_that_trips_over_browsers_is_no_block(
    web: int, opening: Opening, tmp_path: Path
) -> None:
    async with hello_filter(web, drops_browsers) as port:
        here = await measured("hello", port, opening, tmp_path)
        control = await measured("hello", port, opening, tmp_path)
    seen = verdict(here, control)
    assert (seen.rule, seen.state) == ("hello.server", VerdictState.UNKNOWN)
