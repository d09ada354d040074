"""Make what runs one transport; its libraries are loaded at first use."""

from typing import TYPE_CHECKING, Protocol

from heliograph_agent.uplink.plan_download import PlanDownload
from heliograph_agent.uplink.session import UplinkContext
from heliograph_agent.uplink.transports import Transport

if TYPE_CHECKING:
    from heliograph_agent.uplink.single_post import PostMonitor, PostTransport
    from heliograph_agent.uplink.stream_transport import StreamMonitor, StreamTransport

    class TransportMonitor(StreamMonitor, PostMonitor, Protocol):
        """Declare the queries and reports of any transport to the owner of all."""


def make_active_transport(
    context: UplinkContext,
    transport: Transport,
    monitor: "TransportMonitor",
    plan_download: PlanDownload,
    heartbeat_s: int,
) -> "StreamTransport | PostTransport":
    """Make what runs a transport: a session by a stream or by polls, or single posts.

    Raises UplinkError, StateError.
    """
    if transport.is_polled:
        from heliograph_agent.uplink.poll_transport import PollTransport

        return PollTransport(context, transport, monitor, heartbeat_s)
    if transport.is_session:
        from heliograph_agent.uplink.stream_transport import StreamTransport

        return StreamTransport(context, transport, monitor, heartbeat_s)
    from heliograph_agent.uplink.single_post import PostTransport

    collector = context.read_collector()
    return PostTransport(context, transport, monitor, plan_download, collector)
