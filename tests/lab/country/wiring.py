"""Shell lines that make the namespaces, cables and routes of a topology. Pure."""

from collections.abc import Iterable, Iterator

from lab.country.topology import (
    ABROAD,
    ABROAD_SIX,
    BORDER,
    DOMESTIC,
    DOMESTIC_DNS,
    DOMESTIC_WEB,
    RESOLVER,
    AgentPlace,
    Network,
    Topology,
)

ABROAD_WIRE = ("45.90.0.1", "45.90.0.2")  # abroad, border
DOMESTIC_WIRE = ("5.2.0.1", "5.2.0.2")
SIX_WIRE = "2a0d:5600:0"
FORWARDING = ("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
NO_DAD = "net.ipv6.conf.default.dad_transmits=0"  # no other host can have these addresses


def lines(country: Topology, abroad_addresses: Iterable[str]) -> Iterator[str]:
    """Yield all lines, in an order in which each finds what it needs."""
    for space in (BORDER, ABROAD, DOMESTIC, *(n.gate for n in country.networks)):
        yield from _space(space, RESOLVER)
    for space in (BORDER, *(n.gate for n in country.networks)):
        yield f"ip netns exec {space} sysctl -qw {' '.join(FORWARDING)}"
    yield from cable(ABROAD, BORDER, ABROAD_WIRE, f"{SIX_WIRE}:a")
    yield from cable(DOMESTIC, BORDER, DOMESTIC_WIRE, f"{SIX_WIRE}:d")
    # What passes a gate are packets as they are on a line, not the kernel's bundles of them.
    yield f"ip -n {ABROAD} link set out gso_max_segs 1"
    yield from _own(ABROAD, (*abroad_addresses, ABROAD_SIX))
    yield from _own(DOMESTIC, (DOMESTIC_DNS, DOMESTIC_WEB))
    yield f"ip -n {BORDER} route add 5.2.0.0/24 via {DOMESTIC_WIRE[0]} metric 5"
    for network in country.networks:
        yield from _network(network)
    # Whatever is not the country's lies abroad.
    yield f"ip -n {BORDER} route add default via {ABROAD_WIRE[0]}"
    yield f"ip -n {BORDER} -6 route add default via {SIX_WIRE}:a::1"


def _network(network: Network) -> Iterator[str]:
    yield from cable(network.gate, BORDER, network.wire, f"{SIX_WIRE}:{network.index + 1}")
    yield from _own(network.gate, (network.resolver,))
    yield f"ip -n {BORDER} route add {network.prefix} via {network.wire[0]}"
    if network.ipv6:
        at = network.index + 1
        yield f"ip -n {BORDER} -6 route add 2a0d:5600:{at}::/48 via {SIX_WIRE}:{at}::1"
    for agent in network.agents:
        yield from _agent(agent, network)


def _agent(agent: AgentPlace, network: Network) -> Iterator[str]:
    """Link an agent to its gate; the gate answers for the rest of the world."""
    port = f"p{agent.address.split('.')[2]}"
    yield from _space(agent.name, network.resolver)
    yield f"ip -n {agent.name} link add out type veth peer name {port} netns {network.gate}"
    yield f"ip -n {agent.name} address add {agent.address}/32 dev out"
    yield f"ip -n {agent.name} link set out up"
    yield f"ip -n {network.gate} link set {port} up"
    yield f"ip -n {network.gate} route add {agent.address}/32 dev {port}"
    yield f"ip -n {agent.name} route add {network.resolver}/32 dev out"
    yield f"ip -n {agent.name} route add default via {network.resolver}"
    if agent.six:
        yield f"ip -n {agent.name} -6 address add {agent.six}/128 dev out nodad"
        yield f"ip -n {network.gate} -6 address add fe80::1/64 dev {port} nodad"
        yield f"ip -n {network.gate} -6 route add {agent.six}/128 dev {port}"
        yield f"ip -n {agent.name} -6 route add default via fe80::1 dev out"


def _space(name: str, resolver: str) -> Iterator[str]:
    yield f"mkdir -p /etc/netns/{name}"
    yield f"echo nameserver {resolver} > /etc/netns/{name}/resolv.conf"
    yield f"ip netns add {name}"
    yield f"ip netns exec {name} sysctl -qw {NO_DAD}"
    yield f"ip -n {name} link set lo up"


def _own(space: str, addresses: Iterable[str]) -> Iterator[str]:
    for address in dict.fromkeys(addresses):
        size = "128 nodad" if ":" in address else "32"
        literal, _, flag = f"{address}/{size}".partition(" ")
        yield f"ip -n {space} address add {literal} dev lo {flag}".rstrip()


def cable(space: str, other: str, wire: tuple[str, str], six: str) -> Iterator[str]:
    """Link two namespaces: `space` gets device `out` and its default route by it."""
    yield f"ip -n {space} link add out type veth peer name {space} netns {other}"
    for at, device, address, last in ((space, "out", wire[0], 1), (other, space, wire[1], 2)):
        yield f"ip -n {at} address add {address}/24 dev {device}"
        yield f"ip -n {at} -6 address add {six}::{last}/64 dev {device} nodad"
        yield f"ip -n {at} link set {device} up"
    yield f"ip -n {space} route add default via {wire[1]}"
    yield f"ip -n {space} -6 route add default via {six}::2"
