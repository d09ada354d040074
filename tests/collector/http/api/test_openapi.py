"""`/openapi.json` is true: the routes that exist, and answers of the shape it says."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from heliograph_collector.http.api import (
    aggregation,
    coverage,
    incidents,
    log,
    measurements,
    timeline,
)
from heliograph_collector.http.api.openapi import build_document
from heliograph_collector.http.api.schemas import SCHEMAS
from heliograph_collector.http.app import build_app
from heliograph_collector.store.aggregation import AggregationQuery, AggregationRow
from support.casebook import ALMATY, KEY, evening_book
from support.evening import evening
from support.fake_feed import NOW_US, World
from support.site import Serve

JSON_TYPES = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer",
              float: "number", type(None): "null"}  # fmt: skip


def check(value: Any, schema: dict[str, Any], place: str) -> None:
    """As much of JSON Schema as our document uses."""
    if "$ref" in schema:
        check(value, SCHEMAS[schema["$ref"].rpartition("/")[2]], place)
        return
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    found = JSON_TYPES[type(value)]
    assert found in kinds or (found == "integer" and "number" in kinds), f"{place}: {value!r}"
    if "enum" in schema:
        assert value in schema["enum"], place
    if found == "array":
        for index, item in enumerate(value):
            check(item, schema["items"], f"{place}[{index}]")
    if found == "object" and "properties" in schema:
        assert set(schema.get("required", [])) <= value.keys() <= schema["properties"].keys(), place
        for name, item in value.items():
            check(item, schema["properties"][name], f"{place}.{name}")


def test_it_names_each_route_and_no_other() -> None:
    app = build_app(World().feed())
    routes = {
        (route.resource.canonical, route.method.lower())
        for route in app.router.routes()
        if route.resource is not None and route.method not in ("HEAD", "OPTIONS")
    }
    told = {(path, method) for path, item in build_document()["paths"].items() for method in item}
    assert told == {route for route in routes if not route[0].startswith("/static/")}


@pytest.mark.parametrize(
    "path",
    [
        *("/api/v1/status", "/api/v1/timeline", "/api/v1/timeline?asn=1", "/api/v1/aggregation"),
        *("/api/v1/aggregation?axis_x=domain&axis_y=probe_cc", "/api/v1/incidents"),
        *(f"/api/v1/incidents/{ALMATY}", "/api/v1/log", "/api/v1/coverage"),
        *("/feeds/incidents.json", "/dumps/index.json", "/dumps/README.json"),
        *("/healthz", "/readyz"),
    ],
)
async def test_answers_have_the_shape_it_says(serve: Serve, path: str, tmp_path: Path) -> None:
    blind = [{"from": NOW_US - 1, "until": None, "because": "probe", "country": ""}]

    async def totals(wanted: AggregationQuery) -> list[AggregationRow]:
        at = ("www.news.example", "KZ")[: len(wanted.axes)]
        return [AggregationRow(axis_values=at, anomaly=5, confirmed=0, failure=5, ok=10)]

    feed = evening().feed(
        totals=totals,
        dumps=tmp_path,
        book=evening_book(),
        public_key=KEY.public,
        list_gaps=lambda since_us, until_us: blind,
    )
    day = {"name": "cells-2022-01-05.parquet", "day": "2022-01-05", "revision": 1, "rows": 1}
    file = {**day, "bytes": 1, "sha256": "0" * 64, "written": "2022-01-06T00:30:00Z"}
    (tmp_path / "index.json").write_text(json.dumps({"files": [file], "seen": {}}))
    client = await serve(feed)
    told = await client.json("/openapi.json")
    where = path.partition("?")[0].replace(ALMATY, "{id}")
    answer = await client.get(path)
    schema = told["paths"][where]["get"]["responses"]["200"]["content"][answer.content_type]
    check(await answer.json(content_type=None), schema["schema"], path)


async def test_the_document_is_there_for_people_too(serve: Serve) -> None:
    answer = await (await serve(World().feed())).get("/docs")
    text = await answer.text()
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    for path, item in build_document()["paths"].items():
        assert f"GET {path}" in text or f"POST {path}" in text
        for parameter in item.get("get", {}).get("parameters", []):
            assert f"<code>{parameter['name']}</code>" in text
    assert "//" not in re.sub(r"https?://www\.(bbc|w3)\.[a-z0-9./]+", "", text), "nothing foreign"
    assert 'href="/docs"' in text
    assert "<code>log verify</code>" in text
    assert "`" not in text


def test_examples_are_read_by_what_they_document() -> None:
    for parameter in (
        *timeline.TIMELINE_PARAMETERS,
        *measurements.LIST_PARAMETERS,
        *measurements.ITEM_PARAMETERS,
        *aggregation.AGGREGATION,
        *incidents.LIST_PARAMETERS,
        *incidents.FEED_PARAMETERS,
        *log.LOG_PARAMETERS,
        *coverage.COVERAGE,
    ):
        parameter.read(parameter.example)
