"""tls: the name that is sent is the target's, another's, or none."""

import pytest

from heliograph.failure import Failure, Operation
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
