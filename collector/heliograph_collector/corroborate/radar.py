"""Cloudflare Radar: traffic of a country or network, its anomalies, and outages told by people.

API v4 with a bearer token: /radar/netflows/timeseries, /radar/traffic_anomalies and
/radar/annotations/outages. 1200 requests in five minutes are allowed; ours is one in five
seconds, and each entity twice an hour at most.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, TypeVar

import msgspec

from heliograph_collector.corroborate.fetch import Request, decode, get
from heliograph_collector.corroborate.incident import SECOND_US, Entity, micros, moment
from heliograph_collector.corroborate.polling import Pace
from heliograph_collector.corroborate.series import (
    Claim,
    Claims,
    Evidence,
    Point,
    Series,
    in_order,
)
from heliograph_collector.corroborate.source import Asked, Means, SourceError

NAME = "radar"
ATTRIBUTION = "Cloudflare Radar, CC BY-NC 4.0."
_PAGE = "https://radar.cloudflare.com"
_STEP_S = 3_600
_MOST = 20_000
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
    timestamps: Annotated[list[str], msgspec.Meta(max_length=_MOST)]
    values: Annotated[list[str], msgspec.Meta(max_length=_MOST)]


class _Flows(msgspec.Struct):
    serie_0: _Serie
    meta: _Meta


class _FlowsAnswer(msgspec.Struct):
    success: bool
    result: _Flows


class _Outage(msgspec.Struct, rename={"begin": "startDate", "end": "endDate"}):
    begin: str
    end: str | None = None


class _Anomalies(msgspec.Struct, rename={"found": "trafficAnomalies"}):
    found: Annotated[list[_Outage], msgspec.Meta(max_length=_MOST)]


class _AnomaliesAnswer(msgspec.Struct):
    success: bool
    result: _Anomalies


class _Told(msgspec.Struct):
    annotations: Annotated[list[_Outage], msgspec.Meta(max_length=_MOST)]


class _ToldAnswer(msgspec.Struct):
    success: bool
    result: _Told


def series_of(body: bytes, entity: Entity, read_us: int) -> Series:
    """An answer to /radar/netflows/timeseries. Raises SourceError.

    Shares can be taken of values that begin at nought alone, so no other normalisation will do.
    """
    result = _succeeded(decode("Cloudflare Radar", body, _FlowsAnswer)).result
    if result.meta.normalization not in ("MIN0_MAX", "RAW_VALUES"):
        raise SourceError("Cloudflare Radar sent a series that does not begin at nought.")
    pairs = zip(result.serie_0.timestamps, result.serie_0.values, strict=False)
    points = [Point(_micros(at), _number(value)) for at, value in pairs]
    return Series(
        source=NAME,
        signal="netflows",
        entity=entity,
        read_us=read_us,
        url=f"{_PAGE}/traffic/{_page(entity)}",
        attribution=ATTRIBUTION,
        step_us=_STEP_S * SECOND_US,
        points=in_order(points),
    )


def anomalies_of(body: bytes, entity: Entity, read_us: int) -> Claims:
    """An answer to /radar/traffic_anomalies. Raises SourceError."""
    answer = _succeeded(decode("Cloudflare Radar", body, _AnomaliesAnswer))
    return _claims("traffic_anomalies", answer.result.found, entity, read_us)


def outages_of(body: bytes, entity: Entity, read_us: int) -> Claims:
    """An answer to /radar/annotations/outages. Raises SourceError."""
    answer = _succeeded(decode("Cloudflare Radar", body, _ToldAnswer))
    return _claims("outages", answer.result.annotations, entity, read_us)


def _claims(signal: str, found: Sequence[_Outage], entity: Entity, read_us: int) -> Claims:
    return Claims(
        source=NAME,
        signal=signal,
        entity=entity,
        read_us=read_us,
        url=f"{_PAGE}/outage-center",
        attribution=ATTRIBUTION,
        claims=tuple(Claim(_micros(o.begin), _micros(o.end) if o.end else None) for o in found),
    )


def _succeeded(answer: _T) -> _T:
    if not getattr(answer, "success", False):
        raise SourceError("Cloudflare Radar answered with an error of its own.")
    return answer


def _micros(text: str) -> int:
    try:
        return micros(text)
    except (ValueError, OverflowError):
        raise SourceError("Cloudflare Radar sent a time that is none.") from None


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise SourceError("Cloudflare Radar sent a figure that is none.")
    return value


def _page(entity: Entity) -> str:
    return f"as{entity.asn}" if entity.asn else entity.country.lower()


class Radar(Asked):
    name = NAME
    every_s = 1_800.0

    def __init__(self, config: RadarConfig, means: Means) -> None:
        self._config, self._means = config, means
        self._pace = Pace(config.gap_s, means)

    async def ask(self, entity: Entity, since_us: int, until_us: int) -> list[Evidence]:
        """Raises SourceError."""
        place = {"asn": str(entity.asn)} if entity.asn else {"location": entity.country}
        window = {"dateStart": _whole(since_us), "dateEnd": _whole(until_us), "format": "JSON"}
        asked = place | window
        flows = await self._get("/radar/netflows/timeseries", asked | {"aggInterval": "1h"})
        anomalies = await self._get("/radar/traffic_anomalies", asked | {"limit": _LIMIT})
        outages = await self._get("/radar/annotations/outages", asked | {"limit": _LIMIT})
        read_us = self._means.clock.wall_us()
        return [
            series_of(flows, entity, read_us),
            anomalies_of(anomalies, entity, read_us),
            outages_of(outages, entity, read_us),
        ]

    async def _get(self, path: str, params: dict[str, str]) -> bytes:
        await self._pace.turn()
        request = Request(
            name="Cloudflare Radar",
            url=f"{self._config.url}{path}",
            params=params,
            headers={"Authorization": f"Bearer {self._config.token}"},
        )
        return await get(
            self._means.session,
            request,
            now_us=self._means.clock.wall_us(),
            deadline_s=self._config.deadline_s,
        )


def _whole(at_us: int) -> str:
    """To the second, as its examples are."""
    return f"{moment(at_us)[:19]}Z"
