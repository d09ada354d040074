"""Small worlds of volunteers for adversaries of the feed, with real detectors."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from msgspec import structs

from heliograph.observation import Link
from heliograph.units import DAY_US
from heliograph_collector.detect.blocking.detector import detect_blocking
from heliograph_collector.detect.silence.detector import detect_silence
from heliograph_collector.http.backend import LinkCount
from heliograph_collector.incidents.diff import Revision, diff_incidents
from heliograph_collector.incidents.incident import Incident
from heliograph_collector.incidents.state import IncidentBook
from heliograph_collector.model.records import SilenceCount, VerdictState
from heliograph_collector.model.signals import (
    ServiceVote,
    VantageArrival,
    VantageLocation,
    VantageLoss,
    VantageRef,
    VantageSignal,
    VoteValue,
)
from support.fake_feed import BIN_US, NOW_US, World, vote
from support.incident_book import signed

K = 5
SECOND = 1_000_000
NOON_US = NOW_US // BIN_US * BIN_US  # a whole step of five minutes
JOINED_US = NOON_US + 50 * SECOND  # when others come
BEGIN_US = NOON_US - 14 * BIN_US
ONSET_US = NOON_US - 4 * BIN_US  # when the silent go
Place = tuple[int, str, str]  # ASN, access, region


@dataclass(frozen=True)
class Crowd:
    """The people of one place: the adversary's own and others, some blocked or silent."""

    own: int = 0
    others: int = 0
    blocked: int = 0
    silent: int = 0
    keys: int = 1  # that the adversary's one line has, beside its persons
    young: int = 0  # the adversary's vantages of two days, which say what they like
    joining: int = 0  # others who come between two moments

    @property
    def persons(self) -> int:
        return self.own + self.others + self.joining


@dataclass(frozen=True)
class Cast:
    """A small world: the crowd of each place."""

    crowds: Mapping[Place, Crowd] = field(default_factory=dict)

    def votes(self, joined_us: int) -> World:
        world = World()
        for place, crowd in self.crowds.items():
            for name, blocked, first_us, prefix in _list_people(place, crowd, joined_us):
                state = VerdictState.BLOCKED if blocked else VerdictState.REACHABLE
                world.votes += [
                    structs.replace(
                        vote(name, state, at_us, asn=place[0], access=place[1]),
                        region=place[2], prefix=prefix, start_us=at_us,
                    )
                    for at_us in range(first_us, NOON_US + 2 * BIN_US, 60 * SECOND)
                ]  # fmt: skip
            world.silences += _list_silences(place, crowd)
            world.links.append(
                LinkCount(
                    country="KZ", asn=place[0], access=place[1], link=Link.ONLINE,
                    vantages=crowd.persons,
                )
            )  # fmt: skip
        return world

    def without(self, place: Place, move_to: Place | None) -> "Cast":
        """Return the world in which a place's other people are gone, or moved."""
        gone = self.crowds[place]
        crowds = {p: c for p, c in self.crowds.items() if p != place}
        many = gone.silent if gone.silent >= K else 0  # k and more who fell silent are no few
        if gone.own or gone.young or many:
            crowds[place] = Crowd(gone.own, keys=gone.keys, silent=many, young=gone.young)
        if move_to:
            crowds[move_to] = replace(gone, own=0, keys=1, young=0, silent=gone.silent - many)
        return Cast(crowds)


def _list_people(
    place: Place, crowd: Crowd, joined_us: int
) -> Iterator[tuple[str, bool, int, str]]:
    """Yield (name, blocked, first measurement, prefix) of each key."""
    for number in range(crowd.own):
        yield f"own{place}{number}", number % 2 == 0, BEGIN_US, f"own{place}{number}"
    for number in range(crowd.keys - 1 if crowd.own else 0):
        yield f"key{place}{number}", False, BEGIN_US, f"own{place}0"
    for number in range(crowd.others):
        yield f"{place}{number}", number < crowd.blocked, BEGIN_US, f"{place}{number}"
    for number in range(crowd.joining):
        yield f"new{place}{number}", True, joined_us, f"new{place}{number}"


def _list_silences(place: Place, crowd: Crowd) -> list[SilenceCount]:
    asn, access, region = place
    return [
        SilenceCount(
            country="KZ", region=region, asn=asn, access=access, start_us=at_us,
            vantages=crowd.silent, established=crowd.silent,
        )
        for at_us in range(NOON_US - 4 * BIN_US, NOON_US + 2 * BIN_US, BIN_US)
        if crowd.silent
    ]  # fmt: skip


def write_log(cast: Cast) -> IncidentBook:
    """Return the log of the real detectors about this world.

    The silent fell silent at one time; the blocked were blocked from the start.
    """
    signals: list[VantageSignal] = []
    votes: list[ServiceVote] = []
    for place, crowd in cast.crowds.items():
        for name, blocked, first_us, prefix in _list_people(place, crowd, JOINED_US):
            person = _make_ref(place, name, prefix)
            signals.append(VantageArrival(BEGIN_US, person))
            votes += _list_service_votes(person, blocked, first_us)
        for number in range(crowd.silent):
            signals += _fall_silent(_make_ref(place, f"silent{place}{number}"))
        for number in range(crowd.young):
            young = _make_ref(place, f"young{place}{number}", first_us=NOON_US - 2 * DAY_US)
            signals += _fall_silent(young)
            votes += _list_service_votes(young, True, BEGIN_US)
    moments_us = [ONSET_US + seconds * SECOND for seconds in (35, 100, 200, 600)]
    return _detect_log(signals, votes, BEGIN_US, [*moments_us, NOON_US], K)


def _make_ref(place: Place, name: str, prefix: str = "", first_us: int = 0) -> VantageRef:
    asn, access, region = place
    location = VantageLocation("KZ", region, asn, access)
    return VantageRef(name, prefix or name, location, first_us)


def _fall_silent(person: VantageRef) -> list[VantageSignal]:
    loss = VantageLoss(ONSET_US + 37 * SECOND, person.nym, ONSET_US)
    return [VantageArrival(BEGIN_US, person), loss]


def _list_service_votes(person: VantageRef, blocked: bool, first_us: int) -> list[ServiceVote]:
    value = VoteValue.BLOCKED if blocked else VoteValue.GOOD
    times_us = range(first_us, NOON_US, 60 * SECOND)
    return [ServiceVote(at_us, person, "telegram", value, "tls", "reset") for at_us in times_us]


def _detect_log(
    signals: Sequence[VantageSignal],
    votes: Sequence[ServiceVote],
    since_us: int,
    moments_us: Sequence[int],
    k: int,
) -> IncidentBook:
    """Detect at each moment and sign what is public then; ids are plain numbers."""
    logged: dict[str, Incident] = {}
    sayings: list[tuple[int, Revision]] = []
    for at_us in moments_us:
        known = [vote for vote in votes if vote.at_us < at_us]
        incidents = detect_silence(signals, at_us).incidents
        incidents += detect_blocking(known, since_us, at_us)
        _, revisions = diff_incidents([*logged.values()], incidents, (), k)
        for revision in sorted(revisions, key=lambda r: (r.incident.service, r.incident.scope)):
            logged[revision.incident.id] = revision.incident
            number = list(logged).index(revision.incident.id) + 1
            named = replace(revision.incident, id=f"{number:016x}")
            sayings.append((at_us, replace(revision, incident=named)))
    return signed(sayings)
