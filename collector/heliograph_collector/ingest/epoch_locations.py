"""Remember where an agent was in each epoch, for results that arrive later.

An epoch is an agent's time on one network. Results that were stored on one network may come over
another: a volunteer who finds a messenger blocked turns on a VPN, and the stored results come from
the VPN's country. Placed by that address, they would show a block there, and none in the country of
the volunteer.

Each session names its present epoch, and its address gives the location. So does a lone envelope
that was sealed a moment ago, if its agent proved by the request that it sends it itself: an
envelope from a relay, or one that is sent again, does not show where the agent is. A batch is
placed where its epochs were when it was measured, which is before it was sealed: an agent notices a
new network after some seconds, and may be back by then, so that the old epoch is seen at the new
address. A batch that was measured on both is placed nowhere. An epoch that was never noted lies
before the session's: if its volunteer declared another country than the address has, the
declaration counts, and no network; if none was declared, its location is unknown. Placed by the
address, a block of the earlier network would be reported of the present one, or of a VPN's country.

The memory holds country, AS and the names of the line for some days, which the journal has too; the
line itself is forgotten with its connection. Each ingest process remembers the agents that came to
it, until it ends.
"""

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter

from heliograph.units import SECOND_US
from heliograph.v1 import envelope_pb2 as pb
from heliograph.v1.observation_pb2 import Epoch
from heliograph_collector.ingest.geo.lookup import UNKNOWN_LOCATION, PeerLocation
from heliograph_collector.model.line_names import read_day

MAX_AGENTS = 20_000  # assumed; ten times the sessions of a process
MAX_EPOCHS = 16  # of one agent; assumed
MAX_STAYS = 8  # of one epoch, whose line may have several addresses; assumed
# Of all agents, who have some five each; assumed. They take 95 MB (measured; without this limit
# agents that change all the time could fill 750).
MAX_TOTAL_STAYS = 320_000
MAX_ID = 64  # characters of an epoch's id; agents have 16
MAX_DAYS = 4  # names of one line, for results that wait over midnight; assumed
FRESH_US = 120 * SECOND_US  # a batch that is not older came by the network it was made on; assumed


@dataclass(frozen=True, slots=True)
class _Stay:
    """A location of an agent in an epoch, until its next one there."""

    since_us: int  # wall clock
    location: PeerLocation


class EpochLocations:
    """The locations of agents by epoch, of the agents that came last."""

    def __init__(self) -> None:
        self._agents: OrderedDict[bytes, OrderedDict[str, list[_Stay]]] = OrderedDict()
        self._stay_count = 0

    def note(self, agent: bytes, epoch: str, origin: PeerLocation, now_us: int) -> None:
        """Note that an agent, which proved itself, is in this epoch and at this address."""
        if not 0 < len(epoch) <= MAX_ID or _is_unknown(origin):
            return
        epochs = self._agents.setdefault(agent, OrderedDict())
        self._agents.move_to_end(agent)
        stays = epochs.setdefault(epoch, [])
        epochs.move_to_end(epoch)
        if stays and _is_alike(stays[-1].location, origin):
            stays[-1] = _Stay(stays[-1].since_us, _join_names(stays[-1].location, origin))
        else:
            stays.append(_Stay(now_us, _without_line(origin, origin.prefix)))
            self._stay_count += 1
            if len(stays) > MAX_STAYS:
                del stays[0]
                self._stay_count -= 1
        if len(epochs) > MAX_EPOCHS:
            self._stay_count -= len(epochs.popitem(last=False)[1])
        while len(self._agents) > MAX_AGENTS or self._stay_count > MAX_TOTAL_STAYS:
            self.forget(next(iter(self._agents)))  # the one that was noted longest ago

    def note_batch(self, agent: bytes, batch: pb.Batch, origin: PeerLocation, now_us: int) -> None:
        """Note the location of an agent that sent this lone batch itself, just sealed.

        `origin` is the location of the request's address.
        """
        if batch.epochs and abs(now_us - _correct_sealed(batch)) <= FRESH_US:
            newest = max(batch.epochs, key=attrgetter("started_us"))
            self.note(agent, newest.id, origin, now_us)

    def forget(self, agent: bytes) -> None:
        epochs = self._agents.pop(agent, OrderedDict())
        self._stay_count -= sum(map(len, epochs.values()))

    def locate(
        self, agent: bytes, batch: pb.Batch, origin: PeerLocation, current: str
    ) -> PeerLocation:
        """Return where a batch was measured.

        Args:
            origin: The location of the address that it came from.
            current: The epoch of the session that brought it; "" for a lone envelope.
        """
        if _is_unknown(origin) or not batch.epochs:
            return origin
        epochs = self._agents.get(agent, OrderedDict())
        locations = [
            location
            for epoch in batch.epochs
            for location in _find_locations(epochs.get(epoch.id, ()), epoch.id, batch)
            or (_guess(epoch, origin, current),)
        ]
        if not all(_is_alike(location, locations[0]) for location in locations):
            return UNKNOWN_LOCATION
        return origin if _is_alike(locations[0], origin) else locations[0]


def _join_names(before: PeerLocation, origin: PeerLocation) -> PeerLocation:
    """Return the location with the line's names of both days; of one day the newer."""
    names = {read_day(name): name for name in (*before.prefix.split(), *origin.prefix.split())}
    return _without_line(origin, " ".join(names[day] for day in sorted(names)[-MAX_DAYS:]))


def _without_line(origin: PeerLocation, names: str) -> PeerLocation:
    return PeerLocation(origin.country, origin.asn, names)


def _find_locations(
    stays: Sequence[_Stay], epoch_id: str, batch: pb.Batch
) -> Sequence[PeerLocation]:
    """List the epoch's locations from its first to its last measurement.

    The list is empty if they are not known.
    """
    if len(stays) <= 1:
        return [stay.location for stay in stays]
    offset_us = _find_offset(batch)
    own = [m for m in batch.measurements if m.epoch == epoch_id]
    first_us = min((m.started_us for m in own), default=batch.sealed_us) + offset_us
    last_us = max((m.started_us + m.summary.span_us for m in own), default=batch.sealed_us)
    began = max(bisect_right(stays, first_us, key=attrgetter("since_us")) - 1, 0)
    ended = bisect_right(stays, last_us + offset_us, key=attrgetter("since_us"))
    return [stay.location for stay in stays[began : max(ended, began + 1)]]


def _guess(epoch: Epoch, origin: PeerLocation, current: str) -> PeerLocation:
    """Return where an epoch was that never reached us while it lasted."""
    is_earlier = bool(current) and epoch.id != current
    return UNKNOWN_LOCATION if is_earlier and epoch.country != origin.country else origin


def _correct_sealed(batch: pb.Batch) -> int:
    """Return when a batch was sealed, by our clock where the agent knows it."""
    return batch.sealed_us + _find_offset(batch)


def _find_offset(batch: pb.Batch) -> int:
    """Return our clock minus the agent's; 0 where the agent does not know it."""
    offsets = (m.clock_offset_us for m in batch.measurements if m.HasField("clock_offset_us"))
    return next(offsets, 0)


def _is_unknown(location: PeerLocation) -> bool:
    return _is_alike(location, UNKNOWN_LOCATION)


def _is_alike(location: PeerLocation, other: PeerLocation) -> bool:
    return (location.country, location.asn) == (other.country, other.asn)
