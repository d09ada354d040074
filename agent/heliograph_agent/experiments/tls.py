"""Whether a TLS handshake ends well, with the real name, another one or none. See tls.md."""

from dataclasses import dataclass

from heliograph_agent.endpoints import connected, find, host_and_port, host_of
from heliograph_agent.experiment import CannotRun, Experiment, Target, option
from heliograph_agent.net import Net


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    server_name: str = option("", "name sent and checked in place of the host")
    sni: bool = option(True, "whether the ClientHello names the server")
    alpn: str = option("http/1.1", "protocols offered, with commas between")
    trust: str = option("", "CA set the chain is checked with", words=("", "signal"))


async def tls(target: Target, config: Config, net: Net) -> None:
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


EXPERIMENT = Experiment(
    name="tls",
    version=1,
    title="TLS: handshake, chain and alert of one server",
    config=Config,
    run=tls,
    wants="endpoint",
)
