"""What an agent and other volunteers' agents have to do with each other, and its last word by DNS:
each only as far as the owner's configuration has it."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from random import Random

from google.protobuf.message import DecodeError

from heliograph.clock import Clock
from heliograph.plan import Entrance
from heliograph.v1 import plan_pb2
from heliograph_agent.agent.lives import Lives, fresh
from heliograph_agent.agent.setting import Setting
from heliograph_agent.state import BROUGHT, State, StateError
from heliograph_agent.uplink.last_word import LastWord

log = logging.getLogger("heliograph.agent")


def entrances(setting: Setting) -> Sequence[Entrance]:
    """Whatever ways in there are, without the relays that are not wanted."""
    return setting.config.entrances(setting.plan.entrances)


async def lend(setting: Callable[[], Setting], clock: Clock, rng: Random) -> None:
    """Be a relay, if that is configured, until cancelled. What prevents it is said, and the rest
    goes on."""
    from heliograph_agent.uplink.relay import Relay

    now = setting()
    if now.config.relay_listen is None:
        return
    relay = Relay(
        state=now.state,
        collector=now.collector,
        ways=now.config.ways(clock, rng),
        listen=now.config.relay_listen,
        bytes_per_day=now.config.relay_bytes_per_day,
        entrances=lambda: setting().plan.entrances,
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
