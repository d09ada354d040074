"""sni: the neutral name goes first; tests/lab has real boxes that mind a name."""

from heliograph.failure import Failure, Operation
from support.experiment_run import observed
from support.fake_net import World

NEUTRAL, OWN = "192.0.2.80", "192.0.2.1"


def world(**more: Failure | None) -> World:
    return World(
        names={"target.test": (OWN,), "neutral.test": (NEUTRAL, "192.0.2.81")},
        ports={(NEUTRAL, 443): None, ("192.0.2.81", 443): None, (OWN, 443): None},
        handshakes=dict(more),
    )


async def test_what_nobody_minds_goes_first_and_to_the_same_address() -> None:
    seen = await observed("sni", "target.test", world(), {"neutral": "neutral.test"})
    hellos = [(o.endpoint, o.tls.server_name) for o in seen if o.tls]
    assert [hello for hello in hellos if not hello[0].startswith("direct")] == [
        ("neutral", "neutral.test"),
        ("none", ""),
        ("target", "target.test"),
    ]
    assert [hello for hello in hellos if hello[0].startswith("direct")] == [
        ("direct_neutral", "neutral.test"),
        ("direct", "target.test"),
    ]
    places = {o.tcp.address: o.endpoint for o in seen if o.tcp}
    assert places == {NEUTRAL: "target", OWN: "direct"}


async def test_without_direct_the_targets_own_server_is_left_alone() -> None:
    options = {"neutral": "neutral.test", "direct": "false"}
    seen = await observed("sni", "target.test", world(), options)
    assert {o.dns.name for o in seen if o.dns} == {"neutral.test"}
    assert {o.endpoint for o in seen if o.tls} == {"neutral", "none", "target"}


async def test_a_name_that_fails_does_not_end_the_rest() -> None:
    scripted = world(**{"target.test": Failure.CONNECTION_RESET})
    seen = await observed("sni", "target.test", scripted, {"neutral": "neutral.test"})
    failed = {o.endpoint for o in seen if o.operation is Operation.TLS_HANDSHAKE and o.failure}
    assert failed == {"target", "direct"}
