"""The truth of each place at each second of a script, from its actors alone."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from heliograph_lab.simulate import Actor, Script

MOST = 0.9  # of a place's vantages: "all" of it; its jitter and single lines aside


class Place(NamedTuple):
    """A country, or a part of it; "" and 0 are any."""

    country: str
    region: str = ""
    asn: int = 0
    access: str = ""

    def includes(self, actor: Actor) -> bool:
        return (
            self.country == actor.country
            and self.region in ("", actor.region)
            and self.asn in (0, actor.asn)
            and self.access in ("", actor.access)
        )

    def covers(self, other: "Place") -> bool:
        """Return whether another place lies within this one."""
        pairs = zip(self, other, strict=True)
        return all(not mine or mine == theirs for mine, theirs in pairs)

    def meets(self, other: "Place") -> bool:
        """Return whether two places may share a vantage."""
        pairs = zip(self, other, strict=True)
        return all(mine == theirs or not mine or not theirs for mine, theirs in pairs)


@dataclass(frozen=True, slots=True)
class Doubt:
    """A time in which the script leaves the truth of a place open."""

    place: Place
    since_s: float
    until_s: float


@dataclass(frozen=True, slots=True)
class Truth:
    """The script, asked by place and second; all seconds count from its start."""

    script: Script
    doubts: Sequence[Doubt] = ()
    by_place: dict[Place, list[Actor]] = field(default_factory=dict, compare=False, repr=False)

    def is_in_doubt(self, place: Place, since_s: float, until_s: float) -> bool:
        """Return whether the script leaves the truth of a place or a part of it open."""
        return any(
            place.meets(doubt.place) and doubt.since_s <= until_s and since_s < doubt.until_s
            for doubt in self.doubts
        )

    def actors(self, place: Place) -> list[Actor]:
        if place not in self.by_place:
            inside = [actor for actor in self.script.actors if place.includes(actor)]
            self.by_place[place] = inside
        return self.by_place[place]

    def _list_times(self, place: Place, first: float, last: float) -> Iterator[float]:
        """Yield the times at which the truth of a place may change."""
        actors = self.actors(place)
        silences = [(s.since_s, s.until_s) for actor in actors for s in actor.silences]
        troubles = [(t.since_s, t.until_s) for actor in actors for t in actor.troubles]
        changes = {at for span in silences + troubles for at in span if first < at < last}
        yield first
        yield from sorted(changes)
        yield last

    def dark_share(self, place: Place, second: float) -> float:
        actors = self.actors(place)
        return sum(_is_dark(actor, second) for actor in actors) / len(actors) if actors else 0.0

    def failing_share(self, place: Place, service: str, second: float) -> float:
        actors = self.actors(place)
        failing = sum(_fails(actor, service, second) for actor in actors)
        return failing / len(actors) if actors else 0.0

    def is_dark_since(self, place: Place, second: float, seconds: float) -> bool:
        """Return whether all of a place has been dark for so many seconds until now."""
        times = self._list_times(place, second - seconds, second)
        return all(self.dark_share(place, at) >= MOST for at in times)

    def disturbed_share(self, place: Place, second: float) -> float:
        """Return the share of a place with working lines and our address blocked."""
        actors = self.actors(place)
        return sum(_is_disturbed(a, second) for a in actors) / len(actors) if actors else 0.0

    def is_disturbed_since(self, place: Place, second: float, seconds: float) -> bool:
        """Return whether our address has been blocked from all of a place for so long."""
        times = self._list_times(place, second - seconds, second)
        return all(self.disturbed_share(place, at) >= MOST for at in times)

    def is_disturbed_within(self, place: Place, second: float, seconds: float) -> bool:
        """Return whether our address was blocked from some of a place in this time."""
        spans = (s for actor in self.actors(place) for s in actor.silences if s.how == "blocked")
        return any(s.since_s <= second and second - seconds < s.until_s for s in spans)

    def is_lit_since(self, place: Place, second: float, seconds: float) -> bool:
        """Return whether no part of a place has been dark for so many seconds until now."""
        times = self._list_times(place, second - seconds, second)
        return all(self.dark_share(place, at) == 0 for at in times)

    def is_steady_since(self, place: Place, second: float, seconds: float) -> bool:
        """Return whether the dark share of a place has not changed for so many seconds."""
        times = self._list_times(place, second - seconds, second)
        return len({self.dark_share(place, at) for at in times}) == 1

    def fails_since(self, place: Place, service: str, second: float, seconds: float) -> bool:
        times = self._list_times(place, second - seconds, second)
        return all(self.failing_share(place, service, at) >= MOST for at in times)

    def is_down_since(self, service: str, second: float, seconds: float) -> bool:
        """Return whether a service has failed in every country for so many seconds."""
        countries = {actor.country for actor in self.script.actors}
        return all(self.fails_since(Place(c), service, second, seconds) for c in countries)

    def works_since(self, place: Place, service: str, second: float, seconds: float) -> bool:
        times = self._list_times(place, second - seconds, second)
        return all(self.failing_share(place, service, at) == 0 for at in times)

    def is_calm_until(self, country: str, second: float) -> bool:
        """Return whether a country has had no event so far."""
        actors = self.actors(Place(country))
        starts = [silence.since_s for actor in actors for silence in actor.silences]
        starts += [trouble.since_s for actor in actors for trouble in actor.troubles]
        return all(start > second for start in starts)


def _is_dark(actor: Actor, second: float) -> bool:
    return any(s.since_s <= second < s.until_s for s in actor.silences if s.how != "blocked")


def _is_disturbed(actor: Actor, second: float) -> bool:
    return any(s.since_s <= second < s.until_s for s in actor.silences if s.how == "blocked")


def _fails(actor: Actor, service: str, second: float) -> bool:
    return any(
        trouble.service == service and trouble.since_s <= second < trouble.until_s
        for trouble in actor.troubles
    )


def list_places(script: Script) -> Sequence[Place]:
    """List every country and network of the script, as status and pages name them."""
    countries = {actor.country: None for actor in script.actors if not actor.control}
    networks = {(a.country, a.asn, a.access): None for a in script.actors if not a.control}
    return [
        *(Place(country) for country in countries),
        *(Place(country, asn=asn, access=access) for country, asn, access in networks),
    ]
