"""Make a TLS handshake with the real name, another one or none. See tls.md."""

from heliograph.experiments.network import TlsConfig
from heliograph_agent.experiments.endpoints import (
    find_addresses,
    parse_host,
    parse_host_port,
    try_handshake,
)
from heliograph_agent.experiments.experiment import CannotRun, Target
from heliograph_agent.net import Net


async def tls(target: Target, config: TlsConfig, net: Net) -> None:
    host, port = parse_host_port(target.value, default_port=443)
    name = parse_host(config.server_name or host)
    if name is None:
        raise CannotRun(f"server_name cannot be {config.server_name!r}; allowed: a host name.")
    alpn = parse_alpn(config.alpn)
    for address in await find_addresses(host, net):
        await try_handshake(
            net, address, port, name, send_sni=config.sni, alpn=alpn, trust=config.trust
        )


def parse_alpn(value: str) -> tuple[str, ...]:
    """Parse the protocols for ALPN (RFC 7301 section 3.1). Raises CannotRun."""
    names = tuple(name.strip() for name in value.split(",") if name.strip())
    if not value.isascii():
        raise CannotRun(f"alpn cannot be {value!r}; allowed: protocols such as h2,http/1.1.")
    return names
