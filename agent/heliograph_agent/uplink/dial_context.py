"""What it takes to go out: the network's libraries, loaded when they are needed, and the proxy."""

from dataclasses import dataclass, field, replace
from random import Random
from typing import TYPE_CHECKING, Any

from heliograph.clock import Clock
from heliograph_agent.net.config import NetConfig
from heliograph_agent.net.trace import Trace
from heliograph_agent.uplink.proxy import Proxy
from heliograph_agent.uplink.transports import Rung, Use

if TYPE_CHECKING:
    from heliograph_agent.net import Net
    from heliograph_agent.net.scrub import Scrubber
    from heliograph_agent.net.tcp import Wire
    from heliograph_agent.uplink.dialer import Finder

# There are other ways: none of them is waited for as long as an experiment would.
CONNECT_S, TLS_S, RESOLVE_S, DNS_S = 6.0, 10.0, 6.0, 3.0


@dataclass(slots=True)
class Ways:
    """One per uplink."""

    clock: Clock
    rng: Random
    config: NetConfig = field(default_factory=NetConfig)
    proxy: Proxy | None = None
    use: Use = Use.LAST
    _door: Any = None
    _own: Any = None
    _barred: Any = None

    @property
    def proxy_use(self) -> Use | None:
        return None if self.proxy is None else self.use

    def finder(self, rung: Rung, pin: bytes, trace: Trace) -> "Finder":
        from heliograph_agent.uplink.dialer import Finder

        return Finder(
            net=self.net(trace),
            trace=trace,
            scrub=self.scrub(),
            pin=pin,
            doh=self.config.doh,
            proxy=self.proxy if rung.proxied else None,
            barred=self.leads_home if rung.guarded else _nowhere,
        )

    def leads_home(self, place: str) -> bool:
        """Whether this is an address of a private network, or of this machine's own. Of a name
        nothing is known, but of the one that every machine calls itself by."""
        from heliograph.address import literal

        address = literal(place)
        return self._bars(address) if address else place.lower() == "localhost"

    def _bars(self, address: str) -> bool:
        from heliograph_agent.net.address_policy import Bars
        from heliograph_agent.net.local_addresses import own_networks

        self._barred = self._barred or Bars(self.clock, own_networks)
        return bool(self._barred(address))

    def net(self, trace: Trace) -> "Net":
        """The door out, with this uplink's patience, writing into `trace`."""
        net: Net = self._opened().bind(trace)
        return net

    def scrub(self) -> "Scrubber":
        from heliograph_agent.net.local_addresses import OwnAddresses

        self._own = self._own or OwnAddresses(self.clock)
        scrubber: Scrubber = self._own.scrubber()
        return scrubber

    async def lead(self, rung: Rung, place: str, pin: bytes) -> "Wire":
        """A wire by the proxy. Raises OSError."""
        finder = self.finder(rung, pin, Trace(self.clock))
        _, wire = await finder.lead(place, rung.entrance.port)
        if wire is None:
            raise ConnectionResetError
        return wire

    def _opened(self) -> Any:
        if self._door is None:
            from heliograph_agent.net.system_net import Door

            config = replace(
                self.config, connect_s=CONNECT_S, tls_s=TLS_S, resolve_s=RESOLVE_S, dns_s=DNS_S
            )
            self._door = Door(config, self.clock, self.rng)
        return self._door


def _nowhere(place: str) -> bool:
    del place
    return False
