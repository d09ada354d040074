"""Visit a messenger that `services.yml` describes fully. See messengers.md.

Where nothing answers of what an app tries first, its own order of attempts is followed. The order
is data of `services.yml`. Stages begin one after the other: a stage ends when one of its endpoints
answers, when all of them failed, or after its seconds. Then the next begins, and what an earlier
one waits for continues, as in the apps. Steps have the endpoint's id after APP_PATH, so that the
times of the first and of the last step say after how long the app connects, and by which.
"""

import asyncio
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace

from heliograph.experiments.messengers import MessengerConfig
from heliograph.plan import APP_PATH, ConnectStage, Endpoint, Service, ServiceFunction
from heliograph_agent.experiments.endpoints import (
    IPV4_TRIED,
    IPV6_TRIED,
    select_endpoints,
    visit_endpoint,
    visit_endpoints,
)
from heliograph_agent.experiments.experiment import CannotRun, Target, require_service
from heliograph_agent.net import Net


async def messengers(target: Target, config: MessengerConfig, net: Net) -> None:
    service = require_service(target)
    sampled = replace(service, endpoints=config.sample(service.endpoints))
    endpoints = select_endpoints(sampled, net, light=config.light)
    await _visit_as_app(service, endpoints, net, config)


async def _visit_as_app(
    service: Service,
    endpoints: Sequence[Endpoint],
    net: Net,
    config: MessengerConfig,
) -> None:
    """Visit the endpoints; if the app's first ones fail, follow the app's order.

    A light check visits no address of a name after one that answers. It follows the order too, and
    completely: an omitted way could be the only one that works, and the result would be "blocked".
    """
    answered_ids = await visit_endpoints(
        endpoints, net, config.concurrency, ipv4=config.addresses, until_answered=config.light
    )
    is_visit = net.list_visit_labels() is not None
    if service.stages and not is_visit and _is_first_way_cut(service, endpoints, answered_ids):
        await _follow_stages(service, net)


def _draw_built_in(literals: Sequence[str], net: Net) -> tuple[str, ...]:
    """Draw as many of an app's built-in addresses as are tried of a name."""
    first = net.random(1)[0] % max(1, len(literals))
    drawn = (*literals[first:], *literals[:first])
    return (
        *[literal for literal in drawn if ":" not in literal][:IPV4_TRIED],
        *[literal for literal in drawn if ":" in literal][:IPV6_TRIED],
    )


def _is_first_way_cut(
    service: Service, endpoints: Sequence[Endpoint], answered_ids: AbstractSet[str]
) -> bool:
    """Return whether messaging was visited, and none of the app's first ways answered.

    If none of these was visited, as in a light check of another endpoint, any answer counts.
    """
    functions = service.map_functions()
    messaging = {e.id for e in endpoints if functions.get(e.id) is ServiceFunction.MESSAGING}
    decisive = messaging & service.first_way or messaging
    return bool(decisive) and not decisive & answered_ids


async def _follow_stages(service: Service, net: Net) -> None:
    """Try the stages in order, until an endpoint answers."""
    path = _AppPath(service, net)
    async with asyncio.TaskGroup() as group:
        answer = group.create_task(path.has_answered.wait())
        for stage in service.stages:
            if path.has_answered.is_set():
                break
            if not (stage.if_unresolved and path.is_resolved.is_set()):
                tries = group.create_task(path.visit_stage(stage))
                await asyncio.wait(
                    (tries, answer), timeout=stage.seconds, return_when=asyncio.FIRST_COMPLETED
                )
        answer.cancel()  # visits that still wait end by their own deadlines


class _AppPath:
    """Visit the endpoints of stages, and note whether one answered or a lookup worked."""

    def __init__(self, service: Service, net: Net) -> None:
        self._net = net
        self._endpoints = {e.id: replace(e, id=APP_PATH + e.id) for e in service.endpoints}
        self.has_answered = asyncio.Event()
        self.is_resolved = asyncio.Event()

    async def visit_stage(self, stage: ConnectStage) -> None:
        stage_endpoints = [
            self._endpoints[name] for name in stage.endpoints if name in self._endpoints
        ]
        async with asyncio.TaskGroup() as visits:
            for endpoint in stage_endpoints:
                visits.create_task(self._visit(endpoint))

    async def _visit(self, endpoint: Endpoint) -> None:
        endpoint = replace(endpoint, addresses=_draw_built_in(endpoint.addresses, self._net))
        try:
            if await visit_endpoint(endpoint, self._net, is_resolved=self.is_resolved):
                self.has_answered.set()
        except CannotRun:  # an endpoint that this agent does not understand is skipped
            return
