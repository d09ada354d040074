"""Where on the way somebody interferes, told by packets that run out on the way. See path.md."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from heliograph.experiments.network import PathConfig
from heliograph_agent.experiments.endpoints import Address, find, host_and_port, host_of, is_literal
from heliograph_agent.experiments.experiment import CannotRun, Target
from heliograph_agent.net import Net, Seen

SYN, HELLO, DNS = "syn", "client_hello", "dns"
PASSED_ON = "time_exceeded"  # a router had it, and would have sent it on
ACCEPTED = "synack"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """Packets of one kind to one place, each allowed one router more than the one before."""

    label: str
    send: str
    address: Address
    port: int
    hops: int
    name: str = ""


async def path(target: Target, config: PathConfig, net: Net) -> None:
    host, port = host_and_port(target.text, default_port=443)
    name = "" if is_literal(host) else host
    if config.name:
        name = _named("name", config.name)
    neutral = _named("neutral", config.neutral)
    addresses = await find(host, net)
    try:
        for address in addresses[:1]:
            await _hellos(address, port, name, neutral, config, net)
        if config.resolver:
            await _queries(name, neutral, config, net)
    except ValueError as error:  # the net's own sentence, with its cure
        raise CannotRun(str(error)) from error


def _named(key: str, text: str) -> str:
    name = host_of(text)
    if name is None or is_literal(name):
        raise CannotRun(f"{key} cannot be {text!r}; allowed: a host name.")
    return name


async def _hellos(
    address: Address, port: int, name: str, neutral: str, config: PathConfig, net: Net
) -> None:
    """SYNs find the end; a hello is worth a trace only if there is somebody to take it.

    The neutral name goes first: what the other one wakes may last.
    """
    syn = Trace(label="syn", send=SYN, address=address, port=port, hops=config.hops)
    far = await _follow(syn, config, net)
    if far is None or far.observation.hop is None or far.observation.hop.reply != ACCEPTED:
        return
    hops = far.observation.hop.ttl
    for label, sent in (("neutral", neutral), ("target", name)):
        hello = Trace(label=label, send=HELLO, address=address, port=port, hops=hops, name=sent)
        await _follow(hello, config, net)


async def _queries(name: str, neutral: str, config: PathConfig, net: Net) -> None:
    if not name:
        raise CannotRun("resolver needs a name to ask for: give a host name or the option name.")
    host, port = host_and_port(config.resolver)
    for label, sent in (("neutral", neutral), ("target", name)):
        query = Trace(
            label=label, send=DNS, address=Address(host), port=port, hops=config.hops, name=sent
        )
        await _follow(query, config, net)


async def _follow(trace: Trace, config: PathConfig, net: Net) -> Seen | None:
    """The answer that ended it, None when none came."""
    quiet = 0
    async for seen in _packets(trace, config, net):
        hop = seen.observation.hop
        reply = hop.reply if hop else ""
        if reply and reply != PASSED_ON:
            return seen
        quiet = 0 if reply else quiet + 1
        if quiet >= config.silent:
            return None
    return None


async def _packets(trace: Trace, config: PathConfig, net: Net) -> AsyncIterator[Seen]:
    """One by one, while there is time."""
    for ttl in range(1, trace.hops + 1):
        seen = await net.hop(
            trace.address.literal,
            trace.port,
            ttl=ttl,
            send=trace.send,
            name=trace.name,
            on=trace.address.on,
            endpoint=trace.label,
        )
        yield seen
        if seen.observation.started_us + seen.observation.duration_us > config.seconds * 1_000_000:
            return
