"""Signal's CA changes its root during measurements, in a country with two censors.

Its web servers change: all under the old root, the chat's still under it, all under the new one,
all under one that no agent's list has. Each time native agents measure from an open network, from
one that resets the service's names, from one that opens TLS, and from abroad as the control. The
judge compares each measurement with each of the control's, before and after.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import product

import pytest
import yaml
from cryptography.hazmat.primitives.serialization import Encoding

from heliograph.observation import Link, Measurement
from heliograph_collector.judge import judge
from heliograph_collector.model.control_look import VantageProfile
from heliograph_collector.model.records import ControlView, Verdict, VerdictState
from lab.country import servers
from lab.country.country import Country, country
from lab.country.interference import Interference
from lab.country.matrix import EVERY, make_job, run_jobs
from lab.country.topology import ABROAD, small_country
from lab.country.world import require_for_test
from support.scenario import taken
from support.service_root import OWN, ServiceRoot

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("rotation")]
NETWORKS = {"open": "", "reset": "sni_reset", "opened": "tls_interception"}  # and what each does
VALID = ("old", "mixed", "new")
PHASES = (*VALID, "next")
REACHABLE, BLOCKED, DOWN, UNKNOWN = (
    VerdictState.REACHABLE, VerdictState.BLOCKED, VerdictState.DOWN, VerdictState.UNKNOWN,
)  # fmt: skip
EXPECTED = (  # where, when, the control's time, the states that are right
    ("open", VALID, PHASES, {REACHABLE}),
    ("open", ("next",), PHASES, {DOWN, UNKNOWN}),
    ("reset", PHASES, VALID, {BLOCKED}),
    ("reset", PHASES, ("next",), {DOWN, UNKNOWN}),
    ("opened", PHASES, VALID, {BLOCKED}),
    ("opened", PHASES, ("next",), {DOWN, UNKNOWN}),
)
Looks = Mapping[tuple[str, str], Measurement]  # by place and phase


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Country]:
    require_for_test()
    networks = {name: {"ala": 1} for name in NETWORKS}
    described = small_country(networks, {"ala": "KZ-75"})
    with country(tmp_path_factory.mktemp("rotation"), described, ("signal",)) as made:
        made.configure_agents()
        for network, kind in NETWORKS.items():
            if kind:
                names = made.abroad.names_of("signal")
                made.gates[network].apply(Interference(kind=kind, names=names))
        yield made


@pytest.fixture(scope="module")
def looks(made: Country) -> Looks:
    roots = {name: ServiceRoot(is_ed25519=name != "old") for name in PHASES if name != "mixed"}
    list_services(made, (roots["old"], roots["new"]))
    names = made.abroad.names_of("signal")
    chat = [name for name in names if name.endswith("chat.signal.org")]
    others = [name for name in names if name not in chat]
    found: dict[tuple[str, str], Measurement] = {}
    for phase in PHASES:
        core = roots["old" if phase == "mixed" else phase]
        rest = roots["new" if phase == "mixed" else phase]
        made.replace_leaf(core.write_leaf(made.folder, *chat), chat)
        made.replace_leaf(rest.write_leaf(made.folder, *others), others)
        found |= {(place, phase): seen for place, seen in look(made).items()}
    return found


def list_services(made: Country, roots: tuple[ServiceRoot, ...]) -> None:
    """Write the lab's services with these roots, as in the signed list and updates."""
    document = yaml.safe_load(servers.services_yaml(made.abroad))
    service = document["services"]["signal"]
    service["roots"] = [root.certificate.public_bytes(Encoding.PEM).decode() for root in roots]
    for endpoint in service["endpoints"]:
        endpoint["trust"] = "signal"
    (made.folder / "services.yml").write_text(yaml.safe_dump(document))


def look(made: Country) -> dict[str, Measurement]:
    places = {ABROAD: ABROAD} | {agent.network: agent.name for agent in made.topology.agents}
    task = {"experiment": "signal", "target": "signal", "service": "signal", "options": {}}
    found = run_jobs(made, [make_job(made, space, EVERY, [task]) for space in places.values()])
    return {
        place: replace(found[space][0], link=Link.ONLINE, epoch=place)
        for place, space in places.items()
    }


def verdict_of(made: Country, here: Measurement, there: Measurement, *, is_common: bool) -> Verdict:
    """Judge a measurement by a control; `is_common` marks its issuer as shared.

    Then several vantages of the network met certificates of this authority.
    """
    (service,) = (s for s in made.abroad.services if s.name == "signal")
    issuers = frozenset({OWN.rfc4514_string()} if is_common else ())
    control = ControlView(
        measurement=there,
        age_us=60_000_000,
        link=Link.ONLINE,
        groups={endpoint.id: endpoint.group for endpoint in service.endpoints},
        functions=service.map_functions(),
        profile=VantageProfile(shared_issuers=issuers),
    )
    return judge(taken(here), control)[-1]


def test_a_changed_root_is_no_block_and_hides_none(made: Country, looks: Looks) -> None:
    wrong = []
    for place, heres, controls, right in EXPECTED:
        for here, control, is_common in product(heres, controls, (False, True)):
            seen, there = looks[place, here], looks[ABROAD, control]
            verdict = verdict_of(made, seen, there, is_common=is_common)
            if verdict.state not in right:
                wrong.append((place, here, control, is_common, verdict.state, verdict.rule))
    assert wrong == []
