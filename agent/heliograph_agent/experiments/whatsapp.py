"""Visit WhatsApp's chat, registration, web and media hosts. See whatsapp.md."""

from dataclasses import replace

from heliograph.experiments.messengers import WhatsAppConfig, sample_endpoints
from heliograph_agent.experiments.app_path import visit_as_app
from heliograph_agent.experiments.endpoints import select_endpoints
from heliograph_agent.experiments.experiment import Target, require_service
from heliograph_agent.net import Net


async def whatsapp(target: Target, config: WhatsAppConfig, net: Net) -> None:
    service = require_service(target)
    sampled = sample_endpoints(service.endpoints, config.chat_hosts)
    endpoints = select_endpoints(replace(service, endpoints=sampled), net, light=config.light)
    await visit_as_app(service, endpoints, net, config)
