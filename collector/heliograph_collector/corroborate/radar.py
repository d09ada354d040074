"""Cloudflare Radar: traffic by country or network, anomalies, outage reports.

API v4 with a bearer token: /radar/netflows/timeseries, /radar/traffic_anomalies and
/radar/annotations/outages. The API allows 1200 requests in five minutes. This client sends one in
five seconds, and queries each entity at most twice an hour.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Generic, TypeVar

import msgspec

from heliograph.timestamps import format_timestamp, parse_timestamp
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

NAME = "radar"
ATTRIBUTION = "Cloudflare Radar, CC BY-NC 4.0."
_PAGE = "https://radar.cloudflare.com"
_STEP_S = 3_600
_MAX_ITEMS = 20_000
_LIMIT = "100"
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class RadarConfig:
    url: str = "https://api.cloudflare.com/client/v4"
    token: str = field(default="", repr=False)
    gap_s: float = 5.0
    deadline_s: float = 30.0


class _Meta(msgspec.Struct):
    normalization: str = ""


class _Serie(msgspec.Struct):
    timestamps: Annotated[list[str], msgspec.Meta(max_length=_MAX_ITEMS)]
    values: Annotated[list[str], msgspec.Meta(max_length=_MAX_ITEMS)]


class _Flows(msgspec.Struct):
    serie_0: _Serie
    meta: _Meta


class _Outage(msgspec.Struct, rename={"begin": "startDate", "end": "endDate"}):
    begin: str
    end: str | None = None


class _Anomalies(msgspec.Struct, rename={"anomalies": "trafficAnomalies"}):
    anomalies: Annotated[list[_Outage], msgspec.Meta(max_length=_MAX_ITEMS)]


class _Annotations(msgspec.Struct):
    annotations: Annotated[list[_Outage], msgspec.Meta(max_length=_MAX_ITEMS)]


class _Answer(msgspec.Struct, Generic[_T]):
    success: bool
    result: _T


def parse_series(body: bytes, entity: Entity, read_us: int) -> SeriesEvidence:
    """Parse an answer of /radar/netflows/timeseries. Raises SourceError.

    Only MIN0_MAX and RAW_VALUES are accepted, because shares need values that start at zero.
    """
    result = _decode_result(body, _Answer[_Flows])
    if result.meta.normalization not in ("MIN0_MAX", "RAW_VALUES"):
        raise SourceError("Cloudflare Radar sent a series that does not begin at nought.")
    pairs = zip(result.serie_0.timestamps, result.serie_0.values, strict=False)
    points = [Point(_parse_time(at), _parse_figure(value)) for at, value in pairs]
    return SeriesEvidence(
        source=NAME,
        signal="netflows",
        entity=entity,
        read_us=read_us,
        url=f"{_PAGE}/traffic/{_get_page_name(entity)}",
        attribution=ATTRIBUTION,
        step_us=_STEP_S * SECOND_US,
        points=sort_points(points),
    )


def parse_anomalies(body: bytes, entity: Entity, read_us: int) -> ClaimsEvidence:
    """Parse an answer of /radar/traffic_anomalies. Raises SourceError."""
    outages = _decode_result(body, _Answer[_Anomalies]).anomalies
    return _build_claims("traffic_anomalies", outages, entity, read_us)


def parse_outages(body: bytes, entity: Entity, read_us: int) -> ClaimsEvidence:
    """Parse an answer of /radar/annotations/outages. Raises SourceError."""
    outages = _decode_result(body, _Answer[_Annotations]).annotations
    return _build_claims("outages", outages, entity, read_us)


def _build_claims(
    signal: str, outages: Sequence[_Outage], entity: Entity, read_us: int
) -> ClaimsEvidence:
    return ClaimsEvidence(
        source=NAME,
        signal=signal,
        entity=entity,
        read_us=read_us,
        url=f"{_PAGE}/outage-center",
        attribution=ATTRIBUTION,
        claims=tuple(
            Claim(_parse_time(o.begin), _parse_time(o.end) if o.end else None) for o in outages
        ),
    )


def _decode_result(body: bytes, shape: type[_Answer[_T]]) -> _T:
    answer = decode_json("Cloudflare Radar", body, shape)
    if not answer.success:
        raise SourceError("Cloudflare Radar answered with an error.")
    return answer.result


def _parse_time(timestamp: str) -> int:
    try:
        return parse_timestamp(timestamp)
    except (ValueError, OverflowError):
        raise SourceError("Cloudflare Radar sent a time that is none.") from None


def _parse_figure(figure: str) -> float:
    try:
        value = float(figure)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise SourceError("Cloudflare Radar sent a figure that is none.")
    return value


def _get_page_name(entity: Entity) -> str:
    return f"as{entity.asn}" if entity.asn else entity.country.lower()


class Radar(PolledSource):
    name = NAME
    every_s = 1_800.0
    title = "Cloudflare Radar"

    def __init__(self, config: RadarConfig, context: SourceContext) -> None:
        super().__init__(config.url, config.gap_s, config.deadline_s, context)
        self._headers = {"Authorization": f"Bearer {config.token}"}

    async def ask(self, entity: Entity, since_us: int, until_us: int) -> list[SourceEvidence]:
        """Query the traffic, anomalies and outages of an entity. Raises SourceError."""
        entity_params = {"asn": str(entity.asn)} if entity.asn else {"location": entity.country}
        window = {
            "dateStart": _format_seconds(since_us),
            "dateEnd": _format_seconds(until_us),
            "format": "JSON",
        }
        query = entity_params | window
        hourly = query | {"aggInterval": "1h"}
        limited = query | {"limit": _LIMIT}
        flows = await self.fetch("/radar/netflows/timeseries", hourly, self._headers)
        anomalies = await self.fetch("/radar/traffic_anomalies", limited, self._headers)
        outages = await self.fetch("/radar/annotations/outages", limited, self._headers)
        read_us = self._context.clock.wall_us()
        return [
            parse_series(flows, entity, read_us),
            parse_anomalies(anomalies, entity, read_us),
            parse_outages(outages, entity, read_us),
        ]


def _format_seconds(at_us: int) -> str:
    """Format a time to the second, as in the examples of the API."""
    return f"{format_timestamp(at_us)[:19]}Z"
