"""vpn: servers as people name them, and the makers' own that answer."""

import base64
import ipaddress
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from heliograph.failure import Failure, Operation
from heliograph_agent.experiments.vpn import Server, parse_key, parse_servers
from support.experiment_run import observed
from support.fake_net import World
from support.loopback_ca import LoopbackCA
from support.netns import Namespace, namespace
from support.ports import HOST, free_port
from support.probe_command import Command
from support.programs import eventually, started
from support.real_run import Opening, really

OPENVPN = "/usr/sbin/openvpn"
PROTOCOLS = {"udp": "udp", "tcp": "tcp-server"}
READY = ("link remote: [AF_UNSPEC]", "Listening for incoming TCP connection")
WIREGUARD_PORT = 51820
# Kernels that have WireGuard themselves are no reason not to start here.
ANYWAY = "WG_I_PREFER_BUGGY_USERSPACE_TO_POLISHED_KMOD=1"


@contextmanager
def openvpn(
    directory: Path, ca: LoopbackCA, transport: str, *, secret: bool = False
) -> Iterator[int]:
    """Yield the port of Debian's OpenVPN, which has no tunnel device.

    With `secret` it has a tls-auth key, and answers no client without it.
    """
    leaf = ca.leaf("vpn.test")
    port = free_port()
    command = [
        OPENVPN, "--dev", "null", "--tls-server", "--dh", "none", "--ifconfig-noexec",
        "--local", HOST, "--lport", str(port), "--proto", PROTOCOLS[transport],
        "--ca", str(ca.ca_file), "--cert", str(leaf.chain), "--key", str(leaf.key),
    ]  # fmt: skip
    if secret:
        key = directory / "secret"
        subprocess.run([OPENVPN, "--genkey", "secret", str(key)], check=True, timeout=60)
        command += ["--tls-auth", str(key), "0"]
    log = directory / "log"
    with started(command, log):
        eventually(lambda: any(mark in log.read_text() for mark in READY), f"a start: {log}")
        yield port


@dataclass(frozen=True, slots=True)
class Keys:
    """Keys in Base64, as `wg` writes them."""

    private: str
    public: str


def new_keys() -> Keys:
    key = X25519PrivateKey.generate()
    raw = key.private_bytes_raw(), key.public_key().public_bytes_raw()
    return Keys(*(base64.b64encode(each).decode() for each in raw))


@contextmanager
def wireguard(space: Namespace, directory: Path, peer: str) -> Iterator[str]:
    """Run wireguard-go for one peer's public key; yield the server's public key."""
    device = f"hg{os.getpid()}"
    keys = new_keys()
    file = directory / "private"
    file.write_text(keys.private)
    log = directory / "wireguard.log"
    with started(space.command(["env", ANYWAY, "wireguard-go", "-f", device]), log) as process:
        eventually(Path(f"/var/run/wireguard/{device}.sock").exists, f"a start: {log}")
        port = str(WIREGUARD_PORT)
        space.run("wg", "set", device, "listen-port", port, "private-key", str(file), "peer", peer)
        space.run("ip", "link", "set", device, "up")
        yield keys.public
        process.terminate()  # so that it removes its socket
        process.wait(240)


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
def server(space: Namespace, keys: Keys, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with wireguard(space, tmp_path_factory.mktemp("wireguard"), keys.public) as made:
        yield made


@pytest.mark.lab
@pytest.mark.parametrize("known", [True, False])
def test_a_real_wireguard_answers_a_peer_that_it_knows_and_no_other(
    space: Namespace, keys: Keys, server: str, tmp_path: Path, known: bool
) -> None:
    command = Command(state=tmp_path / "state", inside=space.command([]))
    target = f"wireguard://{server}@{HOST}:{WIREGUARD_PORT}"
    key = [f"--option=private_key={keys.private}"] if known else ["--option=attempts=1"]
    ran = command.run("vpn", target, "--json", *key)
    assert ran.code == 0, ran.err
    (step,) = ran.observations
    reply, failure = step["exchange"]["reply"], step["failure"]
    expected = ("handshake_response", None) if known else ("", "generic_timeout_error")
    assert (reply, failure) == expected
    assert keys.private not in ran.out + ran.err
    assert ipaddress.ip_address(step["udp"]["address"]).is_loopback
