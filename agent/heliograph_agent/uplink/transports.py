"""The ways to the collector, in the order in which they are tried. Pure."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from heliograph.plan import Carrier, Entrance
from heliograph_agent.uplink.invite import split_endpoint

SMALL = 6_144 + 64  # bytes of an envelope that passes a network which freezes after 25 packets


class Use(StrEnum):
    """When the user's proxy is gone through."""

    LAST = "last"  # after every way without it has failed
    ALWAYS = "always"  # and nothing goes past it


@dataclass(frozen=True, slots=True)
class Rung:
    """One way: which entrance, and whether by the user's proxy. A `guarded` one may not lead into
    a private network, nor into this machine's own: nobody but the plan has named it."""

    entrance: Entrance
    proxied: bool = False
    guarded: bool = False

    @property
    def by_relay(self) -> bool:
        """Behind it stands another volunteer's agent, whose word is worth nothing."""
        return self.entrance.carrier is Carrier.RELAY

    def pin(self, collector: bytes) -> bytes:
        """Whose key has to be shown; `collector` is the one that the invite pins."""
        return bytes.fromhex(self.entrance.pin) if self.by_relay else collector

    @property
    def name(self) -> str:
        """The same for the same way, also after a restart; as a measurement's target."""
        e = self.entrance
        host = f"[{e.host}]" if ":" in e.host else e.host
        said = f" as {e.server_name}" if e.server_name else ""
        return f"{e.carrier}://{host}:{e.port}{said}{' by proxy' if self.proxied else ''}"


def rungs(
    endpoint: str,
    entrances: Sequence[Entrance],
    proxy: Use | None,
    guarded: Callable[[Entrance], bool] = lambda _: False,
) -> tuple[Rung, ...]:
    """The session at the endpoint that was joined, the first door for lone envelopes, the other
    entrances as they are listed, and all of them by the proxy; other volunteers' agents last.

    `proxy` is None where there is none. Raises ValueError when `endpoint` is none.
    """
    listed = tuple(dict.fromkeys(_in_order(endpoint, entrances)))
    own = tuple(entrance for entrance in listed if entrance.carrier is not Carrier.RELAY)
    relays = tuple(entrance for entrance in listed if entrance.carrier is Carrier.RELAY)
    every = (*_each(own, proxy), *_each(relays, proxy))
    return tuple(replace(rung, guarded=guarded(rung.entrance)) for rung in every)


def _each(listed: tuple[Entrance, ...], proxy: Use | None) -> tuple[Rung, ...]:
    proxied = tuple(Rung(entrance, proxied=True) for entrance in listed)
    if proxy is Use.ALWAYS:
        return proxied
    plain = tuple(Rung(entrance) for entrance in listed)
    return plain + proxied if proxy is Use.LAST else plain


def _in_order(endpoint: str, entrances: Sequence[Entrance]) -> Iterator[Entrance]:
    host, port = split_endpoint(endpoint)
    joined = [e for e in entrances if (e.carrier, e.host, e.port) == (Carrier.STREAM, host, port)]
    yield from joined[:1] or [Entrance(carrier=Carrier.STREAM, host=host, port=port)]
    yield from [e for e in entrances if e.carrier is Carrier.POST][:1]
    yield from (e for e in entrances if e.host and e.port)
