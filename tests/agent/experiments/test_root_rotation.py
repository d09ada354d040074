"""Signal's CA changes its root: a server under either root is the right one.

Native runs meet servers under the old root, the new one, a next one that no agent has, and a
filter that resets every ClientHello. The judge compares each with each, as before and after.
"""

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from heliograph.observation import Link, Measurement
from heliograph.plan import EndpointKind
from heliograph.services import load_shipped_services
from heliograph_agent.experiments.experiment import Target
from heliograph_collector.judge import judge
from heliograph_collector.model.control_look import VantageProfile
from heliograph_collector.model.records import ControlView, VerdictState
from support.real_run import Opening, really
from support.scenario import taken
from support.service_root import OWN, ServiceRoot
from support.tcp_server import reset_after_first_bytes, tcp_server
from support.tls_server import tls_server
from support.values import present

HOSTS = ("127.0.0.1", "127.0.0.2")  # of the chat, and of all others


def place_endpoints(ports: tuple[int, int]) -> Target:
    """Place Signal's TLS endpoints on loopback, the chat's at a server for itself."""
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


def list_roots(known: Iterable[ServiceRoot]) -> list[bytes]:
    """Return the roots as a signed list has them."""
    return [root.certificate.public_bytes(Encoding.DER) for root in known]


def hide_ports(measurement: Measurement) -> Measurement:
    """Give every step the same port, as the servers have that the test stands for."""
    steps = tuple(
        replace(o, tcp=o.tcp and replace(o.tcp, port=443)) for o in measurement.observations
    )
    return replace(measurement, observations=steps)


@pytest.fixture
async def looks(opening: Opening, tmp_path: Path) -> dict[str, Measurement]:
    """Measure Signal before, in and after a rotation, at a next root, and filtered."""
    roots = {
        "old": ServiceRoot(),
        "new": ServiceRoot(is_ed25519=True),
        "next": ServiceRoot(is_ed25519=True),
    }
    with ExitStack() as servers:
        ports: dict[tuple[str, str], int] = {}
        for name, root in roots.items():
            leaf = root.write_leaf(tmp_path, *HOSTS)
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
    """A changed root is no block, and hides none.

    Several vantages of the network met the next root, as at a filter that opens TLS.
    """
    profile = VantageProfile(shared_issuers=frozenset({OWN.rfc4514_string()}))
    for heres, controls, right in EXPECTED:
        for here, control in product(heres, controls):
            look = looks[control]
            view = ControlView(
                measurement=look, age_us=60_000_000, link=Link.ONLINE, profile=profile
            )
            verdict = judge(taken(looks[here]), view)[-1]
            assert verdict.state in right, (here, control, verdict)
