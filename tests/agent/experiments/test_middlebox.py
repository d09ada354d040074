"""middlebox: six connections to an echo service; tests/lab adds a real proxy."""

import pytest

from heliograph.failure import Failure, Operation
from heliograph.observation import Exchange
from support.experiment_run import observed
from support.fake_net import World
from support.values import present

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
    assert present(seen[-1].exchange).differences == ("header_name",)
