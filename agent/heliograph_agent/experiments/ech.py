"""Test whether Encrypted ClientHello, real or GREASE, is blocked. See ech.md."""

from heliograph.experiments.network import EncryptedHelloConfig
from heliograph.failure import Failure
from heliograph_agent.experiments.endpoints import (
    Address,
    find_addresses,
    is_literal,
    list_visit_addresses,
    open_stream,
    parse_host_port,
)
from heliograph_agent.experiments.experiment import CannotRun, Target
from heliograph_agent.net import Net, StepResult
from heliograph_agent.net.probe_message import TlsProbeMessage
from heliograph_agent.protocols.browser_hello import BrowserHello
from heliograph_agent.protocols.ech_config import EchConfig, find_ech_parameter, parse_config_list
from heliograph_agent.protocols.ech_hello import RANDOM_BYTES, SealedHello, omit_ech

LABELS = ("real", "none", "grease")  # the sealed name first: the others may trigger a filter
BROWSER = "chrome"  # whose hello they are
OWN = "none"  # label of the lookup of the target's own server, and of a visit there
TRIES = 2  # of a hello without a reply, because a lost packet has none either


async def ech(target: Target, config: EncryptedHelloConfig, net: Net) -> None:
    host, port = parse_host_port(target.value, default_port=443)
    neutral = parse_host_port(config.neutral, default_port=443) if config.neutral else None
    key = _parse_given(config.config) if config.config else None
    visit_addresses = list_visit_addresses(net, OWN)
    if key is None and visit_addresses is None and not is_literal(host):
        key = await _fetch_published(host, port, config.doh, net)
    for address in visit_addresses or (await find_addresses(host, net, label=OWN))[:1]:
        for label in LABELS:
            if label != "real" or key is not None:
                await _send_hello(label, host, address, port, key, net)
    if neutral is not None:
        for address in (await find_addresses(neutral[0], net, label="neutral"))[:1]:
            await _send_hello("neutral", neutral[0], address, neutral[1], None, net)


def _parse_given(encoded: str) -> EchConfig:
    try:
        key = parse_config_list(encoded)
    except ValueError as error:
        raise CannotRun(f"config cannot be {encoded!r}: {error}.") from error
    if key is None:
        raise CannotRun("config holds no key that this agent can seal to.")
    return key


async def _fetch_published(host: str, port: int, doh: str, net: Net) -> EchConfig | None:
    """Fetch the key in the HTTPS record (RFC 9848) by DoH, else by the system."""
    name = host if port == 443 else f"_{port}._https.{host}"
    for engine, resolver in (("doh", doh), ("system", "")):
        result = await net.resolve(
            name, query_type="HTTPS", engine=engine, resolver=resolver, endpoint="config"
        )
        if result.is_success:
            return find_key(result)
    return None


def find_key(result: StepResult) -> EchConfig | None:
    """Return the first usable key in the answers."""
    dns = result.observation.dns
    for answer in dns.answers if dns else ():
        if answer.type == "HTTPS" and (parameter := find_ech_parameter(answer.data)):
            try:
                if (key := parse_config_list(parameter)) is not None:
                    return key
            except ValueError:  # a broken record counts as none
                continue
    return None


async def _send_hello(
    label: str, host: str, address: Address, port: int, key: EchConfig | None, net: Net
) -> None:
    hello = _make_hello(label, "" if is_literal(host) else host, key, net)
    for _ in range(TRIES):
        async with open_stream(net, address, port, label=label) as stream:
            if stream is None:
                return
            result = await net.exchange(stream, hello)
        if result.observation.failure is not Failure.GENERIC_TIMEOUT_ERROR:
            return


def _make_hello(label: str, name: str, key: EchConfig | None, net: Net) -> TlsProbeMessage:
    profiles = net.hello_profiles
    profile = profiles.get(BROWSER)
    random_bytes = net.random(RANDOM_BYTES)
    if label == "real" and key is not None:
        return SealedHello(profile, profiles.version, name, key, random_bytes)
    spoken = omit_ech(profile) if label == "none" else profile
    return BrowserHello(spoken, profiles.version, name, random_bytes)
