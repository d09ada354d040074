"""vpn: servers as people name them, and the makers' own that answer."""

import ipaddress
from collections.abc import Iterator
from pathlib import Path

import pytest

from heliograph.failure import Failure, Operation
from heliograph_agent.experiments.vpn import Server, parse_key, parse_servers
from support.experiment_run import observed
from support.fake_net import World
from support.loopback_ca import LoopbackCA
from support.netns import Namespace, namespace
from support.openvpn import openvpn
from support.ports import free_port
from support.probe_command import Command
from support.real_run import Opening, really
from support.wireguard import Keys, new_keys, wireguard
from support.wireguard import Server as Real

KEY = "/+" + "A" * 41 + "="
BYTES = parse_key(KEY, "it")


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("openvpn://vpn.test:1195/udp", Server("openvpn", "vpn.test", 1195)),
        ("openvpn://vpn.test:443/tcp", Server("openvpn", "vpn.test", 443, is_tcp=True)),
        ("openvpn://vpn.test", Server("openvpn", "vpn.test", 1194)),
        ("openvpn://[2001:db8::1]:1194/udp", Server("openvpn", "2001:db8::1", 1194)),
        (f"wireguard://{KEY}@vpn.test:51821", Server("wireguard", "vpn.test", 51821, key=BYTES)),
        (f"wireguard://{KEY.rstrip('=').translate(str.maketrans('/+', '_-'))}@vpn.test",
         Server("wireguard", "vpn.test", 51820, key=BYTES)),
        (f"wireguard://{KEY}@192.0.2.1", Server("wireguard", "192.0.2.1", 51820, key=BYTES)),
    ],
)  # fmt: skip
def test_a_server_is_named_as_people_do(text: str, server: Server) -> None:
    assert parse_servers(text) == (server,)


async def test_servers_are_counted_by_protocol_and_names_are_looked_up() -> None:
    world = World(
        names={"vpn.test": ("192.0.2.1", "192.0.2.2", "192.0.2.3")},
        ports={("192.0.2.7", 443): None},
        speeches={
            ("192.0.2.1", 1194): "hard_reset_server",
            ("192.0.2.7", 443): "hard_reset_server",
            ("192.0.2.9", 51820): "handshake_response",
        },
    )
    text = f"openvpn://vpn.test:1194/udp openvpn://192.0.2.7:443/tcp,wireguard://{KEY}@192.0.2.9"
    seen = await observed("vpn", text, world)
    said = {
        (o.endpoint, o.udp.address if o.udp else "tcp"): o.exchange.reply
        for o in seen
        if o.exchange
    }
    assert said == {
        ("openvpn-1", "192.0.2.1"): "hard_reset_server",
        ("openvpn-1", "192.0.2.2"): "",
        ("openvpn-2", "tcp"): "hard_reset_server",
        ("wireguard-1", "192.0.2.9"): "handshake_response",
    }
    assert {o.endpoint for o in seen if o.dns} == {"openvpn-1"}


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_real_openvpn_answers_the_reset(
    opening: Opening, ca: LoopbackCA, tmp_path: Path, transport: str
) -> None:
    with openvpn(tmp_path, ca, transport) as port:
        seen = await really("vpn", f"openvpn://127.0.0.1:{port}/{transport}", opening())
    last = seen.observations[-1]
    assert last.failure is None
    assert last.exchange is not None
    assert (last.exchange.protocol, last.exchange.reply) == ("openvpn", "hard_reset_server")


async def test_a_real_openvpn_with_a_key_of_its_own_is_silent(
    opening: Opening, ca: LoopbackCA, tmp_path: Path
) -> None:
    with openvpn(tmp_path, ca, "udp", secret=True) as port:
        seen = await really("vpn", f"openvpn://127.0.0.1:{port}/udp", opening(udp_s=0.3))
    assert [o.failure for o in seen.observations] == [Failure.GENERIC_TIMEOUT_ERROR] * 2


async def test_a_port_that_nobody_has_is_refused(opening: Opening) -> None:
    port = free_port()
    seen = await really("vpn", f"openvpn://127.0.0.1:{port}/udp", opening())
    assert [(o.operation, o.failure) for o in seen.observations] == [
        (Operation.EXCHANGE, Failure.CONNECTION_REFUSED)
    ]


@pytest.fixture(scope="module")
def space() -> Iterator[Namespace]:
    with namespace() as made:
        yield made


@pytest.fixture(scope="module")
def keys() -> Keys:
    return new_keys()


@pytest.fixture(scope="module")
def server(
    space: Namespace, keys: Keys, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Real]:
    with wireguard(space, tmp_path_factory.mktemp("wireguard"), keys.public) as made:
        yield made


@pytest.mark.lab
@pytest.mark.parametrize("known", [True, False])
def test_a_real_wireguard_answers_a_peer_that_it_knows_and_no_other(
    space: Namespace, keys: Keys, server: Real, tmp_path: Path, known: bool
) -> None:
    command = Command(state=tmp_path / "state", inside=space.command([]))
    target = f"wireguard://{server.public}@127.0.0.1:{server.port}"
    key = [f"--option=private_key={keys.private}"] if known else ["--option=attempts=1"]
    ran = command.run("vpn", target, "--json", *key)
    assert ran.code == 0, ran.err
    (step,) = ran.observations
    reply, failure = step["exchange"]["reply"], step["failure"]
    expected = ("handshake_response", None) if known else ("", "generic_timeout_error")
    assert (reply, failure) == expected
    assert keys.private not in ran.out + ran.err
    assert ipaddress.ip_address(step["udp"]["address"]).is_loopback
