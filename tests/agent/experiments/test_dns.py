"""dns: every engine asks for every type; a resolver's lie stands beside the rest."""

from heliograph.failure import Failure
from support.experiment_run import observed
from support.fake_net import World


async def test_every_way_is_asked_for_both_families() -> None:
    world = World(names={"www.test": ("192.0.2.1",), "system:www.test": ("10.10.34.35",)})
    seen = await observed("dns", "www.test", world)
    answers = {(o.dns.engine, o.dns.query_type): o.dns.addresses for o in seen if o.dns}
    assert answers == {
        ("system", "A"): ("10.10.34.35",),
        **{(engine, "A"): ("192.0.2.1",) for engine in ("udp", "tcp", "doh")},
        **{(engine, "AAAA"): () for engine in ("system", "udp", "tcp", "doh")},
    }


async def test_the_chosen_ways_and_resolvers_alone_are_asked() -> None:
    options = {"engines": "udp, tcp", "types": "A", "resolver": "192.0.2.53:5353"}
    seen = await observed("dns", "www.test", World(), options)
    assert sorted((o.dns.engine, o.dns.resolver) for o in seen if o.dns) == [
        ("tcp", "192.0.2.53:5353"),
        ("udp", "192.0.2.53:5353"),
    ]
    assert {o.failure for o in seen} == {Failure.DNS_NXDOMAIN_ERROR}
