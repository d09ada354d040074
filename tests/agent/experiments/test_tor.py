"""tor: authorities, relays and bridges one by one, a bootstrap, and a real relay."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from heliograph.failure import Failure, Operation
from heliograph.services import load_shipped_services
from heliograph_agent.experiments.experiment import CannotRun, Target
from heliograph_agent.experiments.tor import make_server_name
from support.experiment_run import observed
from support.fake_net import Page, World
from support.netns import Namespace, namespace
from support.probe_command import Command
from support.programs import eventually, started

SERVICE = load_shipped_services().get("tor")
TOR = Target(value="tor", service=SERVICE)
MORIA = "128.31.0.39"
KEYS = f"http://{MORIA}:9231/tor/keys/authority.z"
BRIDGE = "192.0.2.7:443 0123456789ABCDEF0123456789ABCDEF01234567"


async def test_authorities_are_asked_on_both_ports_and_bridges_are_connected_to() -> None:
    assert SERVICE is not None
    world = World(
        ports={(MORIA, 9231): None, (MORIA, 9201): None, ("193.11.166.194", 27015): None},
        pages={KEYS: Page()},
    )
    seen = await observed("tor", TOR, world)
    last = {o.endpoint: (o.operation, o.failure) for o in seen}
    assert last.keys() == {e.id for e in SERVICE.endpoints}
    assert last["dir_port-moria1"] == (Operation.READ_BODY, None)
    assert last["or_port-moria1"] == (Operation.TLS_HANDSHAKE, None)
    assert last["bridge-193-11-166-194"] == (Operation.CONNECT, None)
    assert last["dir_port-bastet"] == (Operation.CONNECT, Failure.CONNECTION_REFUSED)
    assert {e.group for e in SERVICE.endpoints} == {*("dir_port", "or_port", "bridge", "snowflake")}


async def test_a_relay_is_asked_with_a_name_of_no_meaning_and_any_certificate_will_do() -> None:
    world = World(ports={(MORIA, 9201): None})
    seen = await observed("tor", TOR, world)
    (hello,) = [o.tls for o in seen if o.tls]
    assert hello.server_name == make_server_name(bytes(range(10)))
    assert hello.alpn == ""
    name = make_server_name(b"\x01" * 10)
    assert name.startswith("www.")
    assert name.endswith(".com")
    assert name[4:-4].isalnum()


@pytest.mark.parametrize(("trouble", "reply"), [(None, "100"), (Failure.CONNECTION_RESET, "10")])
async def test_a_bootstrap_runs_beside_them_when_it_is_wanted(
    trouble: Failure | None, reply: str
) -> None:
    seen = await observed("tor", TOR, World(tor=trouble), {"bootstrap": "true"})
    (step,) = [o for o in seen if o.endpoint == "bootstrap"]
    assert step.failure is trouble
    assert step.exchange is not None
    assert (step.exchange.protocol, step.exchange.reply) == ("tor_bootstrap", f"progress_{reply}")


async def test_without_the_program_it_says_so_and_the_rest_was_seen() -> None:
    world = World(ports={(MORIA, 9201): None}, without=frozenset({"tor"}))
    with pytest.raises(CannotRun, match="has no tor"):
        await observed("tor", TOR, world, {"bootstrap": "true"})
    assert await observed("tor", TOR, world), "and without the bootstrap nothing is missing"


async def test_a_bridge_s_address_is_kept_nowhere() -> None:
    options = {"bootstrap": "true", "bridge": BRIDGE}
    seen = await observed("tor", TOR, World(), options)
    assert "192.0.2.7" not in str(seen)


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Namespace]:
    """Run Debian's tor as a relay on 127.0.0.1:9001, in a namespace without a network."""
    home = tmp_path_factory.mktemp("tor")
    (home / "data").mkdir(mode=0o700)
    torrc = home / "torrc"
    torrc.write_text(
        f"DataDirectory {home}/data\nSocksPort 0\nORPort 127.0.0.1:9001\nDirPort 127.0.0.1:9030\n"
        "Nickname unreached\nContactInfo nobody\nExitRelay 0\nAssumeReachable 1\n"
        "PublishServerDescriptor 0\nAddress 127.0.0.1\nExtendAllowPrivateAddresses 1\n"
    )
    with namespace() as space:
        log = home / "log"
        with started(space.command(["tor", "-f", str(torrc)]), log):
            eventually(lambda: "Opened OR listener" in log.read_text(), "a relay")
            yield space


@pytest.mark.lab
def test_a_real_relay_ends_the_handshake_with_a_certificate_of_its_own(
    relay: Namespace, tmp_path: Path
) -> None:
    services = tmp_path / "services.yml"
    services.write_text(
        'version: "1"\nservices:\n  tor:\n    title: Tor\n    endpoints:\n'
        "      - {id: or_port-here, kind: tls, host: 127.0.0.1, port: 9001, group: or_port}\n"
    )
    options = {"plan.services_file": str(services)}
    command = Command(state=tmp_path / "state", options=options, inside=relay.command([]))
    ran = command.run("tor", "", "--json")
    assert ran.code == 0, ran.err
    steps = [(o["operation"], o["failure"]) for o in ran.observations]
    assert steps == [("connect", None), ("tls_handshake", None)]
    hello = ran.observations[-1]["tls"]
    assert hello["version"].startswith("TLSv1.")
    assert hello["chain"], "which no CA of this world has signed"
