"""What an agent and other volunteers' agents have to do with each other, and its last word by DNS:
each only as far as the owner's configuration has it."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from random import Random

from google.protobuf.message import DecodeError

from heliograph.clock import Clock
from heliograph.plan import Entrance
from heliograph.v1 import plan_pb2
from heliograph_agent.runtime.service_status import Lives, fresh
from heliograph_agent.runtime.settings import Setting
from heliograph_agent.state import BROUGHT, State, StateError
from heliograph_agent.uplink.dns_beacon import LastWord
from heliograph_agent.uplink.invite import split_endpoint

Home = Callable[[str], bool]  # whether that is at home: uplink.ways.Ways.leads_home
log = logging.getLogger("heliograph.agent")


def entrances(setting: Setting, home: Home) -> Sequence[Entrance]:
    """Whatever ways in there are, without the relays that are not wanted."""
    return setting.config.entrances(_listed(setting, home))


def guarded(setting: Setting, home: Home, entrance: Entrance) -> bool:
    """Whether a way in may not lead home: only the plan names it, so it might have volunteers look
    around behind their own routers. What the volunteer typed, or joined by, may lead anywhere."""
    return (
        not _may_stay_home(setting, home)
        and entrance not in setting.config.entrances(())
        and (entrance.host, entrance.port) != split_endpoint(setting.collector.endpoint)
    )


def _listed(setting: Setting, home: Home) -> Sequence[Entrance]:
    """The plan's, without the addresses that no plan may send this machine to."""
    listed = setting.plan.entrances
    if _may_stay_home(setting, home):
        return listed
    return [
        replace(e, addresses=tuple(a for a in e.addresses if not home(a)))
        for e in listed
        if not home(e.host)
    ]


def _may_stay_home(setting: Setting, home: Home) -> bool:
    """Whoever joined a collector in a private network by its address has it there."""
    return setting.config.local_targets or home(split_endpoint(setting.collector.endpoint)[0])


async def lend(setting: Callable[[], Setting], clock: Clock, rng: Random) -> None:
    """Be a relay, if that is configured, until cancelled. What prevents it is said, and the rest
    goes on."""
    now = setting()
    if now.config.relay_listen is None:
        return
    from heliograph_agent.relay.server import Relay  # few lend their line, and the others hold less

    ways = now.config.ways(clock, rng)
    relay = Relay(
        state=now.state,
        collector=lambda: setting().collector,
        ways=ways,
        listen=now.config.relay_listen,
        bytes_per_day=now.config.relay_bytes_per_day,
        entrances=lambda: _listed(setting(), ways.leads_home),
        guarded=lambda entrance: guarded(setting(), ways.leads_home, entrance),
    )
    try:
        await relay.run(lambda: log.info("sealed results of other volunteers are handed on"))
    except* StateError as errors:
        log.warning("%s Nobody's results are handed on.", errors.exceptions[0])
    except* OSError:
        log.warning("relay.listen cannot be listened on: nobody's results are handed on")


def brought(state: State) -> Iterator[plan_pb2.SignedPlan]:
    """A plan that came with receipts by file, once; whoever brought it, it is checked like any."""
    with suppress(StateError, DecodeError):
        raw = state.read(BROUGHT)
        if raw is not None:
            state.remove(BROUGHT)
            yield plan_pb2.SignedPlan.FromString(raw)


def beacon_zone(setting: Setting) -> str:
    """The plan's, if the volunteer allows it too."""
    return setting.plan.beacon_zone if setting.config.beacon else ""


def last_word(setting: Callable[[], Setting], lives: Callable[[], Lives], clock: Clock) -> LastWord:
    """`lives` is as status.json has it."""
    return LastWord(
        state=setting().state,
        zone=lambda: beacon_zone(setting()),
        lives=lambda: fresh(lives(), clock.wall_us()),
    )
