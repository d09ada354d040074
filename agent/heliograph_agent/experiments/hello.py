"""Test whether a browser's hello is treated otherwise than ours. See hello.md."""

from dataclasses import dataclass

from heliograph.experiments.web import HelloConfig
from heliograph_agent.experiments.endpoints import (
    Address,
    find_addresses,
    is_literal,
    open_stream,
    parse_host,
    parse_host_port,
)
from heliograph_agent.experiments.experiment import BadTarget, CannotRun, Target
from heliograph_agent.net import Net
from heliograph_agent.protocols.browser_hello import BROWSER_RANDOM_BYTES, BrowserHello

OWN = "own"


@dataclass(frozen=True, slots=True)
class BrowserSpec:
    """Describe a hello: the label of its step, its profile, and where its name stands."""

    label: str
    profile: str
    is_name_last: bool = False


BROWSERS = (
    BrowserSpec("firefox", "firefox"),
    BrowserSpec("chrome", "chrome"),
    BrowserSpec("chrome_late", "chrome", is_name_last=True),
)
NEUTRAL = BrowserSpec("neutral", "chrome")


async def hello(target: Target, config: HelloConfig, net: Net) -> None:
    host, port = parse_host_port(target.value, default_port=443)
    neutral = parse_host(config.neutral)
    if is_literal(host):
        raise BadTarget("An address is no name to send: give a host name.")
    if neutral is None or is_literal(neutral):
        raise CannotRun(f"neutral cannot be {config.neutral!r}; allowed: a host name.")
    if not net.has_trust(config.trust):
        raise CannotRun(f"This agent has no CA set {config.trust!r}.")
    for address in (await find_addresses(host, net, label=OWN))[:1]:
        await _compare_hellos(_Speaker(address, port, config.trust, net), host, neutral)


@dataclass(frozen=True, slots=True)
class _Speaker:
    """Say hellos to one address, each over its own connection."""

    address: Address
    port: int
    trust: str  # CA set of the own handshake
    net: Net

    async def say_own(self, label: str, name: str) -> bool:
        """Make the library's own handshake; return whether it succeeded."""
        async with open_stream(self.net, self.address, self.port, label=label) as stream:
            if stream is None:
                return False
            result, tls_stream = await self.net.handshake(stream, name, trust=self.trust)
            if tls_stream is not None:
                tls_stream.close()
            return result.is_success

    async def say_browser(self, spec: BrowserSpec, name: str) -> bool:
        """Send a browser's hello; return whether a ServerHello came."""
        profiles = self.net.hello_profiles
        message = BrowserHello(
            profiles.get(spec.profile),
            profiles.version,
            name,
            self.net.random(BROWSER_RANDOM_BYTES),
            is_name_last=spec.is_name_last,
        )
        async with open_stream(self.net, self.address, self.port, label=spec.label) as stream:
            if stream is None:
                return False
            return (await self.net.exchange(stream, message)).is_success


async def _compare_hellos(speaker: _Speaker, host: str, neutral: str) -> None:
    """Send the hellos in turn; after a failure, two more that show its cause.

    The last two show that the failures before them were not the line's, nor the aftermath of a
    filter that refuses everything to an address for a while.
    """
    is_whole = await speaker.say_own(OWN, host)
    for spec in BROWSERS:
        is_answered = await speaker.say_browser(spec, host)
        is_whole = is_whole and is_answered
    if not is_whole:
        await speaker.say_browser(NEUTRAL, neutral)
        await speaker.say_own("again", host)
