"""The hello: an agent's facts on itself and its route when a session begins.

It names the entrance that was dialed, so that the collector can distinguish a block of one of its
addresses from a loss of the agent's network. The collector's listener does not know that, because
names, balancers and forwarders stand between. The name is an address of the collector that the
agent had from it, as 32 bits (`Entrance.tag`): nothing new about the agent.
"""

from dataclasses import dataclass

from heliograph import __version__
from heliograph.observation import Access, Link
from heliograph.v1 import intake_pb2


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFacts:
    """Hold the agent's facts about itself for hello and heartbeat."""

    boot: str
    epoch: str = ""
    link: Link = Link.UNKNOWN
    country: str = ""
    region: str = ""
    access: Access = Access.UNKNOWN
    plan_version: int = 0
    charter_version: int = 0
    on_battery: bool | None = None  # None where this machine does not know it
    uptime_s: int | None = None  # of this machine, coarsely; None after a day


def build_hello(
    agent: bytes, signature: bytes, facts: SessionFacts, entrance: int
) -> intake_pb2.Hello:
    """Build a session's hello by the entrance with this tag, 0 for an unnamed one."""
    return intake_pb2.Hello(
        agent=agent,
        signature=signature,
        agent_version=__version__,
        plan_version=facts.plan_version,
        epoch=facts.epoch,
        country=facts.country,
        region=facts.region,
        access=facts.access,
        boot=facts.boot,
        charter_version=facts.charter_version,
        on_battery=facts.on_battery,
        uptime_s=facts.uptime_s,
        entrance=entrance,
    )
