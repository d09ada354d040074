"""Signal's own authority changes its root: a server under either is the right one.

Native runs meet servers under the old root, the new one, a next one that no agent has, and a
filter that resets every ClientHello. The judge compares each with each, as before and after.
"""

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_address
from itertools import product
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from heliograph.observation import Link, Measurement
from heliograph.plan import EndpointKind
from heliograph.services import load_shipped_services
from heliograph_agent.experiments.experiment import Target
from heliograph_collector.judge import judge
from heliograph_collector.model.control_look import VantageProfile
from heliograph_collector.model.records import ControlView, VerdictState
from support.loopback_ca import Leaf
from support.real_run import Opening, really
from support.scenario import taken
from support.tcp_server import reset_after_first_bytes, tcp_server
from support.tls_server import tls_server
from support.values import present

HOSTS = ("127.0.0.1", "127.0.0.2")  # of the chat, and of all others
RootKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
OWN = x509.Name.from_rfc4514_string("CN=Own Messenger,O=Own Messenger\\, LLC")
BEGIN = datetime(2022, 1, 1, tzinfo=UTC)
END = datetime(2052, 1, 1, tzinfo=UTC)
PEM = serialization.Encoding.PEM


def issue(key: ec.EllipticCurvePrivateKey | None, by: RootKey) -> x509.Certificate:
    """Issue a server's certificate; without a key, the authority's own."""
    subject = OWN if key is None else x509.Name.from_rfc4514_string(f"CN={HOSTS[0]}")
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(OWN)
        .public_key((key or by).public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(BEGIN)
        .not_valid_after(END)
        .add_extension(x509.BasicConstraints(ca=key is None, path_length=None), critical=True)
    )
    if key is not None:
        names = x509.SubjectAlternativeName([x509.IPAddress(ip_address(host)) for host in HOSTS])
        builder = builder.add_extension(names, critical=False)
    is_ed25519 = isinstance(by, ed25519.Ed25519PrivateKey)
    return builder.sign(by, None if is_ed25519 else hashes.SHA256())


def write_leaf(directory: Path, name: str, by: RootKey) -> Leaf:
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = Leaf(directory / f"{name}.pem", directory / f"{name}.key")
    leaf.chain.write_bytes(issue(key, by).public_bytes(PEM))
    unsealed = serialization.NoEncryption()
    leaf.key.write_bytes(key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, unsealed))
    return leaf


def place_endpoints(ports: tuple[int, int]) -> Target:
    """Signal's endpoints by TLS on loopback, the chat's at one server and the others at another."""
    service = present(load_shipped_services().get("signal"))
    places = {e.id: 0 if e.host.startswith("chat.") else 1 for e in service.endpoints}
    moved = tuple(
        replace(
            e,
            kind=EndpointKind.TLS,
            host=HOSTS[places[e.id]],
            port=ports[places[e.id]],
            trust="signal",
        )
        for e in service.endpoints
    )
    return Target(value="signal", service=replace(service, endpoints=moved))


def list_roots(known: Iterable[RootKey]) -> list[bytes]:
    """The roots as a signed list brings them."""
    return [issue(None, root).public_bytes(serialization.Encoding.DER) for root in known]


def hide_ports(measurement: Measurement) -> Measurement:
    """Give every step the same port, as the servers have that the test stands for."""
    steps = tuple(
        replace(o, tcp=o.tcp and replace(o.tcp, port=443)) for o in measurement.observations
    )
    return replace(measurement, observations=steps)


@pytest.fixture
async def looks(opening: Opening, tmp_path: Path) -> dict[str, Measurement]:
    """Measure Signal before, in and after a rotation, at a next root, and behind a filter."""
    roots: dict[str, RootKey] = {
        "old": ec.generate_private_key(ec.SECP256R1()),
        "new": ed25519.Ed25519PrivateKey.generate(),
        "next": ed25519.Ed25519PrivateKey.generate(),
    }
    with ExitStack() as servers:
        ports: dict[tuple[str, str], int] = {}
        for name, root in roots.items():
            leaf = write_leaf(tmp_path, name, root)
            for host in HOSTS:
                ports[name, host] = servers.enter_context(tls_server(leaf, host=host))
        for host in HOSTS:
            server = tcp_server(reset_after_first_bytes, host=host)
            ports["reset", host] = servers.enter_context(server)
        pairs = {name: (name, name) for name in (*roots, "reset")}
        pairs |= {"mixed": ("old", "new"), "next mixed": ("old", "next")}
        for name in ("old", "next", "next mixed", "reset"):
            pairs[f"{LISTED} {name}"] = pairs[name]
        measured: dict[str, Measurement] = {}
        for name, (core, others) in pairs.items():
            target = place_endpoints((ports[core, HOSTS[0]], ports[others, HOSTS[1]]))
            newest = (roots["new"], roots["next"])
            known = (roots["old"], *(newest if name.startswith(LISTED) else newest[:1]))
            run = await really(
                "signal", target, opening(roots={"signal": list_roots(known)}, ca_file="")
            )
            measured[name] = hide_ports(run)
        return measured


REACHABLE, BLOCKED, DOWN, UNKNOWN = (
    VerdictState.REACHABLE, VerdictState.BLOCKED, VerdictState.DOWN, VerdictState.UNKNOWN,
)  # fmt: skip
LISTED = "listed"  # by agents whose signed list has the next root
VALID = ("old", "mixed", "new", "listed old", "listed next", "listed next mixed")
EXPECTED = (  # here, at the control, the states that are right
    (VALID, (*VALID, "next", "next mixed", "reset"), {REACHABLE}),
    (("next",), (*VALID, "next", "next mixed"), {DOWN, UNKNOWN}),
    (("next mixed",), (*VALID, "next", "next mixed"), {REACHABLE, DOWN, UNKNOWN}),
    (("reset",), (*VALID, "next mixed"), {BLOCKED}),
    (("reset",), ("next", "reset"), {DOWN, UNKNOWN}),
    (("listed reset",), VALID, {BLOCKED}),
)


async def test_a_changed_root_is_no_block_and_hides_none(looks: dict[str, Measurement]) -> None:
    """Several vantages of the network met the next root, as at a filter that opens TLS."""
    profile = VantageProfile(shared_issuers=frozenset({OWN.rfc4514_string()}))
    for heres, controls, right in EXPECTED:
        for here, control in product(heres, controls):
            look = looks[control]
            view = ControlView(
                measurement=look, age_us=60_000_000, link=Link.ONLINE, profile=profile
            )
            verdict = judge(taken(looks[here]), view)[-1]
            assert verdict.state in right, (here, control, verdict)
