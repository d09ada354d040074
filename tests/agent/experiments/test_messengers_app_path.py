"""The app's order of attempts is followed where its first way fails."""

import random
from collections.abc import Mapping
from dataclasses import replace

import pytest

from heliograph.failure import Failure
from heliograph.observation import Link, Measurement, Observation
from heliograph.plan import APP_PATH, EndpointKind, Service, ServiceFunction
from heliograph.services import load_shipped_services
from heliograph_agent.experiments.endpoints import is_literal
from heliograph_agent.experiments.experiment import Target
from heliograph_collector.judge import judge
from heliograph_collector.judge.service_verdict import judge_service
from heliograph_collector.model.records import ControlView, Verdict, VerdictState
from support.experiment_run import observed
from support.fake_net import World
from support.loopback_ca import LoopbackCA
from support.real_run import Opening, really
from support.scenario import NOON_US, taken
from support.tcp_server import tcp_server
from support.tls_server import tls_server
from support.values import present
from support.whatsapp_chat import chat_server

SERVICES = load_shipped_services()
REPLIES = {EndpointKind.MTPROTO: "res_pq", EndpointKind.NOISE: "server_hello"}
NAMED = "5.6.7.8"


def target(name: str) -> Target:
    return Target(value=name, service=SERVICES.get(name))


def with_alive(name: str, *alive: str) -> World:
    """Return a world in which only these endpoints and their names answer."""
    world = World()
    for endpoint in present(target(name).service).endpoints:
        if endpoint.id not in alive:
            continue
        own = (endpoint.host,) if is_literal(endpoint.host) else (NAMED,)
        addresses = endpoint.addresses or own
        if addresses == (NAMED,):
            key = f"doh:{endpoint.host}" if endpoint.resolver else endpoint.host
            world.names[key] = (NAMED,)
        for address in addresses:
            world.ports[address, endpoint.port] = None
            if endpoint.kind in REPLIES:
                world.speeches[address, endpoint.port] = REPLIES[endpoint.kind]
    return world


def path_of(seen: list[Observation]) -> list[str]:
    """Return the endpoints of the app's way, in the order in which they were tried."""
    labels = dict.fromkeys(x.endpoint for x in seen if x.endpoint.startswith(APP_PATH))
    return [label.removeprefix(APP_PATH) for label in labels]


def winners(seen: list[Observation]) -> set[str]:
    return {
        x.endpoint.removeprefix(APP_PATH)
        for x in seen
        if x.endpoint.startswith(APP_PATH) and x.failure is None and (x.exchange or x.tls)
    }


STAGED = [
    (name, number)
    for name in ("telegram", "whatsapp", "signal")
    for number in range(len(present(SERVICES.get(name)).stages))
]


@pytest.mark.parametrize(("name", "number"), STAGED)
async def test_each_fallback_in_turn_is_found_and_nothing_after_it_is_tried(
    name: str, number: int
) -> None:
    stages = present(target(name).service).stages
    alive = stages[number].endpoints[-1]
    seen = await observed(name, target(name), with_alive(name, alive))
    tried = path_of(seen)
    if not tried:  # it answered as one of the usual endpoints, so that messages get through
        functions = present(target(name).service).map_functions()
        answered = {functions.get(x.endpoint) for x in seen if x.failure is None and not x.dns}
        assert answered - {None} == {ServiceFunction.MESSAGING}  # OONI's POST is no function
        return
    assert winners(seen) == {alive}
    assert tried == [e for stage in stages[: number + 1] for e in stage.endpoints]


def ways_of(name: str) -> list[set[tuple[str, int]]]:
    """Return each stage's destinations: a name, or its substitute, and a port."""
    service = present(SERVICES.get(name))
    by_id = {e.id: e for e in service.endpoints}
    stages = [[by_id[one] for one in stage.endpoints] for stage in service.stages]
    return [
        {("built in" if e.addresses else e.resolver or e.host, e.port) for e in stage}
        for stage in stages
    ]


def test_whatsapp_is_followed_in_the_order_of_its_android_app() -> None:
    """WhatsApp is followed in the order of its Android app.

    ConnectionSequence of public decompiled builds, without addresses that its server gave it. g on
    443 or 5222, then 80; g-fallback likewise; what is built in; the names e1 to e16. Of these the
    list tries two, on port 80 one.
    """
    front, back, last = "g.whatsapp.net", "g-fallback.whatsapp.net", "e1.whatsapp.net"
    *stages, chats, on_80 = ways_of("whatsapp")
    expected = [
        ways
        for host in (front, back, "built in")
        for ways in ({(host, 443), (host, 5222)}, {(host, 80)})
    ]
    assert stages == expected
    assert {(last, 443), (last, 5222)} <= chats
    assert {port for _, port in chats} == {443, 5222}
    assert on_80 == {(last, 80)}


def test_signal_is_followed_in_the_order_of_libsignal() -> None:
    """Signal is followed in the order of libsignal.

    libsignal 7a592316d of 2026-07-10, DOMAIN_CONFIG_CHAT: a host for HTTP/2, four addresses. Its
    resolver asks the system first, then Cloudflare by DoH, then takes the built-in addresses.
    """
    expected = ["grpc.chat.signal.org", "https://1.1.1.1/dns-query", "built in"]
    assert ways_of("signal") == [{(way, 443)} for way in expected]
    endpoints = {e.id: e for e in present(SERVICES.get("signal")).endpoints}
    assert {endpoints[e].host for e in ("grpc", "grpc-doh", "grpc-address")} == {expected[0]}
    assert set(endpoints["grpc-address"].addresses) == {
        "76.223.66.180",
        "15.197.251.99",
        "2600:9000:a507:ab6d:575d:9d9f:64af:7a5a",
        "2600:9000:a61f:527c:8e4a:4b48:bbfd:c9bb",
    }


def test_telegram_begins_where_telethon_does_and_goes_on_as_tdlib() -> None:
    """Telegram begins as Telethon does and continues as tdlib does.

    Telethon 1.45.0, telegrambaseclient.py: DEFAULT_DC_ID 2, DEFAULT_IPV4_IP, DEFAULT_PORT 443.
    `use_ipv6` is False, `timeout` 10 s. It tries this one place again (`connection_retries` 5), and
    no other; with `use_ipv6` it begins with DEFAULT_IPV6_IP. tdlib's ports are 443, 80, 5222.
    """
    first, second, *others = ways_of("telegram")
    assert ("149.154.167.51", 443) in first
    assert not {host for host, _ in first if ":" in host}
    assert ("2001:67c:4e8:f002::a", 443) in second
    assert {port for _, port in first | second} == {443}
    assert [{port for _, port in ways} for ways in others] == [{80}, {5222}]
    assert others[0] == {(host, 80) for host, _ in first}, "the same places by another port"
    assert {stage.seconds for stage in present(SERVICES.get("telegram")).stages} == {10}


@pytest.mark.parametrize("name", ["telegram", "whatsapp", "signal"])
@pytest.mark.parametrize("options", [{}, {"light": "true"}], ids=["whole", "light"])
async def test_where_nothing_answers_every_stage_was_tried(
    name: str, options: Mapping[str, str]
) -> None:
    seen = await observed(name, target(name), World(), options)
    stages = present(target(name).service).stages
    assert path_of(seen) == [e for stage in stages for e in stage.endpoints]
    assert not winners(seen)


async def test_an_app_whose_first_way_works_is_followed_no_further() -> None:
    service = present(target("signal").service)
    messaging = [e for e in service.endpoints if e.group in ("chat", "websocket", "grpc")]
    world = World(
        names={e.host: (NAMED,) for e in messaging},
        ports={(NAMED, 443): None},
    )
    seen = await observed("signal", target("signal"), world)
    assert not path_of(seen)
    assert "grpc-doh" not in {x.endpoint for x in seen}, "and what is a fallback costs nothing"


async def test_signal_goes_on_where_lookups_fail_and_not_where_they_lie() -> None:
    lied = World(names={"grpc.chat.signal.org": ("192.0.2.66",)})
    assert path_of(await observed("signal", target("signal"), lied)) == ["grpc"]
    failing = World(names={"grpc.chat.signal.org": Failure.GENERIC_TIMEOUT_ERROR})
    tried = path_of(await observed("signal", target("signal"), failing))
    assert tried == ["grpc", "grpc-doh", "grpc-address"]


async def test_no_control_s_visit_follows_the_app() -> None:
    visited = {"g-443": ("192.0.2.7",)}
    seen = await observed("whatsapp", target("whatsapp"), World(), visited=visited)
    assert {x.endpoint for x in seen} == {"g-443"}


async def test_signal_s_chat_is_greeted_in_http_2_alone() -> None:
    seen = await observed("signal", target("signal"), with_alive("signal", "grpc"))
    assert {x.tls.alpn for x in seen if x.tls and x.endpoint == "grpc"} == {"h2"}


@pytest.mark.parametrize(
    ("name", "first", "fallback"),
    [("whatsapp", "g-443", "g-address-443"), ("signal", "grpc", "grpc-address")],
)
async def test_real_servers_at_built_in_addresses_answer_where_the_name_is_denied(
    opening: Opening, ca: LoopbackCA, name: str, first: str, fallback: str
) -> None:
    with (
        tcp_server(chat_server) as noise,
        tls_server(ca.leaf("chat.test"), alpn=("h2",)) as tls,
    ):
        service = present(target(name).service)
        port = noise if name == "whatsapp" else tls
        moved = tuple(
            replace(
                e,
                host="chat.test",
                port=port,
                trust="",
                addresses=("127.0.0.1",) if e.addresses else (),
            )
            for e in service.endpoints
            if e.id in (first, fallback)
        )
        place = Target(value=name, service=replace(service, endpoints=moved))
        here = await really(name, place, opening())
    assert path_of(list(here.observations)) == [first, fallback]
    assert winners(list(here.observations)) == {fallback}


async def measured(name: str, world: World, options: Mapping[str, str]) -> Measurement:
    return Measurement(
        experiment=name, experiment_version=1, target=name, service=name, started_us=NOON_US,
        monotonic_us=0, boot="boot", runtime_us=1, epoch="e1", link=Link.ONLINE,
        observations=tuple(await observed(name, target(name), world, options)),
        is_light="light" in options,
    )  # fmt: skip


@pytest.mark.parametrize("options", [{}, {"light": "true"}], ids=["whole", "light"])
@pytest.mark.parametrize(
    ("name", "fallback", "state"),
    [
        ("whatsapp", "g-address-80", VerdictState.PARTIAL),
        ("whatsapp", "", VerdictState.BLOCKED),
        ("signal", "grpc-address", VerdictState.PARTIAL),
        ("signal", "grpc-doh", VerdictState.PARTIAL),
        ("signal", "", VerdictState.BLOCKED),
        ("telegram", "dc4-5222-mtproto", VerdictState.PARTIAL),
        ("telegram", "dc2-alternate-mtproto", VerdictState.PARTIAL),
        ("telegram", "", VerdictState.BLOCKED),
    ],
)
async def test_a_block_that_leaves_the_app_a_way_is_told_as_what_it_is(
    name: str, fallback: str, state: VerdictState, options: Mapping[str, str]
) -> None:
    service = present(target(name).service)
    usual = [e.id for e in service.list_planned_endpoints()]
    control = await measured(name, with_alive(name, *usual), {})
    here = await measured(name, with_alive(name, fallback), options)
    view = ControlView(
        measurement=control, age_us=60_000_000, link=Link.ONLINE,
        groups={e.id: e.group for e in service.endpoints}, functions=service.map_functions(),
        first_way=service.first_way,
    )  # fmt: skip
    told = judge(taken(here), view)[-1]
    assert told.state is state, told
    if fallback:
        assert told.rule == "service.works_by_fallback"
        assert told.function.split(",")[0] == "first_way"
        by_which = {here.observations[i].endpoint for i in told.evidence}
        assert APP_PATH + fallback in by_which
        assert "messaging" not in told.function
    assert not {v.endpoint for v in judge(taken(here), view) if v.endpoint.startswith(APP_PATH)}


@pytest.mark.parametrize("known", SERVICES.services, ids=lambda each: each.name)
def test_a_service_whose_core_is_down_everywhere_is_never_reachable(known: Service) -> None:
    """A service whose core is down everywhere is never reachable.

    For every service of the list, whatever its other groups do; 200 of their states each.
    """
    functions = known.map_functions()
    core = {e for e, f in functions.items() if f is ServiceFunction.MESSAGING}
    groups = {e.id: e.group for e in known.endpoints if e.group}
    chance = random.Random(known.name)
    for _ in range(200):
        verdicts = [
            Verdict(
                state=VerdictState.DOWN
                if e.id in core or not core
                else chance.choice(tuple(VerdictState)),
                rule="tcp.timeout",
                endpoint=e.id,
                confidence=0.8,
            )
            for e in known.endpoints
        ]
        assert judge_service(verdicts, groups, functions).state is not VerdictState.REACHABLE
