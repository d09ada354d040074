"""The entrances for agents: gRPC, POST and DNS, around one ingest stage."""

from contextlib import AsyncExitStack
from dataclasses import dataclass

from heliograph_collector.app.explained_errors import explain_errors, explain_port
from heliograph_collector.ingest.build import IngestConfig, IngestServices, run_ingest
from heliograph_collector.ingest.geo.lookup import GeoError
from heliograph_collector.store.journal.journal import JournalError


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerPorts:
    """The port of each entrance, 0 for one that is not configured."""

    grpc: int
    post: int = 0
    dns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherListeners:
    """Entrances beside gRPC as HOST:PORT, "" for none."""

    post: str
    dns: str
    dns_zone: str


async def open_listeners(
    config: IngestConfig, others: OtherListeners, stack: AsyncExitStack
) -> tuple[IngestServices, ListenerPorts]:
    """Start ingest with all its listeners; `stack` stops them.

    Raises CannotServeError.
    """
    with explain_port("grpc", config.endpoint), explain_errors(GeoError, JournalError):
        ingest = await stack.enter_async_context(run_ingest(config))
    ingest.geo.report_missing_tables()
    post_port = dns_port = 0
    if others.post:
        with explain_port("post", others.post):
            post_port = await stack.enter_async_context(ingest.serve_post(others.post, config.data))
    if others.dns:
        with explain_port("dns", others.dns):
            dns_port = await stack.enter_async_context(
                ingest.serve_dns(others.dns, others.dns_zone, config.clock)
            )
    return ingest, ListenerPorts(grpc=ingest.port, post=post_port, dns=dns_port)
