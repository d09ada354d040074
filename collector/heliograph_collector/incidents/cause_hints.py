"""What an incident may have been caused by. Notes beside it: they never trigger and never name one.

From "Destination Unreachable" (SIGCOMM 2023): 85 % of shutdowns and 40 % of other outages begin on
the hour or the half; 68 % of shutdowns come again within four days.
"""

from collections.abc import Iterable, Sequence

from heliograph_collector.incidents.incident import Bracket, Incident, State
from heliograph_collector.model.signals import DAY_US, Replay

_HOUR_US = 3_600_000_000
_AGAIN_US = 4 * DAY_US
_TOLD = 0.6  # of the vantages that came back


def on_the_hour(started: Bracket, slack_us: int = 120_000_000) -> tuple[str, ...]:
    """Whether a full or half hour lies in the bracket, give or take two minutes."""
    low, high = started.earliest_us - slack_us, started.latest_us + slack_us
    if high - low >= _HOUR_US // 4:
        return ()  # so wide a bracket holds one by chance
    if low // _HOUR_US != high // _HOUR_US:
        return ("on_the_hour",)
    half = _HOUR_US // 2
    return ("on_the_half_hour",) if low // half != high // half else ()


def recurring(incident: Incident, earlier: Iterable[Incident]) -> tuple[str, ...]:
    """Whether the same cell was cut in the four days before."""
    start = incident.started.earliest_us
    again = any(
        other.id != incident.id
        and other.kind is incident.kind
        and other.service == incident.service
        and other.scope == incident.scope
        and other.state is not State.WITHDRAWN
        and start - _AGAIN_US <= other.started.earliest_us < start
        for other in earlier
    )
    return ("recurring",) if again else ()


def power_or_network(replays: Sequence[Replay], least: int = 3) -> tuple[str, ...]:
    """What those say who came back: alive in the dark (the network was cut), or rebooted."""
    told = {replay.nym: replay.alive for replay in replays}
    if len(told) < least:
        return ()
    alive = sum(told.values()) / len(told)
    if alive >= _TOLD:
        return ("network_cut",)
    return ("power_cut",) if alive <= 1 - _TOLD else ()
