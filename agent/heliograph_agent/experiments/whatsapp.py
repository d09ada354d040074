"""Visit WhatsApp's chat, registration, web and media hosts. See whatsapp.md."""

import re
from collections.abc import Sequence
from dataclasses import replace

from heliograph.experiments.messengers import WhatsAppConfig
from heliograph.plan import Endpoint
from heliograph_agent.experiments.app_path import visit_as_app
from heliograph_agent.experiments.endpoints import select_endpoints
from heliograph_agent.experiments.experiment import Target, require_service
from heliograph_agent.net import Net

_NUMBERED = re.compile(r"e\d+-")  # e1 … e16 are sampled; every other endpoint is always visited


async def whatsapp(target: Target, config: WhatsAppConfig, net: Net) -> None:
    service = require_service(target)
    sampled = sample_endpoints(service.endpoints, config.chat_hosts)
    endpoints = select_endpoints(replace(service, endpoints=sampled), net, light=config.light)
    await visit_as_app(service, endpoints, net, config.concurrency, light=config.light)


def sample_endpoints(endpoints: Sequence[Endpoint], chat_hosts: int) -> tuple[Endpoint, ...]:
    """Sample chat servers evenly, the same everywhere, so that the control has them."""
    hosts = list(dict.fromkeys(e.host for e in endpoints if _NUMBERED.match(e.id)))
    count = min(chat_hosts, len(hosts))
    chosen = {hosts[index * len(hosts) // count] for index in range(count)}
    return tuple(e for e in endpoints if not _NUMBERED.match(e.id) or e.host in chosen)
