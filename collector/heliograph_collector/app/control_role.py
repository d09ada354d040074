"""The control role: a local control agent, the echo service, and the tests asked for."""

import asyncio

from aiohttp import ThreadedResolver

from heliograph.address import format_dial_address, list_hosts, split_endpoint
from heliograph_collector.app.context import AppContext, explain_port
from heliograph_collector.control.agent_process import ControlAgent, keep_control
from heliograph_collector.control.early_runs import EarlyRunDispatcher, EarlyRunPlanner
from heliograph_collector.control.echo_server import EchoServer
from heliograph_collector.control.visit_dispatcher import VisitDispatcher
from heliograph_collector.control.visit_planner import VisitPlanner
from heliograph_collector.control.visit_policy import VisitPolicy
from heliograph_collector.fleet.renewal import ControlInvites
from heliograph_collector.ingest.agent_sessions import ControlSessions, VolunteerSessions
from heliograph_collector.ingest.build import IngestServices


class ControlRole:
    """The local control agent and the echo service, as far as they are configured."""

    def __init__(self, context: AppContext, grpc_port: int) -> None:
        self._context = context
        config = context.config
        endpoint = format_dial_address(split_endpoint(config.grpc)[0], grpc_port)
        self._control = ControlAgent(
            state_directory=config.data / "control",
            log_file=config.data / "control.log",
            endpoint=endpoint,
            invites=ControlInvites(context.fleet, context.keyring, endpoint, context.clock),
            rng=context.rng,
        )
        self.echo = EchoServer()

    async def run(self) -> None:
        if "local" in self._context.config.control_endpoints:
            await keep_control(self._control)

    async def run_echo(self, group: asyncio.TaskGroup) -> None:
        """Run the echo server until cancelled; connections are tasks of `group`.

        Raises CannotServeError.
        """
        endpoint = self._context.config.echo
        if not endpoint:
            return
        host, port = split_endpoint(endpoint)
        with explain_port("echo", endpoint):
            async with self.echo.open(host, port, group) as echo_port:
                self._context.endpoint_file.announce("echo", endpoint, echo_port)
                await asyncio.Event().wait()


def build_visits(context: AppContext, ingest: IngestServices) -> VisitDispatcher:
    """Build the dispatcher; it listens to blocks, and has `run`."""
    config = context.config
    policy = VisitPolicy(ingest.geo, config.visit_networks)
    return VisitDispatcher(
        VisitPlanner(policy, context.rng),
        ControlSessions(ingest.connections, ingest.directory),
        context.keyring.signing,
        clock=context.clock,
        registry=context.registry,
        resolver=ThreadedResolver(),
        own_hosts=list_hosts(
            config.endpoint, config.grpc, config.post, config.http, config.dns, config.echo
        ),
    )


def build_early_runs(context: AppContext, ingest: IngestServices) -> EarlyRunDispatcher:
    """Build what asks volunteers for early runs; it listens to blocks."""
    return EarlyRunDispatcher(
        EarlyRunPlanner(context.rng),
        VolunteerSessions(ingest.connections, ingest.directory),
        clock=context.clock,
        registry=context.registry,
    )
