"""Messengers: every endpoint is visited and separate, whatever the others do."""

import base64
from dataclasses import replace
from pathlib import Path

import pytest

from heliograph.experiments.messengers import WhatsAppConfig
from heliograph.failure import Failure, Operation
from heliograph.plan import APP_PATH, EndpointKind
from heliograph.services import load_shipped_services
from heliograph_agent.experiments import REGISTRY
from heliograph_agent.experiments.experiment import Experiment, Target
from heliograph_collector.model.records import VerdictState
from support.experiment_run import observed
from support.fake_net import Page, World
from support.loopback_ca import LoopbackCA
from support.nginx import nginx
from support.real_run import Opening, really, verdict
from support.tcp_server import (
    Handler,
    close_after_first_bytes,
    reply,
    reset_after_first_bytes,
    tcp_server,
)
from support.telegram_dc import data_centre, refusal
from support.values import present
from support.whatsapp_chat import chat_server

UNEXPECTED = Failure.UNEXPECTED_REPLY
BY_LIST = [each for each in REGISTRY if each.function_name == "messengers"]
DATA_CENTRES = ("dc1", "dc2", "dc2-alternate", "dc3", "dc4", "dc5", "dc1-other", "dc5-other")


def target(name: str) -> Target:
    return Target(value=name, service=load_shipped_services().get(name))


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


async def test_telegram_is_asked_by_mtproto_at_every_data_centre_of_both_families() -> None:
    six = "2001:67c:4e8:f002::a"
    world = World(
        ports={("149.154.167.51", 443): None, (six, 443): None},
        speeches={("149.154.167.51", 443): "res_pq", (six, 443): "error_404"},
    )
    seen = await observed("telegram", target("telegram"), world)
    said = {o.endpoint: o.exchange for o in seen if o.exchange}
    assert {label: each.reply for label, each in said.items()} == {
        "dc2-mtproto": "res_pq",
        "dc2-mtproto6": "error_404",
    }
    assert {each.protocol for each in said.values()} == {"mtproto"}
    asked = {o.endpoint for o in seen}
    assert asked >= {f"{dc}-mtproto" for dc in DATA_CENTRES}
    assert asked >= {f"dc{n}-mtproto6" for n in range(1, 6)}
    assert asked >= {"web", "websocket", "t-me", "site", "core"}


async def test_a_web_socket_is_asked_for_as_browsers_do() -> None:
    url = "https://web.whatsapp.com/ws/chat"
    world = World(
        names={"web.whatsapp.com": ("192.0.2.1",)},
        ports={("192.0.2.1", 443): None},
        pages={url: Page(status=101)},
    )
    seen = await observed("whatsapp", target("whatsapp"), world)
    headers = next(headers for _, asked, headers in world.requests if asked == url)
    assert headers["Origin"] == "https://web.whatsapp.com"
    assert (headers["Connection"], headers["Upgrade"]) == ("Upgrade", "websocket")
    assert len(base64.b64decode(headers["Sec-WebSocket-Key"])) == 16
    steps = [o for o in seen if o.endpoint == "websocket" and o.http]
    assert [(o.operation, o.http and o.http.status) for o in steps] == [
        (Operation.HTTP_ROUND_TRIP, 101)
    ], "a socket that opened has no body"


async def test_whatsapp_says_the_apps_hello_and_tells_one_port_from_the_other() -> None:
    four, six, refused = "192.0.2.1", "2001:db8::1", Failure.CONNECTION_REFUSED
    world = World(
        names={"e1.whatsapp.net": (four, six)},
        ports={(four, 443): None, (four, 5222): None},
        speeches={(four, 443): "server_hello", (four, 5222): Failure.EOF_ERROR},
    )
    seen = await observed("whatsapp", target("whatsapp"), world)
    seen = [o for o in seen if not o.endpoint.startswith(APP_PATH)]  # g is silent: tested there
    said = {o.endpoint: (o.exchange.reply, o.failure) for o in seen if o.exchange}
    assert said == {"e1-443": ("server_hello", None), "e1-5222": ("", Failure.EOF_ERROR)}
    at_e1 = [o for o in seen if o.tcp and o.endpoint.startswith("e1-") and not o.exchange]
    assert {(o.endpoint, o.tcp and o.tcp.address, o.failure) for o in at_e1} == {
        (label, at, failure)
        for label in ("e1-443", "e1-5222")
        for at, failure in ((four, None), (six, refused))
    }


@pytest.mark.parametrize(("count", "hosts"), [(1, {"e1"}), (4, {"e1", "e5", "e9", "e13"})])
def test_a_sample_of_chat_servers_is_spread_and_the_same_everywhere(
    count: int, hosts: set[str]
) -> None:
    service = present(target("whatsapp").service)
    chosen = WhatsAppConfig(chat_hosts=count).sample(service.endpoints)
    assert {e.host.split(".")[0] for e in chosen if e.group == "chat"} == hosts | {"g"}
    assert {"registration", "web", "media", "static"} <= {e.id for e in chosen}
    assert WhatsAppConfig(chat_hosts=64).sample(service.endpoints) == service.endpoints


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


@pytest.mark.parametrize("experiment", BY_LIST, ids=lambda each: each.name)
async def test_a_messenger_is_what_its_service_says(experiment: Experiment) -> None:
    about = target(experiment.default_target)
    assert about.service is not None
    assert about.service.experiment == experiment.name
    names = {e.host: ("192.0.2.1", "192.0.2.2", "2001:db8::1") for e in about.service.endpoints}
    seen = await observed(experiment.name, about, World(names=dict(names)))
    assert {o.endpoint for o in seen} == {e.id for e in about.service.endpoints}
    tried = {o.tcp.address for o in seen if o.tcp}
    assert tried == {"192.0.2.1", "2001:db8::1"}, "few bytes: one address of each family"
    both = await observed(experiment.name, about, World(names=dict(names)), {"addresses": "2"})
    assert {o.tcp.address for o in both if o.tcp} == {"192.0.2.1", "192.0.2.2", "2001:db8::1"}
    assert all(endpoint.group for endpoint in about.service.endpoints)


def here(name: str, label: str, host: str, port: int) -> Target:
    """A service with one of its endpoints alone, which is on loopback."""
    service = present(target(name).service)
    endpoint = next(e for e in service.endpoints if e.id == label)
    moved = replace(endpoint, host=host, port=port)
    return Target(value=name, service=replace(service, endpoints=(moved,), stages=()))


@pytest.mark.parametrize(
    ("name", "label", "handler", "reply", "failure"),
    [
        ("telegram", "dc2-mtproto", data_centre(), "res_pq", None),
        ("telegram", "dc2-mtproto", data_centre(lambda _: refusal(404)), "error_404", None),
        ("telegram", "dc2-mtproto", reset_after_first_bytes, "", Failure.CONNECTION_RESET),
        ("telegram", "dc2-mtproto", reply(b"HTTP/1.1 403 No\r\n\r\n"), "", UNEXPECTED),
        ("whatsapp", "e1-443", chat_server, "server_hello", None),
        ("telegram", "dc203-cdn-mtproto", data_centre(), "res_pq", None),
        ("whatsapp", "g-fallback-80", chat_server, "server_hello", None),
        ("whatsapp", "e1-443", reset_after_first_bytes, "", Failure.CONNECTION_RESET),
        ("whatsapp", "e1-443", reply(b"HTTP/1.1 403 No\r\n\r\n"), "", UNEXPECTED),
    ],
)
async def test_a_real_server_that_speaks_the_protocol_or_does_not(
    opening: Opening, name: str, label: str, handler: Handler, reply: str, failure: Failure | None
) -> None:
    with tcp_server(handler) as port:
        seen = await really(name, here(name, label, "127.0.0.1", port), opening())
    last = seen.observations[-1]
    assert (present(last.exchange).reply, last.failure) == (reply, failure)


@pytest.mark.parametrize(
    ("handler", "method"),
    [(reset_after_first_bytes, "reset"), (close_after_first_bytes, "eof")],
)
async def test_mtproto_filter_is_blocked_where_the_control_succeeds(
    opening: Opening, handler: Handler, method: str
) -> None:
    with tcp_server(data_centre()) as port:
        place = here("telegram", "dc2-mtproto", "127.0.0.1", port)
        control = await really("telegram", place, opening())
    with tcp_server(handler) as port:
        place = here("telegram", "dc2-mtproto", "127.0.0.1", port)
        seen = await really("telegram", place, opening())
    at_one_port = [
        replace(x, tcp=x.tcp and replace(x.tcp, port=port)) for x in control.observations
    ]
    told = verdict(seen, replace(control, observations=tuple(at_one_port)))
    assert (told.state, told.layer) == (VerdictState.BLOCKED, "protocol")
    assert told.method.startswith(method)


@pytest.mark.parametrize("status", [101, 403])
async def test_web_socket_status_of_a_real_server_is_recorded(
    opening: Opening, ca: LoopbackCA, tmp_path: Path, status: int
) -> None:
    leaf = {"target.test": ca.leaf("target.test")}
    says = f"location /ws/chat {{ return {status}; }}"
    with nginx(tmp_path, leaf, directives=says) as site:
        about = here("whatsapp", "websocket", "target.test", site.https)
        assert about.service is not None
        assert about.service.endpoints[0].kind is EndpointKind.WEBSOCKET
        seen = await really("whatsapp", about, opening())
    last = seen.observations[-1]
    assert last.http is not None
    assert (last.http.status, last.failure) == (status, None)


@pytest.mark.parametrize("name", ["telegram", "whatsapp", "signal", "viber", "matrix"])
async def test_light_check_visits_one_endpoint_of_messaging(name: str) -> None:
    service = present(load_shipped_services().get(name))
    messaging = {
        id_ for id_, function in service.map_functions().items() if function == "messaging"
    }
    seen = await observed(name, target(name), World(), {"light": "true"})
    drawn = {x.endpoint for x in seen if not x.endpoint.startswith(APP_PATH)}
    assert len(drawn) == 1
    assert drawn <= (messaging or {endpoint.id for endpoint in service.endpoints})
    whole = {x.endpoint for x in await observed(name, target(name), World())}
    assert len(whole) > 3
