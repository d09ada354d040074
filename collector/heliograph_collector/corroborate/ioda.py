"""IODA (Georgia Tech): BGP, active probing, telescope, and detected outages.

API v2: /signals/raw/{country|asn}/{code} and /outages/events. IODA documents no limit. This client
sends one query in ten seconds, and queries each entity at most four times an hour.
"""

import math
from dataclasses import dataclass
from typing import Annotated

import msgspec

from heliograph.units import SECOND_US
from heliograph_collector.corroborate.fetch import PolledSource, decode_json
from heliograph_collector.corroborate.incident import Entity
from heliograph_collector.corroborate.series import (
    Claim,
    ClaimsEvidence,
    Point,
    SeriesEvidence,
    SourceEvidence,
    sort_points,
)
from heliograph_collector.corroborate.source import SourceContext, SourceError

NAME = "ioda"
SIGNALS = ("bgp", "ping-slash24", "merit-nt")
ATTRIBUTION = (
    "IODA, Internet Intelligence Lab, Georgia Institute of Technology. "
    "Data copyright (c) Georgia Tech Research Corporation, all rights reserved."
)
_PAGE = "https://ioda.inetintel.cc.gatech.edu"
_LATEST_S = 1 << 33  # past the year 2200: a later time is an error
_MAX_ITEMS = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class IodaConfig:
    url: str = "https://api.ioda.inetintel.cc.gatech.edu/v2"
    gap_s: float = 10.0
    deadline_s: float = 30.0


_Seconds = Annotated[int, msgspec.Meta(ge=0, le=_LATEST_S)]


class _Signal(msgspec.Struct, rename={"code": "entityCode", "begin": "from"}):
    code: str
    datasource: str
    begin: _Seconds
    step: Annotated[int, msgspec.Meta(ge=1, le=86_400)]
    values: Annotated[list[float | None], msgspec.Meta(max_length=_MAX_ITEMS)]


class _Signals(msgspec.Struct):
    data: list[list[_Signal]] | None = None
    error: str | None = None


class _Event(msgspec.Struct):
    location: str  # "country/KZ"
    start: _Seconds
    duration: _Seconds


class _Events(msgspec.Struct):
    data: Annotated[list[_Event], msgspec.Meta(max_length=_MAX_ITEMS)] | None = None
    error: str | None = None


def parse_series(body: bytes, entity: Entity, read_us: int) -> list[SeriesEvidence]:
    """Parse each known signal of an answer of /signals/raw. Raises SourceError."""
    answer = decode_json("IODA", body, _Signals)
    if answer.error is not None or answer.data is None:
        raise SourceError("IODA answered with an error.")
    return [
        _build_series(signal, entity, read_us)
        for group in answer.data
        for signal in group
        if signal.datasource in SIGNALS and signal.code == str(entity.asn or entity.country)
    ]


def _build_series(signal: _Signal, entity: Entity, read_us: int) -> SeriesEvidence:
    points = [
        Point((signal.begin + i * signal.step) * SECOND_US, value)
        for i, value in enumerate(signal.values)
        if value is not None and math.isfinite(value)
    ]
    return SeriesEvidence(
        source=NAME,
        signal=signal.datasource,
        entity=entity,
        read_us=read_us,
        url=f"{_PAGE}/{entity}",
        attribution=ATTRIBUTION,
        step_us=signal.step * SECOND_US,
        points=sort_points(points),
    )


def parse_claims(body: bytes, entity: Entity, read_us: int) -> ClaimsEvidence:
    """Parse an answer of /outages/events. Raises SourceError."""
    answer = decode_json("IODA", body, _Events)
    if answer.error is not None or answer.data is None:
        raise SourceError("IODA answered with an error.")
    return ClaimsEvidence(
        source=NAME,
        signal="events",
        entity=entity,
        read_us=read_us,
        url=f"{_PAGE}/{entity}",
        attribution=ATTRIBUTION,
        claims=tuple(_build_claim(e, read_us) for e in answer.data if e.location == str(entity)),
    )


def _build_claim(event: _Event, read_us: int) -> Claim:
    """Build a claim; an event that reaches into this hour may be ongoing.

    IODA's events end where its data end.
    """
    until_us = (event.start + event.duration) * SECOND_US
    is_ongoing = until_us >= read_us - 3_600 * SECOND_US
    return Claim(event.start * SECOND_US, None if is_ongoing else until_us)


class Ioda(PolledSource):
    name = NAME
    every_s = 900.0
    title = "IODA"

    def __init__(self, config: IodaConfig, context: SourceContext) -> None:
        super().__init__(config.url, config.gap_s, config.deadline_s, context)

    async def ask(self, entity: Entity, since_us: int, until_us: int) -> list[SourceEvidence]:
        """Query the signals and outages of an entity. Raises SourceError."""
        window = {"from": str(since_us // SECOND_US), "until": str(until_us // SECOND_US)}
        evidence: list[SourceEvidence] = []
        for signal in SIGNALS:
            body = await self.fetch(f"/signals/raw/{entity}", window | {"datasource": signal})
            evidence += parse_series(body, entity, self._context.clock.wall_us())
        kind, _, code = str(entity).partition("/")
        events = window | {"entityType": kind, "entityCode": code, "format": "codf"}
        body = await self.fetch("/outages/events", events)
        return [*evidence, parse_claims(body, entity, self._context.clock.wall_us())]
