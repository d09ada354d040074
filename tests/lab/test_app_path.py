"""Check which of an app's ways to connect is left, for three messengers.

Networks of the lab leave Telegram, WhatsApp and Signal one way each. Native agents follow each
app's own order of attempts, by real packets. What is built into an app is the address that its name
has abroad: names are denied, addresses alive.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest
import yaml

from heliograph.observation import Link, Measurement
from heliograph.plan import APP_PATH, Endpoint, EndpointKind, Service
from heliograph_collector.judge import judge
from heliograph_collector.model.records import ControlView, VerdictState
from lab.country.country import Country, country
from lab.country.interference import Interference
from lab.country.matrix import EVERY, make_job, run_jobs
from lab.country.servers import DOH_ADDRESS
from lab.country.topology import ABROAD, small_country
from lab.country.world import require_for_test
from support.scenario import taken

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("rotation")]
APPS = ("telegram", "whatsapp", "signal")
TLS_PORTS = (443, 5222)
IN_CLEAR = tuple(f"dc{number}-80-mtproto" for number in range(1, 6))
LAST_PORT = ("dc2-5222-mtproto", "dc4-5222-mtproto")
OTHERS = ("dc1-other-mtproto", "dc5-other-mtproto")
ALTERNATE = ("dc2-alternate-mtproto",)
SIX = ("dc2-mtproto6", "dc4-mtproto6")
WITH_IPV6 = "n3"
# By network: the endpoints of which one may answer; none where nothing is left.
WAYS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "n0": {"whatsapp": ("g-80",), "telegram": IN_CLEAR, "signal": ("grpc-address",)},
    "n1": {
        "whatsapp": ("g-fallback-443", "g-fallback-5222"),
        "telegram": LAST_PORT,
        "signal": ("grpc-doh",),
    },
    "n2": {"whatsapp": ("g-fallback-80",), "telegram": OTHERS},
    "n3": {"whatsapp": ("g-address-443", "g-address-5222"), "telegram": SIX},
    "n4": {"whatsapp": ("g-address-80",), "telegram": ALTERNATE},
    "n5": {"whatsapp": ("e1-80",)},
    "n6": {"whatsapp": (), "signal": ()},
}


def shut(made: Country) -> dict[str, list[Interference]]:
    names = made.abroad.names
    front, back = names["g.whatsapp.net"], names["g-fallback.whatsapp.net"]
    chats = [a for name, a in names.items() if name[0] == "e" and name.endswith(".whatsapp.net")]
    whatsapp = made.abroad.names_of("whatsapp")
    usual = [refuse(port, front, *chats) for port in TLS_PORTS]
    only_back = [refuse(0, front), *(refuse(port, *chats) for port in TLS_PORTS)]
    signal = deny(made.abroad.names_of("signal"))
    centres = made.abroad.of_service("telegram", "mtproto")
    posted_to = made.abroad.of_service("telegram", "dc")
    four = [a for a in centres if ":" not in a]
    kept = find_hosts(made, "telegram", ALTERNATE)
    return {
        "n0": [*usual, signal, refuse(443, DOH_ADDRESS), refuse(443, *centres)],
        "n1": [*only_back, signal, refuse(443, *centres), refuse(80, *centres)],
        "n2": [*only_back, *(refuse(port, back) for port in TLS_PORTS), refuse(0, *posted_to)],
        "n3": [deny(whatsapp), refuse(0, *four)],
        "n4": [
            deny(whatsapp),
            *(refuse(port, front) for port in TLS_PORTS),
            refuse(0, *(a for a in four if a not in kept)),
            Interference(kind="host_reset", names=("POST",)),  # which this address would answer
        ],
        "n5": [*only_back, refuse(0, back)],
        "n6": [deny(whatsapp), signal, refuse(0, front, names["grpc.chat.signal.org"])],
    }


def find_hosts(made: Country, name: str, ids: tuple[str, ...]) -> set[str]:
    (service,) = (s for s in made.abroad.services if s.name == name)
    return {endpoint.host for endpoint in service.endpoints if endpoint.id in ids}


def refuse(port: int, *addresses: str) -> Interference:
    return Interference(kind="syn_reset", addresses=addresses, port=port)


def deny(names: tuple[str, ...]) -> Interference:
    return Interference(kind="dns_nxdomain", names=names)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Country]:
    require_for_test()
    described = small_country({name: {"ala": 1} for name in WAYS}, {"ala": "KZ-75"})
    for network in described["networks"]:
        network["ipv6"] = network["name"] == WITH_IPV6
    with country(tmp_path_factory.mktemp("path"), described, APPS) as made:
        made.configure_agents()
        services = {s.name: describe(made, s) for s in made.abroad.services if s.name in APPS}
        document = yaml.safe_dump({"version": "lab", "services": services})
        (made.folder / "services.yml").write_text(document)
        for network, shuts in shut(made).items():
            for one in shuts:
                made.gates[network].apply(one)
        yield made


def describe(made: Country, service: Service) -> dict[str, object]:
    """Return the service as listed, under the lab's CA and at the lab's addresses."""
    return {
        "title": service.title,
        "experiment": service.experiment,
        "functions": {str(f.function): list(f.groups) for f in service.functions},
        "stages": [
            {"try": list(s.endpoints), "seconds": s.seconds, "if_unresolved": s.if_unresolved}
            for s in service.stages
        ],
        "endpoints": [describe_endpoint(made, e) for e in service.endpoints],
    }


def describe_endpoint(made: Country, endpoint: Endpoint) -> dict[str, object]:
    fields = {
        "path": endpoint.path if endpoint.path != "/" else "",
        "method": endpoint.method if endpoint.kind is EndpointKind.HTTP else "",
        "group": endpoint.group,
        "alpn": list(endpoint.alpn),
        "resolver": endpoint.resolver,
        "addresses": [made.abroad.names[endpoint.host]] if endpoint.addresses else [],
    }
    given = {key: value for key, value in fields.items() if value}
    port = {} if endpoint.kind is EndpointKind.DNS else {"port": endpoint.port}
    return {"id": endpoint.id, "kind": str(endpoint.kind), "host": endpoint.host, **port, **given}


@pytest.fixture(scope="module")
def looks(made: Country) -> Mapping[tuple[str, str], Measurement]:
    places = {ABROAD: ABROAD} | {agent.network: agent.name for agent in made.topology.agents}
    tasks = [{"experiment": name, "target": name, "service": name, "options": {}} for name in APPS]
    found = run_jobs(made, [make_job(made, space, EVERY, tasks) for space in places.values()])
    return {
        (place, name): replace(seen, link=Link.ONLINE)
        for place, space in places.items()
        for name, seen in zip(APPS, found[space], strict=True)
    }


def list_winners(seen: Measurement) -> set[str]:
    return {
        x.endpoint.removeprefix(APP_PATH)
        for x in seen.observations
        if x.endpoint.startswith(APP_PATH) and x.failure is None and (x.exchange or x.tls)
    }


@pytest.mark.parametrize(
    ("network", "name"), [(network, name) for network, ways in WAYS.items() for name in ways]
)
def test_the_way_that_is_left_is_found_and_told(
    made: Country, looks: Mapping[tuple[str, str], Measurement], network: str, name: str
) -> None:
    seen, ways = looks[network, name], WAYS[network][name]
    winners = list_winners(seen)
    assert winners <= set(ways), "nothing is tried after it"
    assert bool(winners) is bool(ways)
    (service,) = (s for s in made.abroad.services if s.name == name)
    control = ControlView(
        measurement=looks[ABROAD, name],
        age_us=60_000_000,
        link=Link.ONLINE,
        groups={endpoint.id: endpoint.group for endpoint in service.endpoints},
        functions=service.map_functions(),
        first_way=service.first_way,
    )
    verdict = judge(taken(seen), control)[-1]
    expected = VerdictState.PARTIAL if ways else VerdictState.BLOCKED
    assert verdict.state is expected, verdict
    assert (verdict.rule == "service.works_by_fallback") is bool(ways)


@pytest.mark.parametrize("network", WAYS)
def test_telegram_is_followed_only_where_telethon_s_one_place_does_not_answer(
    looks: Mapping[tuple[str, str], Measurement], network: str
) -> None:
    """Telethon 1.45.0 tries 149.154.167.51:443 six times, and no other place."""
    steps = looks[network, "telegram"].observations
    answers = any(x.endpoint == "dc2-mtproto" and x.exchange and x.failure is None for x in steps)
    assert answers is ("telegram" not in WAYS[network])
    assert any(x.endpoint.startswith(APP_PATH) for x in steps) is not answers
