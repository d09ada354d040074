"""Entrances of the collector: their names in the rows of sessions, and their addresses.

A row names an entrance by its tag alone, so that neither journal nor checkpoints hold an address.
"""

from collections.abc import Iterable

from heliograph.address import format_dial_address, split_endpoint
from heliograph.plan import Carrier, Entrance

SESSION = "session"  # the carrier of a session by an entrance that is not known


def name_carrier(entrance: Entrance) -> str:
    """Name the carrier of sessions by this entrance, as `VantageRef.carrier`."""
    return f"{SESSION}/{entrance.tag:08x}"


def own_entrance(endpoint: str, port: int) -> Entrance:
    """Return the entrance that every invite names: HOST:PORT, or for port 0 the listener's."""
    host, stated_port = split_endpoint(endpoint)
    return Entrance(carrier=Carrier.STREAM, host=host, port=stated_port or port)


def describe_carriers(carriers: Iterable[str], entrances: Iterable[Entrance]) -> str:
    """Describe carriers for operators: by the addresses of entrances, where these list them."""
    addresses = {name_carrier(e): format_dial_address(e.host, e.port) for e in entrances}
    return ", ".join(addresses.get(carrier, carrier) for carrier in carriers) or "their entrance"
