"""Whether a TLS handshake ends well, with the real name, another one or none. See tls.md."""

from dataclasses import dataclass

from heliograph_agent.endpoints import connected, find, host_and_port
from heliograph_agent.experiment import Experiment, Target, option
from heliograph_agent.net import Net


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    server_name: str = option("", "name sent and checked in place of the host")
    sni: bool = option(True, "whether the ClientHello names the server")
    alpn: str = option("http/1.1", "protocols offered, with commas between")
    trust: str = option("", "CA set the chain is checked with", words=("", "signal"))


async def tls(target: Target, config: Config, net: Net) -> None:
    host, port = host_and_port(target.text, default_port=443)
    name = config.server_name or host
    alpn = tuple(word.strip() for word in config.alpn.split(",") if word.strip())
    for address in await find(host, net):
        async with connected(net, address, port) as stream:
            if stream is None:
                continue
            _, secured = await net.handshake(
                stream, name, send_sni=config.sni, alpn=alpn, trust=config.trust
            )
            if secured is not None:
                secured.close()


EXPERIMENT = Experiment(
    name="tls",
    version=1,
    title="TLS: handshake, chain and alert of one server",
    config=Config,
    run=tls,
    wants="endpoint",
)
