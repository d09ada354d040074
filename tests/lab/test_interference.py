"""Every interference of the lab does what it says to real traffic, and is taken back whole.

The agent's own probe looks from a mobile network; the neighbour's network must notice nothing.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.country.country import Country, country
from lab.country.interference import KINDS, Interference
from lab.country.world import require_for_test
from support.programs import agent, ask

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("country")]
NAME, OTHER = "www.bbc.com", "www.wikipedia.org"
PLAIN, SECURE = f"http://{NAME}/", f"https://{NAME}/"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Country]:
    require_for_test()
    with country(tmp_path_factory.mktemp("country")) as made:
        made.configure_agents()
        yield made


def probe(lab: Country, network: str, experiment: str, target: str, **options: str) -> list[Any]:
    """The observations, from the first agent place of this network."""
    place = lab.topology.network(network).agents[0].name
    chosen = [word for key, value in options.items() for word in ("--option", f"{key}={value}")]
    command = agent(
        "probe", experiment, target, "--json", "--config", lab.folder / "agent.yml", *chosen
    )
    lines = ask(lab.world.command(place, command)).splitlines()
    return [json.loads(line) for line in lines]


def failures(seen: list[Any]) -> set[tuple[str, str]]:
    return {(x["operation"], x["failure"]) for x in seen if x.get("failure")}


QUICK = {"web": {"resolver": "", "doh": ""}, "dns": {"engines": "system"}}
ADDRESS = "{address}"
CASES: dict[str, tuple[dict[str, Any], tuple[str, str], tuple[str, str]]] = {
    # kind: what narrows it down, (experiment, target), (operation, failure) that must be there
    "dns_nxdomain": ({"names": (NAME,)}, ("dns", NAME), ("resolve", "dns_nxdomain_error")),
    "dns_refused": ({"names": (NAME,)}, ("dns", NAME), ("resolve", "dns_refused_error")),
    "dns_bogon": ({"names": (NAME,)}, ("dns", NAME), ("resolve", "10.10.34.35")),
    "dns_dropped": ({"names": (NAME,)}, ("dns", NAME), ("resolve", "generic_timeout_error")),
    "dns_injected": ({"names": (NAME,)}, ("dns", NAME), ("resolve", "10.10.34.35")),
    "syn_dropped": (
        {"addresses": (ADDRESS,)},
        ("tcp", f"{NAME}:443"),
        ("connect", "generic_timeout_error"),
    ),
    "syn_reset": (
        {"addresses": (ADDRESS,)},
        ("tcp", f"{NAME}:443"),
        ("connect", "connection_refused"),
    ),
    "address_dropped": (
        {"addresses": (ADDRESS,)},
        ("tcp", f"{NAME}:80"),
        ("connect", "generic_timeout_error"),
    ),
    "sni_reset": ({"names": (NAME,)}, ("tls", NAME), ("tls_handshake", "connection_reset")),
    "sni_reset_injected": (
        {"names": (NAME,)},
        ("tls", NAME),
        ("tls_handshake", "connection_reset"),
    ),
    "sni_dropped": ({"names": (NAME,)}, ("tls", NAME), ("tls_handshake", "generic_timeout_error")),
    "host_reset": (
        {"names": (NAME,), "port": 80},
        ("web", PLAIN),
        ("http_round_trip", "connection_reset"),
    ),
    "block_page": ({"names": (NAME,)}, ("web", PLAIN), ("read_body", "restricted")),
    "tls_interception": (
        {"names": (NAME,)},
        ("tls", NAME),
        ("tls_handshake", "ssl_unknown_authority"),
    ),
    "whitelist": (
        {"addresses": ("45.90.2.0/24",)},
        ("tcp", f"{NAME}:443"),
        ("connect", "generic_timeout_error"),
    ),
    "abroad_cut": ({}, ("tcp", "45.90.2.53:53"), ("connect", "generic_timeout_error")),
    "cut": ({}, ("tcp", "5.2.0.10:443"), ("connect", "generic_timeout_error")),
}
# Kinds that do not show in one failure of one probe: test_matrix.py has them all.
IN_THE_MATRIX = {  # kinds that only experiments of their own see: test_matrix.py
    "dns_turned",
    "header_proxy",
    "unknown_dropped",
    "stun_dropped",
    "vpn_dropped",
    "ech_dropped",
    "closed_to_abroad",
}
UNSEEN = {
    "quic_dropped",
    "policed",
    "slow_line",
    "freeze",
    "dns_turned",
    "header_proxy",
    "unknown_dropped",
    "stun_dropped",
    "vpn_dropped",
    "ech_dropped",
    "closed_to_abroad",
}


def test_every_kind_is_tried() -> None:
    assert set(CASES) | UNSEEN | IN_THE_MATRIX == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_lifted_leaves_nothing_behind(lab: Country, kind: str) -> None:
    gate, space = lab.gates["kcell"], lab.topology.network("kcell").gate
    what = Interference(kind=kind, names=(NAME,), addresses=lab.abroad.addresses_of(NAME))
    before = _rules(lab, space)
    number = gate.apply(what)
    applied = _rules(lab, space)
    gate.lift(number)
    assert applied != before
    assert _rules(lab, space) == before


def _rules(lab: Country, space: str) -> list[str]:
    """Of the packet filters, the line and the resolver, without counters and comments."""
    said = [lab.world.run(space, "iptables-save"), lab.world.run(space, "ip6tables-save")]
    said.append(lab.world.run(space, "tc", "qdisc", "show"))
    control = ("unbound-control", "-c", f"{lab.folder}/kcell.conf", "list_local_zones")
    said.append(lab.world.run(space, *control))
    lines = (line.partition(" [")[0] for text in said for line in text.splitlines())
    return sorted({line for line in lines if line and line[0] not in "#:*" and line != "COMMIT"})


@pytest.mark.parametrize("kind", CASES)
def test_interference_shows_and_is_lifted(lab: Country, kind: str) -> None:
    narrowed, (experiment, target), wanted = CASES[kind]
    (address,) = lab.abroad.addresses_of(NAME)
    said: dict[str, Any] = {
        key: tuple(one.format(address=address) for one in value) if key == "addresses" else value
        for key, value in narrowed.items()
    }
    options = QUICK.get(experiment, {})
    gate = lab.gates["kcell"]
    number = gate.apply(Interference(kind=kind, **said))
    try:
        seen = probe(lab, "kcell", experiment, target, **options)
        assert wanted in failures(seen) or wanted[1] in json.dumps(seen), seen
        neighbour = probe(lab, "tele2", experiment, target, **options)
        assert not _said(neighbour, wanted)
    finally:
        gate.lift(number)
    assert not _said(probe(lab, "kcell", experiment, target, **options), wanted)


def _said(seen: list[Any], wanted: tuple[str, str]) -> bool:
    return wanted in failures(seen) or wanted[1] in json.dumps(seen)


def test_a_region_is_cut_and_its_neighbour_goes_on(lab: Country) -> None:
    gate = lab.gates["telecom"]
    number = gate.apply(Interference(kind="cut", region="ala"))
    try:
        places = {place.region: place.name for place in lab.topology.network("telecom").agents}
        look = agent("probe", "tcp", "45.90.2.53:53", "--json", "--config", _config(lab))
        almaty = ask(lab.world.command(places["ala"], look))
        astana = ask(lab.world.command(places["nqz"], look))
    finally:
        gate.lift(number)
    assert "generic_timeout_error" in almaty
    assert "generic_timeout_error" not in astana


def _config(lab: Country) -> Path:
    return lab.folder / "agent.yml"


def test_a_flow_freezes_after_so_many_packets(lab: Country) -> None:
    (address,) = lab.abroad.addresses_of(NAME)
    place = lab.topology.network("kcell").agents[0].name
    fetch = [
        "curl", "--silent", "--insecure", "--max-time", "3", "--output", os.devnull,
        "--resolve", f"{NAME}:443:{address}", "--write-out", "%{size_download}",
        f"https://{NAME}/large",
    ]  # fmt: skip
    number = lab.gates["kcell"].apply(Interference(kind="freeze", addresses=(address,)))
    try:
        frozen = lab.world.run(place, "sh", "-c", " ".join(fetch) + "; true")
    finally:
        lab.gates["kcell"].lift(number)
    whole = lab.world.run(place, *fetch)
    assert 0 < int(frozen) < 100_000
    assert int(whole) == 1_000_000


@pytest.mark.parametrize("kind", ["policed", "slow_line"])
def test_a_slowed_transfer_gets_through_slowly(lab: Country, kind: str) -> None:
    (address,) = lab.abroad.addresses_of(NAME)
    place = lab.topology.network("kcell").agents[0].name
    fetch = [
        "curl", "--silent", "--insecure", "--max-time", "3", "--output", os.devnull,
        "--resolve", f"{NAME}:443:{address}", "--write-out", "%{size_download}",
        f"https://{NAME}/large",
    ]  # fmt: skip
    slowed = Interference(kind=kind, addresses=(address,), rate_kbit=256)
    number = lab.gates["kcell"].apply(slowed)
    try:
        slow = lab.world.run(place, "sh", "-c", " ".join(fetch) + "; true")
    finally:
        lab.gates["kcell"].lift(number)
    assert 0 < int(slow) < 500_000
    assert int(lab.world.run(place, *fetch)) == 1_000_000
