"""Cloudflare Radar: traffic by country or network, anomalies, outage reports.

API v4 with a bearer token: /radar/netflows/timeseries, /radar/traffic_anomalies and
/radar/annotations/outages. The API allows 1200 requests in five minutes. This client sends one in
five seconds, and queries each entity at most twice an hour.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, TypeVar

import msgspec

from heliograph.units import SECOND_US
from heliograph_collector.corroborate.fetch import SourceRequest, decode_json, fetch_body
from heliograph_collector.corroborate.incident import Entity, format_timestamp, parse_timestamp
from heliograph_collector.corroborate.series import (
    Claim,
    ClaimsEvidence,
    Point,
    SeriesEvidence,
    SourceEvidence,
    sort_points,
)
from heliograph_collector.corroborate.source import (
    PolledSource,
    RequestPacer,
    SourceContext,
    SourceError,
)

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


class _FlowsAnswer(msgspec.Struct):
    success: bool
    result: _Flows


class _Outage(msgspec.Struct, rename={"begin": "startDate", "end": "endDate"}):
    begin: str
    end: str | None = None


class _Anomalies(msgspec.Struct, rename={"anomalies": "trafficAnomalies"}):
    anomalies: Annotated[list[_Outage], msgspec.Meta(max_length=_MAX_ITEMS)]


class _AnomaliesAnswer(msgspec.Struct):
    success: bool
    result: _Anomalies


class _Annotations(msgspec.Struct):
    annotations: Annotated[list[_Outage], msgspec.Meta(max_length=_MAX_ITEMS)]


class _AnnotationsAnswer(msgspec.Struct):
    success: bool
    result: _Annotations


def parse_series(body: bytes, entity: Entity, read_us: int) -> SeriesEvidence:
    """Parse an answer of /radar/netflows/timeseries. Raises SourceError.

    Only MIN0_MAX and RAW_VALUES are accepted, because shares need values that start at zero.
    """
    result = _require_success(decode_json("Cloudflare Radar", body, _FlowsAnswer)).result
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
    answer = _require_success(decode_json("Cloudflare Radar", body, _AnomaliesAnswer))
    return _build_claims("traffic_anomalies", answer.result.anomalies, entity, read_us)


def parse_outages(body: bytes, entity: Entity, read_us: int) -> ClaimsEvidence:
    """Parse an answer of /radar/annotations/outages. Raises SourceError."""
    answer = _require_success(decode_json("Cloudflare Radar", body, _AnnotationsAnswer))
    return _build_claims("outages", answer.result.annotations, entity, read_us)


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


def _require_success(answer: _T) -> _T:
    if not getattr(answer, "success", False):
        raise SourceError("Cloudflare Radar answered with an error.")
    return answer


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

    def __init__(self, config: RadarConfig, means: SourceContext) -> None:
        self._config = config
        self._means = means
        self._pacer = RequestPacer(config.gap_s, means)

    async def ask(self, entity: Entity, since_us: int, until_us: int) -> list[SourceEvidence]:
        """Query the traffic, anomalies and outages of an entity. Raises SourceError."""
        entity_params = {"asn": str(entity.asn)} if entity.asn else {"location": entity.country}
        window = {
            "dateStart": _format_seconds(since_us),
            "dateEnd": _format_seconds(until_us),
            "format": "JSON",
        }
        query = entity_params | window
        flows = await self._get("/radar/netflows/timeseries", query | {"aggInterval": "1h"})
        anomalies = await self._get("/radar/traffic_anomalies", query | {"limit": _LIMIT})
        outages = await self._get("/radar/annotations/outages", query | {"limit": _LIMIT})
        read_us = self._means.clock.wall_us()
        return [
            parse_series(flows, entity, read_us),
            parse_anomalies(anomalies, entity, read_us),
            parse_outages(outages, entity, read_us),
        ]

    async def _get(self, path: str, params: dict[str, str]) -> bytes:
        await self._pacer.wait_turn()
        request = SourceRequest(
            name="Cloudflare Radar",
            url=f"{self._config.url}{path}",
            params=params,
            headers={"Authorization": f"Bearer {self._config.token}"},
        )
        return await fetch_body(
            self._means.session,
            request,
            now_us=self._means.clock.wall_us(),
            deadline_s=self._config.deadline_s,
        )


def _format_seconds(at_us: int) -> str:
    """Format a time to the second, as in the examples of the API."""
    return f"{format_timestamp(at_us)[:19]}Z"
