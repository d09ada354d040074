"""Servers abroad that only experiments use: VPNs, STUN, QUIC, the echo service.

`start(country, …)` starts them all; OpenVPN, wireguard-go and coturn are the real ones.
"""

import base64
import json
from collections.abc import Iterable

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from heliograph.plan import EndpointKind
from lab.country.country import Country
from lab.country.topology import ABROAD, ECHO
from lab.country.wiring import ABROAD_WIRE
from support.field import servers
from support.programs import eventually, module_command

OPENVPN, WIREGUARD = 1194, 51820
TUNNEL = ABROAD_WIRE[0]  # WireGuard answers from its machine's first address, whichever was queried


class Keys:
    """A WireGuard pair, as `wg` writes keys."""

    def __init__(self) -> None:
        key = X25519PrivateKey.generate()
        self.private = base64.b64encode(key.private_bytes_raw()).decode()
        self.public = base64.b64encode(key.public_key().public_bytes_raw()).decode()


def start(made: Country, vpn: str, quic: Iterable[str], peers: Iterable[Keys]) -> str:
    """Start them at these names' addresses; return the WireGuard server's public key.

    `peers` are the keys that it answers: one pair for each agent, since two agents with one key at
    once look like a replay.
    """
    address = made.abroad.names[vpn]
    for transport in ("udp", "tcp-server"):
        command = servers.openvpn(transport, made.ca, made.ca.leaf(vpn), "--local", address)
        made.start(ABROAD, f"openvpn-{transport}", command)
    places = {name: made.abroad.names[name] for name in quic}
    leaves = {address: made.ca.leaf(name) for name, address in places.items()}
    quic_sites = [(address, str(leaf.chain), str(leaf.key)) for address, leaf in leaves.items()]
    file = made.folder / "peers.json"
    file.write_text(json.dumps({"quic": quic_sites, "echo": [ECHO]}))
    made.start(ABROAD, "peers", module_command("support.field.peers", str(file)))
    for number, command in enumerate(_stun(made)):
        made.start(ABROAD, f"stun-{number}", command)
    key = _wireguard(made, peers)
    wanted = [f"{address}:{OPENVPN}", f"{ECHO}:80", *(f"{a}:443" for a in places.values())]
    eventually(lambda: _listening(made, wanted), "VPN, QUIC, STUN and echo servers", 20)
    return key


def _listening(made: Country, wanted: Iterable[str]) -> bool:
    heard = made.world.run(ABROAD, "ss", "-Hltun")
    stun = (f"{a}:{p}" for a, p in _stun_places(made))
    return all(place in heard for place in (*wanted, *stun))


def _wireguard(made: Country, peers: Iterable[Keys]) -> str:
    ours = Keys()
    file = made.folder / "wireguard.key"
    file.write_text(ours.private)
    made.start(
        ABROAD,
        "wireguard",
        ["env", "WG_I_PREFER_BUGGY_USERSPACE_TO_POLISHED_KMOD=1", "wireguard-go", "-f", "wg-lab"],
    )
    eventually(lambda: "wg-lab" in made.world.run(ABROAD, "wg", "show"), "wireguard-go", 10)
    known = (word for peer in peers for word in ("peer", peer.public))
    port = str(WIREGUARD)
    made.world.run(
        ABROAD, "wg", "set", "wg-lab", "listen-port", port, "private-key", str(file), *known
    )
    made.world.run(ABROAD, "ip", "link", "set", "wg-lab", "up")
    return ours.public


def _stun_places(made: Country) -> list[tuple[str, int]]:
    return [
        (made.abroad.names[e.host], e.port)
        for s in made.abroad.services
        for e in s.endpoints
        if e.kind is EndpointKind.STUN
    ]


def _stun(made: Country) -> list[list[str]]:
    """Return the commands of one coturn for each port."""
    places = _stun_places(made)
    return [
        servers.coturn([address for address, p in places if p == port], made.folder, port)
        for port in sorted({port for _, port in places})
    ]
