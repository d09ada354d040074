"""tcp: the addresses of a name, or one literal, and nothing more."""

from heliograph.failure import Failure, Operation
from support.experiment_run import observed
from support.fake_net import World
from support.values import present


async def test_a_literal_is_connected_to_without_asking_a_resolver() -> None:
    (seen,) = await observed("tcp", "[2001:db8::1]:443", World(ports={("2001:db8::1", 443): None}))
    assert seen.operation is Operation.CONNECT
    assert seen.failure is None


async def test_each_address_stands_on_the_lookup_that_gave_it() -> None:
    world = World(names={"www.test": ("192.0.2.1", "2001:db8::1")})
    seen = await observed("tcp", "www.test:80", world)
    for connect in (o for o in seen if o.tcp):
        lookup = present(seen[present(connect.parent)].dns)
        assert lookup.addresses == (connect.tcp.address if connect.tcp else "",)
        assert connect.failure is Failure.CONNECTION_REFUSED
