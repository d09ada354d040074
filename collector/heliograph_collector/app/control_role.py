"""The control role: a local control agent and the echo service."""

import asyncio
import logging

from heliograph_collector.app.context import AppContext
from heliograph_collector.config.errors import explain_taken_port
from heliograph_collector.config.settings import format_dial_address, split_endpoint
from heliograph_collector.control.agent_process import ControlAgent, keep_control
from heliograph_collector.control.echo_server import EchoServer
from heliograph_collector.fleet.renewal import ControlInvites
from heliograph_collector.model.errors import PortTakenError

log = logging.getLogger("heliograph")


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
        try:
            async with self.echo.open(host, port, group) as echo_port:
                address = format_dial_address(host, echo_port)
                self._context.endpoint_file.publish(echo=address)
                log.info("Echo:   %s (TCP)", address)
                await asyncio.Event().wait()
        except PortTakenError as error:
            raise explain_taken_port("echo", endpoint) from error
