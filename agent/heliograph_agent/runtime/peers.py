"""Apply the volunteer's configuration to relays, entrances and the DNS beacon."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from random import Random

from google.protobuf.message import DecodeError

from heliograph.clock import Clock
from heliograph.plan import Entrance
from heliograph.v1 import plan_pb2
from heliograph_agent.runtime.service_status import ServiceStates, recent_states
from heliograph_agent.runtime.settings import AgentSettings
from heliograph_agent.state import DELIVERED_PLAN, State, StateError
from heliograph_agent.uplink.dns_beacon import DnsBeacon
from heliograph_agent.uplink.invite import split_endpoint

IsLocalAddress = Callable[[str], bool]  # DialContext.is_local_address
log = logging.getLogger("heliograph.agent")


def allowed_entrances(settings: AgentSettings, is_local: IsLocalAddress) -> Sequence[Entrance]:
    """List all entrances without the relays that the volunteer does not allow."""
    return settings.config.entrances(_planned_entrances(settings, is_local))


def is_guarded(settings: AgentSettings, is_local: IsLocalAddress, entrance: Entrance) -> bool:
    """Return whether an entrance may not lead into a private network.

    An entrance that only the plan names could make volunteers probe their own networks. One that
    the volunteer configured or joined by may lead anywhere.
    """
    return (
        not _may_reach_local(settings, is_local)
        and entrance not in settings.config.entrances(())
        and (entrance.host, entrance.port) != split_endpoint(settings.collector.endpoint)
    )


def _planned_entrances(settings: AgentSettings, is_local: IsLocalAddress) -> Sequence[Entrance]:
    """List the plan's entrances without local addresses, unless these are allowed."""
    entrances = settings.plan.entrances
    if _may_reach_local(settings, is_local):
        return entrances
    return [
        replace(e, addresses=tuple(a for a in e.addresses if not is_local(a)))
        for e in entrances
        if not is_local(e.host)
    ]


def _may_reach_local(settings: AgentSettings, is_local: IsLocalAddress) -> bool:
    """Return whether local addresses are allowed, also by joining at one."""
    return settings.config.local_targets or is_local(split_endpoint(settings.collector.endpoint)[0])


async def run_relay(get_settings: Callable[[], AgentSettings], clock: Clock, rng: Random) -> None:
    """Serve as a relay until cancelled, if configured; log what prevents it."""
    settings = get_settings()
    if settings.config.relay_listen is None:
        return
    from heliograph_agent.relay.server import Relay  # loaded here, as few agents are relays

    dial_context = settings.config.dial_context(clock, rng)
    relay = Relay(
        state=settings.state,
        collector=lambda: get_settings().collector,
        dial_context=dial_context,
        listen=settings.config.relay_listen,
        bytes_per_day=settings.config.relay_bytes_per_day,
        entrances=lambda: _planned_entrances(get_settings(), dial_context.is_local_address),
        is_guarded=lambda entrance: is_guarded(
            get_settings(), dial_context.is_local_address, entrance
        ),
    )
    try:
        await relay.run(lambda: log.info("sealed results of other volunteers are handed on"))
    except* StateError as errors:
        log.warning("%s Nobody's results are handed on.", errors.exceptions[0])
    except* OSError:
        log.warning("relay.listen cannot be listened on: nobody's results are handed on")


def take_delivered_plan(state: State) -> Iterator[plan_pb2.SignedPlan]:
    """Yield, once, a plan that arrived with receipts by file, not verified yet."""
    with suppress(StateError, DecodeError):
        raw = state.read(DELIVERED_PLAN)
        if raw is not None:
            state.remove(DELIVERED_PLAN)
            yield plan_pb2.SignedPlan.FromString(raw)


def beacon_zone(settings: AgentSettings) -> str:
    """Return the plan's beacon zone, "" unless the volunteer allows it too."""
    return settings.plan.beacon_zone if settings.config.beacon else ""


def make_dns_beacon(
    get_settings: Callable[[], AgentSettings],
    service_states: Callable[[], ServiceStates],
    clock: Clock,
) -> DnsBeacon:
    """Make the beacon from `service_states`, which are those of status.json."""
    return DnsBeacon(
        state=get_settings().state,
        zone=lambda: beacon_zone(get_settings()),
        service_states=lambda: recent_states(service_states(), clock.wall_us()),
    )
