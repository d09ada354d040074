"""Test whether a name in a cleartext request is blocked. See http_host.md.

A request to the target's own server also tests its address.
"""

import asyncio
from collections.abc import Mapping

from heliograph.experiments.web import HttpHostConfig
from heliograph_agent.experiments.endpoints import (
    BODY_LIMIT,
    find_addresses,
    is_literal,
    open_stream,
    parse_host_port,
)
from heliograph_agent.experiments.experiment import BadTarget, Target
from heliograph_agent.net import Net


async def http_host(target: Target, config: HttpHostConfig, net: Net) -> None:
    name, port = parse_host_port(target.value, default_port=80)
    neutral, neutral_port = parse_host_port(config.neutral, default_port=80)
    if is_literal(name) or is_literal(neutral):
        raise BadTarget("An address is no name to send: give a host name, and as neutral too.")
    # The neutral name goes first: a triggered filter may also reject later requests.
    names = {"neutral": neutral, "target": name}
    async with asyncio.TaskGroup() as group:
        group.create_task(_compare(names, neutral, neutral_port, net))
        if config.direct:
            group.create_task(_compare({"direct": name}, name, port, net))


async def _compare(names: Mapping[str, str], host: str, port: int, net: Net) -> None:
    for address in (await find_addresses(host, net, label=next(iter(names))))[:1]:
        for label, name in names.items():
            async with open_stream(net, address, port, label=label) as stream:
                if stream is not None:
                    await net.http(stream, f"http://{name}/", body_limit=BODY_LIMIT)
