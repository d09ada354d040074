"""Whether Encrypted ClientHello passes, looks like it, or hinders. See ech.md."""

from heliograph.experiments.network import EncryptedHelloConfig
from heliograph.failure import Failure
from heliograph_agent.experiments.endpoints import (
    Address,
    connected,
    find,
    host_and_port,
    is_literal,
)
from heliograph_agent.experiments.experiment import CannotRun, Target
from heliograph_agent.net import Net, Seen
from heliograph_agent.protocols.ech_config import EchConfig, config_in, parameter_of
from heliograph_agent.protocols.tls_hello import CHANCE, ClientHello

LABELS = ("real", "none", "grease")  # what passes a filter of names goes before what wakes it
TRIES = 2  # of a hello that is met by silence: lost packets are silent too


async def ech(target: Target, config: EncryptedHelloConfig, net: Net) -> None:
    host, port = host_and_port(target.text, default_port=443)
    neutral = host_and_port(config.neutral, default_port=443) if config.neutral else None
    key = _given(config.config) if config.config else None
    if key is None and not is_literal(host):
        key = await _published(host, port, config.doh, net)
    for address in (await find(host, net))[:1]:
        for label in LABELS:
            if label != "real" or key is not None:
                await _greet(label, host, address, port, key, net)
    if neutral is not None:
        for address in (await find(neutral[0], net, label="neutral"))[:1]:
            await _greet("neutral", neutral[0], address, neutral[1], None, net)


def _given(text: str) -> EchConfig:
    try:
        key = config_in(text)
    except ValueError as error:
        raise CannotRun(f"config cannot be {text!r}: {error}.") from error
    if key is None:
        raise CannotRun("config holds no key that this agent can seal to.")
    return key


async def _published(host: str, port: int, doh: str, net: Net) -> EchConfig | None:
    """What the HTTPS record says (RFC 9848), by HTTPS and, if that fails, by the system."""
    name = host if port == 443 else f"_{port}._https.{host}"
    for engine, resolver in (("doh", doh), ("system", "")):
        seen = await net.resolve(
            name, query_type="HTTPS", engine=engine, resolver=resolver, endpoint="config"
        )
        if seen.ok:
            return key_of(seen)
    return None


def key_of(seen: Seen) -> EchConfig | None:
    """The first key in the answers that can be sealed to."""
    dns = seen.observation.dns
    for answer in dns.answers if dns else ():
        if answer.type == "HTTPS" and (text := parameter_of(answer.data)):
            try:
                if (key := config_in(text)) is not None:
                    return key
            except ValueError:  # somebody's broken record: as good as none
                continue
    return None


async def _greet(
    label: str, host: str, address: Address, port: int, key: EchConfig | None, net: Net
) -> None:
    speech = ClientHello(
        "" if is_literal(host) else host,
        net.random(CHANCE),
        config=key if label == "real" else None,
        grease=label in ("grease", "neutral"),
    )
    for _ in range(TRIES):
        async with connected(net, address, port, label=label) as stream:
            if stream is None:
                return
            seen = await net.exchange(stream, speech)
        if seen.observation.failure is not Failure.GENERIC_TIMEOUT_ERROR:
            return
