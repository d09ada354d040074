"""Cells by name: a country, and in it a region, a network, an access type, or several at once."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import NamedTuple

from heliograph_collector.model.signals import Place


class Scope(NamedTuple):
    """Empty fields stand for all."""

    country: str
    region: str = ""
    asn: int = 0
    access: str = ""

    @property
    def fields(self) -> int:
        """How many dimensions are named; 0 is the whole country."""
        return bool(self.region) + bool(self.asn) + bool(self.access)

    @property
    def national(self) -> bool:
        return self.fields == 0

    def holds(self, place: Place) -> bool:
        return (
            self.country == place.country
            and self.region in ("", place.region)
            and self.asn in (0, place.asn)
            and self.access in ("", place.access)
        )

    def within(self, wider: "Scope") -> bool:
        return wider.holds(Place(*self))

    def both(self, other: "Scope") -> "Scope | None":
        """The cell of those who are in both; None where nobody can be."""
        pairs = tuple(zip(self, other, strict=True))
        if any(mine and theirs and mine != theirs for mine, theirs in pairs):
            return None
        return Scope(
            self.country,
            self.region or other.region,
            self.asn or other.asn,
            self.access or other.access,
        )


@lru_cache(maxsize=65_536)
def scopes_of(place: Place) -> tuple[Scope, ...]:
    """Every cell that a vantage at this place is in; what is not known of it names none."""
    known = [name for name in ("region", "asn", "access") if getattr(place, name)]
    return tuple(
        Scope(place.country, **{name: getattr(place, name) for name in chosen})
        for size in range(len(known) + 1)
        for chosen in combinations(known, size)
    )


def join(scopes: Iterable[Scope]) -> Scope:
    """The narrowest cell that holds them all; they must be of one country."""
    first, *rest = scopes
    for scope in rest:
        first = Scope(
            first.country,
            first.region if first.region == scope.region else "",
            first.asn if first.asn == scope.asn else 0,
            first.access if first.access == scope.access else "",
        )
    return first


def label(scopes: Iterable[Scope]) -> str:
    """What kind of cut it is: national, mobile-only, one-operator, one-city …"""
    every = list(scopes)
    if len(every) > 1:
        if all(s.asn for s in every):
            return "several-operators"
        return "several-cities" if all(s.region for s in every) else "several-cells"
    only = every[0]
    if only.national:
        return "national"
    words = [
        *(["one-city"] if only.region else []),
        *(["one-operator"] if only.asn else []),
        *([f"{only.access}-only"] if only.access and not only.asn else []),
    ]
    return " ".join(words)


@dataclass(frozen=True, slots=True)
class Part:
    """A cell that is cut (or back), and cells in it that are not."""

    scope: Scope
    votes: float
    share: float
    networks: int  # ASNs with a hit
    beyond: tuple[Scope, ...] = ()
