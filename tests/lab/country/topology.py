"""The country as data: its agents, their addresses and their routers. Pure.

    agents ── gate of their network ── border ── abroad
                                          └───── domestic

A network's gate is a separate router, and the only way in or out: censors sit there. Regions are
prefixes behind one gate, so a cut can name both.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

TOPOLOGY = Path(__file__).with_name("topology.yml")
BORDER, ABROAD, DOMESTIC = "border", "abroad", "domestic"
RESOLVER, DOH, COLLECTOR, CONTROL, ECHO = (
    "45.90.2.53", "45.90.2.54", "45.90.3.1", "45.90.3.2", "45.90.3.3",
)  # fmt: skip
DOMESTIC_DNS, DOMESTIC_WEB = "5.2.0.53", "5.2.0.10"
BEACON_ZONE = "b.collector.example"  # asked of the collector itself, where it answers
ABROAD_SIX = "2a0d:5600:ffff::10"
COLLECTOR_NAME = "collector.example"
ABROAD_NAMES = ("www.example.com", "www.example.net", "www.example.org", "anchor.example")
FIRST_ASN = 64_600  # of small countries


@dataclass(frozen=True, slots=True)
class AgentPlace:
    """The network and address of one agent; each has its own prefix, and so a vote."""

    name: str
    network: str
    region: str
    address: str
    six: str = ""


@dataclass(frozen=True)
class Network:
    """One provider; its index decides every address it has."""

    index: int
    name: str
    title: str
    asn: int
    access: str
    agents_by_region: Mapping[str, int]
    regions: tuple[str, ...]
    ipv6: bool = False

    @property
    def gate(self) -> str:
        return f"gate-{self.name}"

    @property
    def prefix(self) -> str:
        return f"5.{10 + self.index}.0.0/16"

    @property
    def resolver(self) -> str:
        return f"5.{10 + self.index}.0.53"

    @property
    def wire(self) -> tuple[str, str]:
        """Return the addresses of the gate and the border on the cable between them."""
        return f"5.9.{self.index}.1", f"5.9.{self.index}.2"

    def region_prefix(self, region: str) -> str:
        """Return a region's prefix of sixteen /24."""
        return f"5.{10 + self.index}.{16 * (1 + self.regions.index(region))}.0/20"

    @cached_property
    def agents(self) -> tuple[AgentPlace, ...]:
        return tuple(self._agents())

    def _agents(self) -> Iterator[AgentPlace]:
        for region, count in self.agents_by_region.items():
            first = 16 * (1 + self.regions.index(region))
            for number in range(count):
                at = first + number
                six = f"2a0d:5600:{self.index + 1}:{at:x}::2" if self.ipv6 else ""
                name = f"{self.name}-{region}-{number + 1}"
                yield AgentPlace(name, self.name, region, f"5.{10 + self.index}.{at}.2", six)


@dataclass(frozen=True)
class Topology:
    country: str
    regions: Mapping[str, str]
    networks: tuple[Network, ...]
    domestic_names: tuple[str, ...]
    abroad_names: tuple[str, ...]
    collector_name: str
    lean: frozenset[str] = frozenset()  # names of agents without grpcio

    def network(self, name: str) -> Network:
        return next(network for network in self.networks if network.name == name)

    @property
    def agents(self) -> tuple[AgentPlace, ...]:
        return tuple(agent for network in self.networks for agent in network.agents)


def small_country(
    networks: Mapping[str, Mapping[str, int]], regions: Mapping[str, str], names: Sequence[str] = ()
) -> dict[str, Any]:
    """Describe a country of mobile networks, with the agents of each by region."""
    return {
        "country": "KZ",
        "regions": dict(regions),
        "networks": [
            {"name": name, "title": name, "asn": asn, "access": "mobile", "agents": agents}
            for asn, (name, agents) in enumerate(networks.items(), FIRST_ASN)
        ],
        "domestic": {"names": ["gov.kz"]},
        "abroad": {"names": names or ABROAD_NAMES, "collector": COLLECTOR_NAME},
    }


def topology(description: Mapping[str, Any] | None = None) -> Topology:
    """Parse a description, or topology.yml; raise KeyError or ValueError on a fault."""
    said = description or yaml.safe_load(TOPOLOGY.read_text())
    regions = tuple(said["regions"])
    networks = tuple(
        Network(
            index=index,
            name=str(one["name"]),
            title=str(one["title"]),
            asn=int(one["asn"]),
            access=str(one["access"]),
            agents_by_region=one["agents"],
            regions=regions,
            ipv6=bool(one.get("ipv6", False)),
        )
        for index, one in enumerate(said["networks"])
    )
    return Topology(
        country=said["country"],
        regions=said["regions"],
        networks=networks,
        domestic_names=tuple(said["domestic"]["names"]),
        abroad_names=tuple(said["abroad"]["names"]),
        collector_name=said["abroad"]["collector"],
        lean=frozenset(said.get("lean", ())),
    )
