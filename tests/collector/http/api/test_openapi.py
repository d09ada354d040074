"""`/openapi.json` matches the server: existing routes, and answers of its shapes."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema_rs  # schemathesis needs it too
import msgspec
import pytest

import heliograph_collector.http as http_package
from heliograph_collector.http.api import (
    aggregation,
    coverage,
    imported,
    incidents,
    log,
    measurements,
    timeline,
)
from heliograph_collector.http.api.openapi import build_document
from heliograph_collector.http.app import build_app
from heliograph_collector.model.records import VerdictState
from support.every_answer import everything
from support.fake_feed import NOW_US, World, crowd
from support.incident_book import ALMATY, KEY, evening_book
from support.kazakhstan_votes import evening
from support.site import Serve

DOCUMENT: dict[str, Any] = json.loads(msgspec.json.encode(build_document()))
OPERATIONS = {
    (path, method): operation
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
}


def test_it_names_each_route_and_no_other() -> None:
    app = build_app(World().feed())
    routes = {
        (route.resource.canonical, route.method.lower())
        for route in app.router.routes()
        if route.resource is not None and route.method not in ("HEAD", "OPTIONS")
    }
    assert OPERATIONS.keys() == {r for r in routes if not r[0].startswith("/static/")}
    ids = [operation["operationId"] for operation in OPERATIONS.values()]
    assert len(set(ids)) == len(ids)


def test_the_manual_has_a_row_for_each_page_without_a_name_in_its_path() -> None:
    manual = Path(http_package.__file__).with_name("README.md").read_text(encoding="utf-8")
    pages = [
        path
        for (path, _), operation in OPERATIONS.items()
        if "{" not in path and "text/html" in operation["responses"]["200"].get("content", {})
    ]
    assert len(pages) > 5
    assert [page for page in pages if f"\n| `{page}" not in manual] == []


def _is_public_data(path: str, operation: dict[str, Any]) -> bool:
    return not operation.get("security") and path.startswith(("/api/v1/", "/feeds/", "/dumps/"))


@pytest.mark.parametrize(
    "path",
    [path for (path, _), operation in OPERATIONS.items() if _is_public_data(path, operation)],
)
async def test_scripts_of_other_sites_may_read_all_public_data(serve: Serve, path: str) -> None:
    client = await serve(World().feed())
    answer = await client.options(re.sub(r"\{\w+\}", "x", path))
    assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (204, "*")


@pytest.mark.parametrize(
    "path",
    [
        *("/api/v1/status", "/api/v1/timeline", "/api/v1/timeline?asn=9198", "/api/v1/aggregation"),
        *("/api/v1/aggregation?axis_x=domain&axis_y=probe_cc", "/api/v1/incidents"),
        *(f"/api/v1/incidents/{ALMATY}", "/api/v1/log", "/api/v1/coverage"),
        *("/api/v1/imported", "/api/v1/imported?country=KZ"),
        *("/feeds/incidents.json", "/dumps/index.json", "/dumps/README.json"),
        *("/healthz", "/readyz"),
    ],
)
async def test_answers_have_the_shape_it_says(serve: Serve, path: str, tmp_path: Path) -> None:
    day = {"name": "cells-2022-01-05.parquet", "day": "2022-01-05", "revision": 1, "rows": 1}
    file = {**day, "bytes": 1, "sha256": "0" * 64, "written": "2022-01-06T00:30:00Z"}
    (tmp_path / "index.json").write_text(json.dumps({"files": [file], "seen": {}}))
    client = await serve(everything(tmp_path))
    where = path.partition("?")[0].replace(ALMATY, "{id}")
    answer = await client.get(path)
    content = OPERATIONS[where, "get"]["responses"]["200"]["content"][answer.content_type]
    schema = content["schema"] | {"components": DOCUMENT["components"]}
    validator = jsonschema_rs.Draft202012Validator(schema)
    body = await answer.json(content_type=None)
    assert [error.message for error in validator.iter_errors(body)] == []


async def test_the_document_is_there_for_people_too(serve: Serve) -> None:
    answer = await (await serve(World().feed())).get("/docs")
    text = await answer.text()
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    for (path, method), operation in OPERATIONS.items():
        assert f"{method.upper()} {path}" in text
        for parameter in operation.get("parameters", []):
            assert f"<code>{parameter['name']}</code>" in text
    assert "//" not in re.sub(r"https?://www\.(bbc|w3)\.[a-z0-9./]+", "", text), "nothing foreign"
    assert 'href="/docs"' in text
    assert "<code>log verify</code>" in text
    assert "`" not in text


UNKNOWN = {  # by filter, what a stranger may type; and what is known, though nothing is there
    "country": ("QQ", "TJ"),
    "region": ("KZ-99", "KZ-75"),
    "asn": ("AS64999", "29355"),
    "service": ("telegarm", "Signal"),
    "probe_cc": ("QQ", "TJ"),
    "probe_asn": ("AS64999", "AS29355"),
    "test_name": ("telegarm", "signal"),
    "input": ("https://example.net/", "signal"),
}
FILTERS = [
    (path, parameter["name"])
    for (path, method), operation in OPERATIONS.items()
    for parameter in operation.get("parameters", ())
    if method == "get" and parameter["in"] == "query" and parameter["name"] in UNKNOWN
    # Strangers may not ask for measurements; a history says itself that nothing was measured.
    if not path.startswith(
        ("/api/v1/measurements", "/api/v1/bulk", "/api/v1/history", "/charts/", "/countries/")
    )
]


async def test_no_filter_answers_for_what_nothing_public_names(serve: Serve) -> None:
    """Zeros, or a list without incidents, would pass for good news."""
    site = await serve(evening().feed(book=evening_book(), public_key=KEY.public))
    assert len(FILTERS) > 25
    for path, name in FILTERS:
        unknown, known = UNKNOWN[name]
        refused = await site.get(f"{path}?{name}={unknown}", headers={"Accept": "text/html"})
        assert refused.status == 404, (path, name)
        quiet = await site.get(f"{path}?{name}={known}")
        assert quiet.status == 200, (path, name, await quiet.text())
    for path in ("/api/v1/timeline", "/api/v1/incidents"):
        problem = await site.problem(f"{path}?asn=AS64999", 404)
        assert problem["parameter"] == "network"
        assert "/search" in problem["allowed"]
        assert "AS9198" not in problem["allowed"], "the one that was asked for may be the example"
        problem = await site.problem(f"{path}?country=KZ&region=RU-MOW")
        assert problem["detail"] == "The parameter region is not in KZ; use a region of KZ."


async def test_a_network_of_long_ago_is_no_stranger(serve: Serve) -> None:
    """A network of long ago is found, though no present answer names it."""
    world = evening()
    day_us = 86_400_000_000
    world.votes += crowd(9, VerdictState.REACHABLE, NOW_US - 3 * day_us, NOW_US - 2 * day_us, asn=7)
    site = await serve(world.feed())
    await site.problem("/api/v1/timeline?asn=7", 404)
    await site.json("/api/v1/timeline?asn=7&bin=1h&since=2022-01-02T13:00:00Z")


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
        *imported.IMPORTED,
    ):
        parameter.read(parameter.example)
