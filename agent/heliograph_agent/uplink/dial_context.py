"""Hold clock, proxy and the network libraries for dialing, loaded on first use."""

import importlib.util
from dataclasses import dataclass, field, replace
from random import Random
from typing import TYPE_CHECKING

from heliograph.clock import Clock
from heliograph_agent.net.config import NetConfig
from heliograph_agent.net.trace import StepTrace
from heliograph_agent.uplink.proxy import Proxy
from heliograph_agent.uplink.transports import ProxyUse, Transport

if TYPE_CHECKING:
    from heliograph_agent.net import Net
    from heliograph_agent.net.local_addresses import LocalMachine
    from heliograph_agent.net.scrub import Scrubber
    from heliograph_agent.net.system_net import SystemNetFactory
    from heliograph_agent.net.tcp import TcpConnection
    from heliograph_agent.uplink.dialer import Dialer

# Shorter than an experiment's timeouts, because other transports can be tried.
CONNECT_S = 6.0
TLS_S = 10.0
RESOLVE_S = 6.0
DNS_S = 3.0


def has_grpc() -> bool:
    """Return whether grpcio is installed; some systems have no wheels of it."""
    return importlib.util.find_spec("grpc") is not None


@dataclass(slots=True)
class DialContext:
    """Hold clock, configuration and proxy of one uplink."""

    clock: Clock
    rng: Random
    config: NetConfig = field(default_factory=NetConfig)
    proxy: Proxy | None = None
    use: ProxyUse = ProxyUse.LAST
    has_streams: bool = field(default_factory=has_grpc)  # else sessions are by polls
    _factory: "SystemNetFactory | None" = None
    _local_machine: "LocalMachine | None" = None

    @property
    def proxy_use(self) -> ProxyUse | None:
        return None if self.proxy is None else self.use

    def make_dialer(self, transport: Transport, pin: bytes, trace: StepTrace) -> "Dialer":
        from heliograph_agent.uplink.dialer import Dialer

        return Dialer(
            net=self.make_net(trace),
            trace=trace,
            scrubber=self.get_scrubber(),
            pin=pin,
            doh=self.config.doh,
            proxy=self.proxy if transport.is_proxied else None,
            guard=self if transport.is_guarded else None,
        )

    def is_local_address(self, host: str) -> bool:
        """Return whether `host` is local: `localhost`, or an address of a local network.

        These are addresses of private networks and of this machine's own. A name counts as not
        local.
        """
        from heliograph.address import parse_literal

        address = parse_literal(host)
        if not address:
            return host.lower() == "localhost"
        return self._get_local_machine().is_forbidden(address)

    def make_net(self, trace: StepTrace) -> "Net":
        """Make a Net with the uplink's timeouts that writes into `trace`."""
        if self._factory is None:
            from heliograph_agent.net.system_net import SystemNetFactory

            config = replace(
                self.config, connect_s=CONNECT_S, tls_s=TLS_S, resolve_s=RESOLVE_S, dns_s=DNS_S
            )
            self._factory = SystemNetFactory(config, self.clock, self.rng)
        return self._factory.bind(trace)

    def get_scrubber(self) -> "Scrubber":
        return self._get_local_machine().get_scrubber()

    async def dial_proxy(self, transport: Transport, host: str, pin: bytes) -> "TcpConnection":
        """Open a connection through the proxy. Raises OSError."""
        dialer = self.make_dialer(transport, pin, StepTrace(self.clock))
        _, connection = await dialer.dial_proxy(host, transport.entrance.port)
        if connection is None:
            raise ConnectionResetError
        return connection

    def _get_local_machine(self) -> "LocalMachine":
        if self._local_machine is None:
            from heliograph_agent.net.local_addresses import LocalMachine

            self._local_machine = LocalMachine(self.clock)
        return self._local_machine
