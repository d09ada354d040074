"""tls: the name that is sent is the target's, another's, or none."""

import pytest

from heliograph.failure import Failure, Operation
from heliograph_agent.experiments.experiment import CannotRun
from support.experiment_run import observed
from support.fake_net import World
from support.values import present

WORLD = World(names={"www.test": ("192.0.2.1",)}, ports={("192.0.2.1", 443): None})


@pytest.mark.parametrize(
    ("options", "sent"),
    [({}, "www.test"), ({"sni": "false"}, ""), ({"server_name": "decoy.test"}, "decoy.test")],
)  # fmt: skip
async def test_the_name_in_the_client_hello(options: dict[str, str], sent: str) -> None:
    seen = await observed("tls", "www.test", WORLD, options)
    (hello,) = (o for o in seen if o.tls)
    assert present(hello.tls).server_name == sent


@pytest.mark.parametrize(
    ("key", "value"), [("server_name", ".test"), ("server_name", "a..test"), ("alpn", "h2,é")]
)
async def test_what_no_client_hello_can_hold_is_refused_in_words(key: str, value: str) -> None:
    with pytest.raises(CannotRun, match=f"{key} cannot be '{value}'; allowed: "):
        await observed("tls", "www.test", WORLD, {key: value})


async def test_a_reset_handshake_is_one_step_above_a_good_connection() -> None:
    world = World(
        ports={("192.0.2.1", 8443): None}, handshakes={"192.0.2.1": Failure.CONNECTION_RESET}
    )
    connect, handshake = await observed("tls", "https://192.0.2.1:8443/", world)
    assert (connect.operation, connect.failure) == (Operation.CONNECT, None)
    assert (handshake.operation, handshake.failure) == (
        Operation.TLS_HANDSHAKE,
        Failure.CONNECTION_RESET,
    )
    assert handshake.parent == 0
