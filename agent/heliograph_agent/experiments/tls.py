"""Whether a TLS handshake ends well, with the real name, another one or none. See tls.md."""

from heliograph.experiments.network import TlsConfig
from heliograph_agent.experiments.endpoints import connected, find, host_and_port, host_of
from heliograph_agent.experiments.experiment import CannotRun, Target
from heliograph_agent.net import Net


async def tls(target: Target, config: TlsConfig, net: Net) -> None:
    host, port = host_and_port(target.text, default_port=443)
    name = host_of(config.server_name or host)
    if name is None:
        raise CannotRun(f"server_name cannot be {config.server_name!r}; allowed: a host name.")
    alpn = protocols(config.alpn)
    for address in await find(host, net):
        async with connected(net, address, port) as stream:
            if stream is None:
                continue
            _, secured = await net.handshake(
                stream, name, send_sni=config.sni, alpn=alpn, trust=config.trust
            )
            if secured is not None:
                secured.close()


def protocols(text: str) -> tuple[str, ...]:
    """Those that ALPN can offer (RFC 7301 section 3.1). Raises CannotRun."""
    words = tuple(word.strip() for word in text.split(",") if word.strip())
    if not text.isascii():
        raise CannotRun(f"alpn cannot be {text!r}; allowed: protocols such as h2,http/1.1.")
    return words
