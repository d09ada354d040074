"""Every interference of the lab works on real traffic, and is removed completely.

The agent's own `probe` measures from one mobile network; the neighboring network is unaffected.
"""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

import pytest

from lab.country.country import Country, country
from lab.country.interference import KINDS, Interference
from lab.country.topology import RESOLVER
from lab.country.world import require_for_test
from support.programs import agent, ask, eventually, started

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("country")]
NAME, NEUTRAL = "www.bbc.com", "www.example.com"
UNUSED = "45.90.9.9"  # routed abroad, where no machine has it
FORGED = "10.10.34.35"
TIMEOUT, RESET = "generic_timeout_error", "connection_reset"
QUICK = {"web": {"resolver": "", "doh": ""}, "dns": {"engines": "system"}}
# One of each means: zone, forged answer, packet filter, proxy, list of what is let through. That
# each kind shows in its network and in no other, test_matrix.py tells of the whole table at once.
# kind: (experiment, target), (operation, failure or text) that must appear. Applied to NAME and
# its address unless NARROWED says otherwise.
CASES: dict[str, tuple[str, str, str, str]] = {
    "dns_nxdomain": ("dns", NAME, "resolve", "dns_nxdomain_error"),
    "dns_injected": ("dns", NAME, "resolve", FORGED),
    "sni_reset": ("tls", NAME, "tls_handshake", RESET),
    "block_page": ("web", f"http://{NAME}/", "read_body", "restricted"),
    "whitelist": ("tcp", f"{NAME}:443", "connect", TIMEOUT),
}
NARROWED: dict[str, dict[str, Any]] = {
    "whitelist": {"addresses": ("45.90.2.0/24",)},
}
SLOWED = {"freeze": 100_000, "policed": 500_000, "slow_line": 500_000}  # bytes in three seconds
ELSEWHERE = {  # test_matrix.py
    "dns_refused", "dns_bogon", "dns_dropped", "syn_dropped", "syn_reset", "address_dropped",
    "sni_reset_injected", "sni_dropped", "host_reset", "tls_interception", "abroad_cut", "cut",
    "quic_dropped", "dns_turned", "header_proxy", "unknown_dropped", "stun_dropped", "vpn_dropped",
    "ech_dropped", "closed_to_abroad", "browsers_dropped", "browsers_only", "hello_name_dropped",
    "first_segment_dropped",
}  # fmt: skip
FORGER_PORT = 5399
FORGER = f"""
import socket, dns.message, dns.rrset
box = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
box.bind(("127.0.0.1", {FORGER_PORT}))
while True:
    data, asker = box.recvfrom(4096)
    query = dns.message.from_wire(data)
    reply = dns.message.make_response(query)
    name = query.question[0].name.to_text()
    reply.answer.append(dns.rrset.from_text(name, 60, "IN", "A", "{FORGED}"))
    box.sendto(reply.to_wire(), asker)
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Country]:
    require_for_test()
    with country(tmp_path_factory.mktemp("country")) as running:
        running.configure_agents()
        yield running


def first_place(lab: Country, network: str, region: str = "") -> str:
    return lab.names(network, region)[0]


def probe(lab: Country, place: str, experiment: str, target: str, **options: str) -> list[Any]:
    """Return the observations of one probe from a place."""
    chosen = [word for key, value in options.items() for word in ("--option", f"{key}={value}")]
    config = lab.folder / "agent.yml"
    command = agent("probe", experiment, target, "--json", "--config", config, *chosen)
    return [json.loads(line) for line in ask(lab.world.command(place, command)).splitlines()[1:]]


def shows(observations: list[Any], operation: str, failure: str) -> bool:
    steps = {(step["operation"], step.get("failure")) for step in observations}
    return (operation, failure) in steps or failure in json.dumps(observations)


@contextmanager
def interference(lab: Country, kind: str, network: str = "kcell", **fields: Any) -> Iterator[None]:
    number = lab.gates[network].apply(Interference(kind=kind, **fields))
    try:
        yield
    finally:
        lab.gates[network].lift(number)


def rules(lab: Country, space: str) -> list[str]:
    """List packet filter rules, queues and resolver zones, without counters."""
    control = ("unbound-control", "-c", f"{lab.folder}/kcell.conf", "list_local_zones")
    commands = (("iptables-save",), ("ip6tables-save",), ("tc", "qdisc", "show"), control)
    texts = [lab.world.run(space, *command) for command in commands]
    lines = (line.partition(" [")[0] for text in texts for line in text.splitlines())
    return sorted({line for line in lines if line and line[0] not in "#:*" and line != "COMMIT"})


def test_every_kind_is_tried() -> None:
    assert set(CASES) | set(SLOWED) | ELSEWHERE == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_lifted_interference_leaves_no_rule(lab: Country, kind: str) -> None:
    space = lab.topology.network("kcell").gate
    before = rules(lab, space)
    with interference(lab, kind, names=(NAME,), addresses=lab.abroad.addresses_of(NAME)):
        assert rules(lab, space) != before
    assert rules(lab, space) == before


@pytest.mark.parametrize("kind", CASES)
def test_interference_shows_in_its_network_until_lifted(lab: Country, kind: str) -> None:
    experiment, target, operation, failure = CASES[kind]
    options = QUICK.get(experiment, {})
    fields: dict[str, Any] = {"names": (NAME,), "addresses": lab.abroad.addresses_of(NAME)}
    fields |= NARROWED.get(kind, {})
    here, neighbor = first_place(lab, "kcell"), first_place(lab, "tele2")
    with interference(lab, kind, **fields):
        observations = probe(lab, here, experiment, target, **options)
        assert shows(observations, operation, failure), observations
        assert not shows(probe(lab, neighbor, experiment, target, **options), operation, failure)
    assert not shows(probe(lab, here, experiment, target, **options), operation, failure)


def test_cut_of_one_region_spares_the_other(lab: Country) -> None:
    places = [first_place(lab, "telecom", region) for region in ("ala", "nqz")]
    with interference(lab, "cut", "telecom", region="ala"):
        almaty, astana = (probe(lab, place, "tcp", f"{RESOLVER}:53") for place in places)
    assert shows(almaty, "connect", TIMEOUT)
    assert not shows(astana, "connect", TIMEOUT)


@pytest.mark.parametrize("kind", SLOWED)
def test_slowed_transfer_brings_little_in_time(lab: Country, kind: str) -> None:
    (address,) = lab.abroad.addresses_of(NAME)
    place = first_place(lab, "kcell")
    fetch = [
        "curl", "--silent", "--insecure", "--max-time", "3", "--output", os.devnull,
        "--resolve", f"{NAME}:443:{address}", "--write-out", "%{size_download}",
        f"https://{NAME}/large",
    ]  # fmt: skip
    with interference(lab, kind, addresses=(address,), rate_kbit=256):
        slowed = lab.world.run(place, "sh", "-c", " ".join(fetch) + "; true")
    assert 0 < int(slowed) < SLOWED[kind]
    assert int(lab.world.run(place, *fetch)) == 1_000_000


def queries_for(name: str) -> str:
    """Build an nftables match of UDP queries whose name begins as this one does.

    The question begins 12 bytes into the message (RFC 1035 section 4.1), that 8 into the datagram.
    """
    wire = b"".join(bytes((len(label),)) + label.encode() for label in name.split(".")[:2])
    return f"udp dport 53 @th,160,{8 * len(wire)} 0x{wire.hex()}"


@contextmanager
def forger(lab: Country, place: str, *matches: str) -> Iterator[None]:
    """Answer matching queries of a place with FORGED, in the asked server's name."""
    nat = "\n".join(f"{match} redirect to :{FORGER_PORT}" for match in matches)
    chain = f"chain out {{ type nat hook output priority -100;\n{nat}\n}}"
    command = lab.world.command(place, [sys.executable, "-c", FORGER])
    with started(command, lab.folder / "forger.log"):
        listening = f":{FORGER_PORT}"
        eventually(lambda: listening in lab.world.run(place, "ss", "-Hlun"), "the forger", 20)
        lab.world.run(place, "nft", "-f", "-", text=f"table ip forged {{\n{chain}\n}}\n")
        try:
            yield
        finally:
            lab.world.run(place, "nft", "delete", "table", "ip", "forged")


@pytest.mark.parametrize(
    ("matches", "forged"),
    [
        ((), set()),
        ((queries_for(NAME),), {"system", "udp", "nowhere"}),
        (("udp dport 53",), {"system", "udp", "nowhere", "nowhere_neutral", "neutral"}),
    ],
    ids=["none", "of one name", "of all names"],
)
def test_dns_forger_is_located_by_the_queries_it_answers(
    lab: Country, matches: tuple[str, ...], forged: set[str]
) -> None:
    place = first_place(lab, "kcell")
    with forger(lab, place, *matches):
        observations = probe(
            lab, place, "dns_integrity", NAME, resolver=f"{RESOLVER}:53", nowhere=f"{UNUSED}:53",
            neutral=NEUTRAL, dot="", doh="", whoami="", linger_ms="50",
        )  # fmt: skip
    answers = {o["endpoint"]: [a["data"] for a in o["dns"]["answers"]] for o in observations}
    assert {label for label, data in answers.items() if data == [FORGED]} == forged
    assert answers["tcp"] == list(lab.abroad.addresses_of(NAME)), "the forger does not do TCP"
    silent = {o["endpoint"] for o in observations if o["failure"] == TIMEOUT}
    assert silent == {"nowhere", "nowhere_neutral"} - forged


def probe_page(lab: Country) -> list[Any]:
    place, page = first_place(lab, "kcell"), f"http://{NAME}/"
    return probe(lab, place, "web", page, resolver=f"{RESOLVER}:53", doh="")


@pytest.mark.slow
def test_page_with_dropped_packets_ends_in_time(lab: Country) -> None:
    """The runner gives it 120 s."""
    began = monotonic()
    with interference(lab, "syn_dropped", addresses=lab.abroad.addresses_of(NAME)):
        observations = probe_page(lab)
    assert monotonic() - began < 30
    failures = {(step["tcp"]["port"], step["failure"]) for step in observations if step["tcp"]}
    assert failures == {(80, TIMEOUT), (443, TIMEOUT)}


def test_reset_page_in_clear_is_still_asked_for_its_certificate(lab: Country) -> None:
    with interference(lab, "host_reset", names=(NAME,), port=80):
        observations = probe_page(lab)
    steps = {(o["operation"], o["failure"]) for o in observations if o["operation"] != "resolve"}
    assert steps == {("connect", None), ("http_round_trip", RESET), ("tls_handshake", None)}
