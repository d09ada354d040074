"""Telegram, WhatsApp, Signal: every endpoint is visited and told apart, whatever the others do."""

import pytest

from heliograph.failure import Failure, Operation
from heliograph.services import shipped
from heliograph_agent.experiment import CannotRun, Target
from heliograph_agent.experiments import by_name
from heliograph_agent.experiments.whatsapp import sample
from support.experiment_run import observed
from support.fake_net import Page, World


def target(name: str) -> Target:
    return Target(text=name, service=shipped().get(name))


async def test_telegram_posts_in_clear_to_every_data_centre_on_both_ports() -> None:
    world = World(
        ports={("149.154.175.50", 443): None, ("149.154.175.50", 80): None},
        pages={"http://149.154.175.50/": Page(status=404), "http://149.154.175.50:443/": Page()},
    )
    seen = await observed("telegram", target("telegram"), world)
    assert [(method, url) for method, url, _ in sorted(world.requests)] == [
        ("POST", "http://149.154.175.50/"),
        ("POST", "http://149.154.175.50:443/"),
    ]
    by_endpoint = {o.endpoint: o for o in seen}
    assert by_endpoint["dc1-80"].failure is None
    assert by_endpoint["dc1-443"].operation is Operation.READ_BODY
    assert by_endpoint["dc4-443"].failure is Failure.CONNECTION_REFUSED
    assert by_endpoint["web"].failure is Failure.DNS_NXDOMAIN_ERROR


async def test_whatsapp_asks_by_name_and_tells_one_port_from_the_other() -> None:
    world = World(
        names={"e1.whatsapp.net": ("192.0.2.1", "2001:db8::1")}, ports={("192.0.2.1", 443): None}
    )
    seen = await observed("whatsapp", target("whatsapp"), world)
    failures = {
        (o.endpoint, o.tcp.address): o.failure for o in seen if o.tcp and o.endpoint[:3] == "e1-"
    }
    assert failures == {
        ("e1-443", "192.0.2.1"): None,
        ("e1-443", "2001:db8::1"): Failure.CONNECTION_REFUSED,
        ("e1-5222", "192.0.2.1"): Failure.CONNECTION_REFUSED,
        ("e1-5222", "2001:db8::1"): Failure.CONNECTION_REFUSED,
    }


@pytest.mark.parametrize(("count", "hosts"), [(1, {"e1"}), (4, {"e1", "e5", "e9", "e13"})])
def test_a_sample_of_chat_servers_is_spread_and_the_same_everywhere(
    count: int, hosts: set[str]
) -> None:
    service = target("whatsapp").service
    assert service is not None
    chosen = sample(service.endpoints, count)
    assert {e.host.split(".")[0] for e in chosen if e.group == "chat"} == hosts
    assert {"registration", "web", "media", "static"} <= {e.id for e in chosen}
    assert sample(service.endpoints, 64) == service.endpoints


async def test_signal_is_checked_with_its_own_authority_and_a_bad_chain_stops_the_request() -> None:
    world = World(
        names={"chat.signal.org": ("192.0.2.1",), "updates.signal.org": ("192.0.2.2",)},
        ports={("192.0.2.1", 443): None, ("192.0.2.2", 443): None},
        handshakes={"chat.signal.org": Failure.SSL_UNKNOWN_AUTHORITY},
        pages={"https://updates.signal.org/": Page()},
    )
    seen = await observed("signal", target("signal"), world)
    last = {o.endpoint: o for o in seen if o.operation is not Operation.RESOLVE}
    assert last["chat"].failure is Failure.SSL_UNKNOWN_AUTHORITY
    assert last["updates"].operation is Operation.READ_BODY
    assert [url for _, url, _ in world.requests] == ["https://updates.signal.org/"]


@pytest.mark.parametrize("name", ["telegram", "whatsapp", "signal", "connectivity"])
async def test_without_its_service_there_is_nothing_to_run(name: str) -> None:
    with pytest.raises(CannotRun, match="no service"):
        await observed(name, Target(text="nothing"), World())
    assert by_name(name).default_target
