"""Name the collector's entrances in rows of sessions, and list their addresses.

A row names an entrance by its tag alone, so that neither journal nor checkpoints hold an address.

The listener that took a connection is the collector's own knowledge; but several entrances end at
one listener, since names, forwarders and balancers lead to it, and gRPC gives a handler neither the
local address nor the name in the ClientHello. So the agent reports which one it dialed, by a tag of
32 bits. It may lie, and gains nothing: it is one vote, as its reports on anchors are. A tag is
accepted only if the plan lists its entrance, or it is the collector's own: any other is no known
entrance, and is removed from the hello before that is stored. So there are as many carriers as an
operator lists, whatever agents report.
"""

from collections.abc import Iterable

from heliograph.address import format_dial_address, split_endpoint
from heliograph.plan import Carrier, Entrance
from heliograph.v1 import intake_pb2 as pb

SESSION = "session"  # the carrier of a session by an entrance that is not known


def name_carrier(entrance: Entrance) -> str:
    """Name the carrier of sessions by this entrance, as `VantageRef.carrier`."""
    return f"{SESSION}/{entrance.tag:08x}"


def own_entrance(endpoint: str, port: int) -> Entrance:
    """Return the entrance that every invite names.

    Its port is the endpoint's, or `port` if that is 0.
    """
    host, stated_port = split_endpoint(endpoint)
    return Entrance(carrier=Carrier.STREAM, host=host, port=stated_port or port)


def describe_carriers(carriers: Iterable[str], entrances: Iterable[Entrance]) -> str:
    """Describe carriers for operators by the addresses of their entrances, if listed."""
    addresses = {name_carrier(e): format_dial_address(e.host, e.port) for e in entrances}
    return ", ".join(addresses.get(carrier, carrier) for carrier in carriers) or "their entrance"


class EntranceNames:
    """The carriers of sessions by the tags of the entrances that are known."""

    def __init__(self) -> None:
        self._own: dict[int, str] = {}
        self._listed: dict[int, str] = {}

    def add_own(self, entrance: Entrance) -> None:
        """Add the entrance that every invite names, which no plan need list."""
        self._own[entrance.tag] = name_carrier(entrance)

    def replace_listed(self, entrances: Iterable[Entrance]) -> None:
        """Replace the entrances of the plan; a relay has no sessions."""
        self._listed = {
            entrance.tag: name_carrier(entrance)
            for entrance in entrances
            if entrance.carrier is not Carrier.RELAY
        }

    def take_carrier(self, hello: pb.Hello) -> str:
        """Return the carrier of a session, and take an unknown entrance out of its hello."""
        carrier = self._listed.get(hello.entrance) or self._own.get(hello.entrance)
        if carrier is None:
            hello.ClearField("entrance")
        return carrier or SESSION
