"""Account for strangers' work that brings a listener no envelope. Pure.

A stranger costs a handshake, decryption and parsing before an honest agent differs from an
attacker. So the work of each connection is counted, and charged to its network only if it ends
without an accepted request. Honest agents are never charged, however many share an address: a
carrier's network on the worst day is not locked out by its own volunteers.

A network that wasted its allowance is refused at the connection, which costs next to nothing. Once
all networks together wasted the listener's allowance, only networks that wasted nothing lately are
served.
"""

import ipaddress
from dataclasses import dataclass

from heliograph.address import enclosing_network
from heliograph.token_bucket import TokenBucket, TokenBuckets

# Microseconds of one core, measured on a 2.4 GHz core with ECDSA P-256: they only have to be of the
# right order, because the allowances are a fraction of a core.
CONNECTION_COST = 200.0
HANDSHAKE_COST = 800.0
PIECE_COST = 10.0  # one TLS record, whatever it holds
BYTE_COST = 0.005

NETWORK_PER_S = 20_000.0  # 2 % of a core for each network: some 20 broken connections a second
NETWORK_BURST = 400_000.0
LISTENER_PER_S = 200_000.0  # 20 % of a core for all of them
LISTENER_BURST = 2_000_000.0
MAX_NETWORKS = 65_536


@dataclass(slots=True)
class ConnectionWork:
    """Count the work of one connection."""

    cost: float = CONNECTION_COST

    def add_handshake(self) -> None:
        self.cost += HANDSHAKE_COST

    def add_piece(self, size: int) -> None:
        self.cost += PIECE_COST + BYTE_COST * size


class WastedWork:
    """Hold the allowances of one listener; times are monotonic microseconds."""

    def __init__(self, now_us: int) -> None:
        self._networks: TokenBuckets[str] = TokenBuckets(
            per_s=NETWORK_PER_S, capacity=NETWORK_BURST, max_keys=MAX_NETWORKS
        )
        self._all = TokenBucket(LISTENER_PER_S, LISTENER_BURST, LISTENER_BURST, now_us)

    def admits(self, network: str, now_us: int) -> bool:
        """Return whether a new connection from a network is served."""
        if not network:
            return True
        level = self._networks.level(network, now_us)
        if level is None or level >= NETWORK_BURST:
            return True
        return min(level, self._all.level_at(now_us)) >= CONNECTION_COST + HANDSHAKE_COST

    def charge(self, network: str, work: ConnectionWork, now_us: int) -> None:
        """Charge a connection that ended without an accepted request."""
        if not network:
            return
        level = self._networks.level(network, now_us)
        available = NETWORK_BURST if level is None else level
        self._networks.take(network, now_us, min(work.cost, available))
        self._all.take(min(work.cost, self._all.level_at(now_us)), now_us)


def network_of(address: str) -> str:
    """Return the /24 of a public IPv4 address, the /48 of an IPv6 one, "" for others.

    A private or loopback peer is a balancer of ours, which stands for everybody behind it.
    """
    network = enclosing_network(address)
    return network if network and ipaddress.ip_network(network).is_global else ""
