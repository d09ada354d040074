"""middlebox: six connections to an echo service, and real proxies in between that show."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from heliograph.failure import Failure, Operation
from heliograph.observation import Exchange
from heliograph_agent.experiments.experiment import CannotRun
from support.experiment_run import observed
from support.fake_net import World
from support.probe_command import Command
from support.transparent_proxy import TARGET, Proxied, proxied

ECHO = ("192.0.2.7", 80)
LINES = {"line_method", "line_fields", "line_long_method", "line_version", "line_squid"}


@pytest.mark.parametrize(
    ("options", "labels"),
    [({}, {"http"} | LINES), ({"headers": "false"}, LINES), ({"lines": "false"}, {"http"})],
)  # fmt: skip
async def test_each_request_has_its_connection_and_its_label(
    options: dict[str, str], labels: set[str]
) -> None:
    world = World(ports={ECHO: None}, speeches={ECHO: "echo"})
    seen = await observed("middlebox", "192.0.2.7", world, options)
    assert {o.endpoint for o in seen if o.operation is Operation.CONNECT} == labels
    said = {o.endpoint: o.exchange.protocol for o in seen if o.exchange}
    assert said == {label: "http_echo" if label == "http" else "tcp_echo" for label in labels}


async def test_a_port_nobody_listens_on_is_six_refusals_and_no_request() -> None:
    seen = await observed("middlebox", "192.0.2.7:80", World())
    assert {o.failure for o in seen} == {Failure.CONNECTION_REFUSED}
    assert not any(o.exchange for o in seen)


async def test_differences_are_kept() -> None:
    told = Exchange(protocol="", reply="echo", differences=("header_name",))
    world = World(ports={ECHO: None}, speeches={ECHO: told})
    seen = await observed("middlebox", "192.0.2.7", world, {"lines": "false"})
    assert seen[-1].exchange is not None
    assert seen[-1].exchange.differences == ("header_name",)


async def test_with_nothing_to_send_it_cannot_run() -> None:
    with pytest.raises(CannotRun, match="nothing is left to send"):
        await observed("middlebox", "192.0.2.7", World(), {"headers": "false", "lines": "false"})


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    with proxied(tmp_path_factory.mktemp("proxied")) as made:
        yield made


ANSWERED = {line: ["http_reply"] for line in sorted(LINES)}


@pytest.mark.lab
@pytest.mark.parametrize(
    ("proxy", "http", "lines"),
    [
        ("", [], {line: [] for line in sorted(LINES)}),
        ("nginx", "unexpected_reply", ANSWERED),  # it refuses GeT with a page of its own
        ("tinyproxy", ["header_name", "header_name_capitalization", "header_number"], ANSWERED),
    ],
)
def test_a_real_proxy_on_the_way_shows(
    lab: Proxied,
    tmp_path: Path,
    proxy: str,
    http: list[str] | str,
    lines: dict[str, list[str]],
) -> None:
    lab.through(proxy)
    command = Command(state=tmp_path / "state", inside=lab.space.command([]))
    ran = command.run("middlebox", TARGET, "--json")
    assert ran.code == 0, ran.err
    found = {
        o["endpoint"]: o["failure"] or o["exchange"]["differences"]
        for o in ran.observations
        if o["exchange"]
    }
    assert found == {"http": http} | lines
