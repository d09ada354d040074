"""Connections on which nobody has proved a key, limited by network.

Theory of operation. gRPC counts connections in all and refuses the next one
(`rate_limits.max_connections`). It has no count by peer and no filter of what it accepts (a wish of
2017, grpc/grpc#12472): an idle connection reaches no interceptor. So the process looks at its own
sockets. It lists its open files, asks the kernel for the peer of each new socket of the agents'
port, and counts those on which no known agent has a session or uploads. When they take half of the
room that sessions leave, those with the least right to it are shut down: where a network has many,
its older ones. A newcomer is the newest of its network, so it stays for as long as a hello takes,
also beside a flood from its own carrier. The other half is for what arrives between two checks.

gRPC's threads close descriptors, and the system reuses the numbers, between two lines of this code.
So a socket is known by its inode, and touched only through a duplicate whose inode was compared. Of
an address, the keyed names of its networks and a hash with this process's key stay in memory.
"""

import asyncio
import os
import socket
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import NoReturn, Protocol

from prometheus_client import Counter as CounterMetric

from heliograph.network_shares import SHARES, NetworkKey
from heliograph_collector.ingest.geo.lookup import Address, parse_peer

CHECK_S = 1.0
CROWDED_CHECK_S = 0.1  # while there are too many
_PER_YIELD = 100  # sockets handled between two turns of the event loop: about 3 ms
_OPEN_FILES = "/dev/fd"


class NetworkLookup(Protocol):
    """Names the networks of a peer, none of a trusted proxy."""

    def list_networks(self, address: Address) -> tuple[NetworkKey, ...]: ...


@dataclass(frozen=True, slots=True)
class Connection:
    """One accepted connection."""

    inode: int
    peer: int  # of `_hash_peer`
    networks: tuple[NetworkKey, ...]


class StrangerConnections:
    """Limits the connections without a proven key on the port of `run`."""

    def __init__(self, lookup: NetworkLookup, displaced: CounterMetric) -> None:
        self._lookup = lookup
        self._displaced = displaced
        self._open: dict[int, Connection | None] = {}  # by inode; None for any other socket
        self._proven: Counter[int] = Counter()

    @contextmanager
    def hold_proven(self, peer: str) -> Iterator[None]:
        """Exempt a connection inside the block; `peer` is as gRPC writes it."""
        address = parse_peer(peer)
        port = peer.rpartition(":")[2]
        name = _hash_peer(address, int(port)) if address and port.isdecimal() else 0
        self._proven[name] += 1
        try:
            yield
        finally:
            self._proven[name] -= 1
            if not self._proven[name]:
                del self._proven[name]

    async def run(self, port: int, capacity: int) -> NoReturn:
        """Check `port` every second, and sooner while it is crowded; never return."""
        while True:
            is_crowded = await self.check(port, capacity)
            await asyncio.sleep(CROWDED_CHECK_S if is_crowded else CHECK_S)

    async def check(self, port: int, capacity: int) -> bool:
        """Shut surplus connections down; return whether there were any."""
        files = await _list_sockets()
        self._open = {inode: known for inode, known in self._open.items() if inode in files}
        arrivals = sorted(inode for inode in files if inode not in self._open)  # about their order
        for count, inode in enumerate(arrivals):
            with _open_duplicate(files[inode], inode) as duplicate:
                if duplicate is not None:  # else no file can be opened now: look again
                    self._open[inode] = self._identify(duplicate, inode, port)
            await _yield_after(count)
        strangers = [c for c in self._open.values() if c and c.peer not in self._proven]
        surplus = select_surplus(strangers, capacity)
        for count, connection in enumerate(surplus):
            if connection.peer not in self._proven:  # it was not, before the last turn
                _shut_down(files[connection.inode], connection.inode)
            await _yield_after(count)
        self._displaced.inc(len(surplus))
        return bool(surplus)

    def _identify(self, duplicate: socket.socket, inode: int, port: int) -> Connection | None:
        """Return the connection of a socket if it is one of `port`."""
        if duplicate.family not in (socket.AF_INET, socket.AF_INET6):
            return None
        try:
            host, peer_port, *_ = duplicate.getpeername()
            own_port = duplicate.getsockname()[1]
        except OSError:  # a listener, or a connection that has ended
            return None
        address = parse_peer(host)
        if own_port != port or address is None:
            return None
        networks = self._lookup.list_networks(address)
        return Connection(inode, _hash_peer(address, peer_port), networks)


def select_surplus(strangers: Sequence[Connection], capacity: int) -> list[Connection]:
    """Select what exceeds `capacity`: first the older ones of networks that have many.

    Args:
        strangers: The connections, the oldest first.
        capacity: How many may stay.

    Returns:
        Those that have to go. A connection's right to stay falls with the newer ones of each
        network around it, in units of that network's share of places.
    """
    if len(strangers) <= capacity:
        return []
    newer: Counter[NetworkKey] = Counter()
    ranks = []
    newest_first = list(reversed(strangers))
    for connection in newest_first:
        crowds = [newer[key] / SHARES[key.width] for key in connection.networks]
        ranks.append(max(crowds, default=0.0))
        newer.update(connection.networks)
    order = sorted(range(len(ranks)), key=ranks.__getitem__)  # stable: equals stay newest first
    return [newest_first[number] for number in order[capacity:]]


def _hash_peer(address: Address, port: int) -> int:
    return hash(address.packed + port.to_bytes(2, "big"))


async def _yield_after(count: int) -> None:
    if count % _PER_YIELD == _PER_YIELD - 1:
        await asyncio.sleep(0)


async def _list_sockets() -> dict[int, int]:
    """Return the descriptors of this process's sockets by inode.

    The result is empty if they cannot be listed.
    """
    sockets = {}
    try:
        names = os.listdir(_OPEN_FILES)  # noqa: PTH208 - as Path objects they cost twice as much
    except OSError:
        return {}
    for first in range(0, len(names), _PER_YIELD):
        sockets.update(_find_sockets(names[first : first + _PER_YIELD]))
        await asyncio.sleep(0)  # a turn of the loop for others
    return sockets


def _find_sockets(names: Sequence[str]) -> dict[int, int]:
    """Return by inode the descriptors that are sockets, with few steps for each."""
    sockets = {}
    for name in names:
        file = int(name)
        try:
            status = os.fstat(file)
        except OSError:  # closed meanwhile
            continue
        if stat.S_ISSOCK(status.st_mode):
            sockets[status.st_ino] = file
    return sockets


@contextmanager
def _open_duplicate(file: int, inode: int) -> Iterator[socket.socket | None]:
    """Yield the socket with this inode, None if the descriptor has become another's."""
    try:
        copy = os.dup(file)
    except OSError:
        yield None
        return
    try:
        status = os.fstat(copy)
        is_same = stat.S_ISSOCK(status.st_mode) and status.st_ino == inode
        duplicate = socket.socket(fileno=copy) if is_same else None
        yield duplicate
        if duplicate is not None:
            duplicate.detach()
    finally:
        os.close(copy)


def _shut_down(file: int, inode: int) -> None:
    """End a connection: gRPC reads its end, and closes it."""
    with _open_duplicate(file, inode) as duplicate, suppress(OSError):
        if duplicate is not None:
            duplicate.shutdown(socket.SHUT_RDWR)
