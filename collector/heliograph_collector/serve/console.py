"""Answers what the console asks."""

import hashlib
import hmac
from typing import TYPE_CHECKING

from heliograph_collector.console.attempts import HERE
from heliograph_collector.console.office import Office
from heliograph_collector.fleet.operators import Operators, OperatorsError
from heliograph_collector.fleet.trail import Trail
from heliograph_collector.intake.geo import origin
from heliograph_collector.serve.notice import read_password
from heliograph_collector.serve.refusal import CannotServeError

if TYPE_CHECKING:
    from heliograph_collector.serve.house import House


def office(house: "House") -> Office:
    """Raises CannotServeError."""
    config = house.config
    secret = hmac.digest(house.keyring.secret, b"heliograph console v1", "sha256")
    try:
        operators = Operators(config.data, read_password(house.password))
    except OperatorsError as error:
        raise CannotServeError(f"{error}.") from error

    def place(way: str) -> str:
        """Of one /24 or /48, kept in memory only. Behind a proxy of this machine it is the proxy
        that says who calls; without one, who calls is this machine."""
        hops = [hop.strip() for hop in way.split(",") if hop.strip()]
        own = hops[-1:] and hops[-1] in ("127.0.0.1", "::1")
        if own and len(hops) == 1:
            return HERE
        found = origin(",".join(hops[:-1] if own else hops), config.trusted_proxies)
        text = _prefix(str(found)) if found else "-"
        return hashlib.sha256(secret + text.encode()).hexdigest()[:16]

    return Office(
        clock=house.clock,
        operators=operators,
        trail=Trail(config.data),
        secret=secret,
        place=place,
    )


def _prefix(address: str) -> str:
    from ipaddress import ip_network

    return str(ip_network(f"{address}/{48 if ':' in address else 24}", strict=False))
