"""Cells: a country, and optionally a region, a network and an access type in it."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import lru_cache
from itertools import combinations
from typing import NamedTuple, cast

from heliograph_collector.model.filters import PlaceFilter
from heliograph_collector.model.signals import VantageLocation


class Scope(NamedTuple):
    """A cell; an empty field matches every value."""

    country: str
    region: str = ""
    asn: int = 0
    access: str = ""

    @property
    def named_fields(self) -> int:
        """Count the named dimensions; 0 is the whole country."""
        return bool(self.region) + bool(self.asn) + bool(self.access)

    @property
    def is_national(self) -> bool:
        return self.named_fields == 0

    def includes(self, location: VantageLocation) -> bool:
        return (
            self.country == location.country
            and self.region in ("", location.region)
            and self.asn in (0, location.asn)
            and self.access in ("", location.access)
        )

    def is_within(self, wider: "Scope") -> bool:
        return wider.includes(VantageLocation(*self))

    def intersect(self, other: "Scope") -> "Scope | None":
        """Return the intersection; None if it is empty."""
        pairs = tuple(zip(self, other, strict=True))
        if any(
            own_value and other_value and own_value != other_value
            for own_value, other_value in pairs
        ):
            return None
        return Scope(
            self.country,
            self.region or other.region,
            self.asn or other.asn,
            self.access or other.access,
        )


@lru_cache(maxsize=65_536)
def scopes_of(location: VantageLocation) -> tuple[Scope, ...]:
    """Return every cell that holds a location; an unknown field names no cell."""
    known_fields = [name for name in ("region", "asn", "access") if getattr(location, name)]
    return tuple(
        Scope(location.country, **{name: getattr(location, name) for name in chosen})
        for size in range(len(known_fields) + 1)
        for chosen in combinations(known_fields, size)
    )


def enclosing_scope(scopes: Iterable[Scope]) -> Scope:
    """Return the narrowest cell that holds all cells, which share a country."""
    enclosing, *remaining = scopes
    for scope in remaining:
        enclosing = Scope(
            enclosing.country,
            enclosing.region if enclosing.region == scope.region else "",
            enclosing.asn if enclosing.asn == scope.asn else 0,
            enclosing.access if enclosing.access == scope.access else "",
        )
    return enclosing


def scope_label(scopes: Iterable[Scope]) -> str:
    """Return the label of a cut, such as national, mobile-only or one-operator."""
    all_scopes = list(scopes)
    if len(all_scopes) > 1:
        if all(s.asn for s in all_scopes):
            return "several-operators"
        return "several-cities" if all(s.region for s in all_scopes) else "several-cells"
    only_scope = all_scopes[0]
    if only_scope.is_national:
        return "national"
    label_parts = [
        *(["one-city"] if only_scope.region else []),
        *(["one-operator"] if only_scope.asn else []),
        *([f"{only_scope.access}-only"] if only_scope.access and not only_scope.asn else []),
    ]
    return " ".join(label_parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopeFilter:
    """A filter of cells; a missing field (null) matches every value."""

    country: str | None = None
    region: str | None = None
    asn: int | None = None
    access: str | None = None
    service: str | None = None

    def keywords(self) -> PlaceFilter:
        """Return the fields that are not None, for the queries of the store."""
        names = [field.name for field in fields(self)]
        values = {name: getattr(self, name) for name in names}
        return cast("PlaceFilter", {n: value for n, value in values.items() if value is not None})


class PlaceVotes(NamedTuple):
    """The votes of one place in a cell."""

    place: VantageLocation
    votes: float
    hits: float


class WholeCell(NamedTuple):
    """A cell of which some parts fell whole, and the share of its votes that are hits."""

    scope: Scope
    share: float


@dataclass(frozen=True, slots=True)
class AffectedCell:
    """A cell that is cut (or back), and the unaffected cells in it (`beyond`)."""

    scope: Scope
    votes: float  # one per network; a network that spans places divides its vote
    share: float  # of the votes that are hits
    networks: int  # ASNs with a hit
    beyond: tuple[Scope, ...] = ()
    # Votes of established vantages, which k-anonymity counts. None: not known, as in the log.
    persons: tuple[PlaceVotes, ...] | None = None
    lines: float = 0.0  # networks with a vote, each once
    part_of: WholeCell | None = None  # that it was named instead of, as a part that fell whole


def is_in_cells(location: VantageLocation, cells: Iterable[AffectedCell]) -> bool:
    """Return whether one of these cells holds a location."""
    return any(cell.scope.includes(location) for cell in cells)
