"""A feed that has something for every answer that the API's document describes."""

from pathlib import Path
from typing import Any

from heliograph_collector.http.backend import Feed
from heliograph_collector.model.records import BlindTime
from heliograph_collector.store.aggregation import AggregationQuery, AggregationRow
from support.fake_feed import NOW_US
from support.incident_book import KEY, evening_book
from support.kazakhstan_votes import evening

VALUES: dict[str, str | int] = {  # what an axis may show
    "measurement_start_day": "2022-01-05", "probe_cc": "KZ", "probe_asn": 9198,
    "test_name": "web_connectivity", "domain": "www.news.example",
    "input": "https://www.news.example/",
}  # fmt: skip


async def totals(wanted: AggregationQuery) -> list[AggregationRow]:
    at = tuple(VALUES[axis] for axis in wanted.axes)
    return [AggregationRow(axis_values=at, anomaly=5, confirmed=0, failure=5, ok=10)]


def everything(folder: Path, **changes: Any) -> Feed:
    blind = [BlindTime(since_us=NOW_US - 1, until_us=None, reason="probe")]
    return evening().feed(
        totals=totals,
        dumps=folder,
        book=evening_book(),
        public_key=KEY.public,
        list_gaps=lambda since_us, until_us: blind,
        **changes,
    )
