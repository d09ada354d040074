"""Tests that are asked for: visits of controls, and early runs of volunteers."""

from aiohttp import ThreadedResolver

from heliograph_collector.app.context import AppContext
from heliograph_collector.config.settings import split_endpoint
from heliograph_collector.control.early_runs import EarlyRunDispatcher, EarlyRunPlanner
from heliograph_collector.control.visit_dispatcher import VisitDispatcher
from heliograph_collector.control.visit_planner import VisitPlanner
from heliograph_collector.control.visit_policy import VisitPolicy
from heliograph_collector.ingest.build import IngestServices
from heliograph_collector.ingest.control_sessions import ControlSessions
from heliograph_collector.ingest.volunteer_sessions import VolunteerSessions


def build_visits(context: AppContext, ingest: IngestServices) -> VisitDispatcher:
    """Build the dispatcher; it listens to blocks, and has `run`."""
    config = context.config
    listeners = (config.endpoint, config.grpc, config.post, config.http, config.dns, config.echo)
    policy = VisitPolicy(ingest.geo, config.visit_networks)
    return VisitDispatcher(
        VisitPlanner(policy, context.rng),
        ControlSessions(ingest.connections, ingest.directory),
        context.keyring.signing,
        clock=context.clock,
        registry=context.registry,
        resolver=ThreadedResolver(),
        own_hosts=[split_endpoint(endpoint)[0] for endpoint in listeners if endpoint],
    )


def build_early_runs(context: AppContext, ingest: IngestServices) -> EarlyRunDispatcher:
    """Build what asks volunteers for early runs; it listens to blocks."""
    return EarlyRunDispatcher(
        EarlyRunPlanner(context.rng),
        VolunteerSessions(ingest.connections, ingest.directory),
        clock=context.clock,
        registry=context.registry,
    )
