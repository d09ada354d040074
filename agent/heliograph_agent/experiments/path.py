"""Locate interference on the path by packets with a limited TTL. See path.md."""

from dataclasses import dataclass, replace

from heliograph.experiments.network import PathConfig
from heliograph.observation import Hop
from heliograph_agent.experiments.endpoints import (
    Address,
    find_addresses,
    is_literal,
    parse_host,
    parse_host_port,
)
from heliograph_agent.experiments.experiment import BadTarget, CannotRun, Target
from heliograph_agent.net import Net

SYN = "syn"
HELLO = "client_hello"
DNS = "dns"
PASSED_ON = "time_exceeded"  # a router received it, and would have forwarded it
ACCEPTED = "synack"


@dataclass(frozen=True, slots=True, kw_only=True)
class PathTrace:
    """Describe packets of one kind to one address, with a TTL that rises by one."""

    label: str
    send: str
    address: Address
    port: int
    hops: int
    name: str = ""


async def path(target: Target, config: PathConfig, net: Net) -> None:
    host, port = parse_host_port(target.value, default_port=443)
    name = "" if is_literal(host) else host
    if config.name:
        name = _parse_name("name", config.name)
    neutral = _parse_name("neutral", config.neutral)
    addresses = await find_addresses(host, net)
    try:
        for address in addresses[:1]:
            await _trace_hellos(address, port, name, neutral, config, net)
        if config.resolver:
            await _trace_queries(name, neutral, config, net)
    except ValueError as error:  # a sentence of the net, with the fix
        raise CannotRun(str(error)) from error


def _parse_name(key: str, value: str) -> str:
    name = parse_host(value)
    if name is None or is_literal(name):
        raise CannotRun(f"{key} cannot be {value!r}; allowed: a host name.")
    return name


async def _trace_hellos(
    address: Address, port: int, name: str, neutral: str, config: PathConfig, net: Net
) -> None:
    """Trace with SYNs, then with ClientHellos if the address accepts connections.

    The neutral name goes first: the effect of the target's name may last.
    """
    syn = PathTrace(label="syn", send=SYN, address=address, port=port, hops=config.hops)
    hop = await _run_trace(syn, config, net)
    if hop is None or hop.reply != ACCEPTED:
        return
    for label, sent_name in (("neutral", neutral), ("target", name)):
        hello = replace(syn, label=label, send=HELLO, hops=hop.ttl, name=sent_name)
        await _run_trace(hello, config, net)


async def _trace_queries(name: str, neutral: str, config: PathConfig, net: Net) -> None:
    if not name:
        raise BadTarget("resolver needs a name to ask for: give a host name or the option name.")
    host, port = parse_host_port(config.resolver)
    query = PathTrace(label="", send=DNS, address=Address(host), port=port, hops=config.hops)
    for label, sent_name in (("neutral", neutral), ("target", name)):
        await _run_trace(replace(query, label=label, name=sent_name), config, net)


async def _run_trace(trace: PathTrace, config: PathConfig, net: Net) -> Hop | None:
    """Send packets until an answer, silence or the configured time ends the trace."""
    silent_count = 0
    for ttl in range(1, trace.hops + 1):
        result = await net.hop(
            trace.address.literal,
            trace.port,
            ttl=ttl,
            send=trace.send,
            name=trace.name,
            on=trace.address.lookup,
            endpoint=trace.label,
        )
        hop = result.observation.hop
        reply = hop.reply if hop else ""
        if reply and reply != PASSED_ON:
            return hop
        silent_count = 0 if reply else silent_count + 1
        if silent_count >= config.silent or result.ended_us > config.seconds * 1_000_000:
            return None
    return None
