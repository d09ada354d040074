"""`/openapi.json`: made from the same declarations that read the queries, so that it stays true."""

from collections.abc import Mapping, Sequence

from heliograph import __version__
from heliograph_collector.http.api import (
    aggregation,
    coverage,
    dumps,
    incidents,
    log,
    measurements,
    timeline,
)
from heliograph_collector.http.api.parameters import LANG, WINDOW, Parameter
from heliograph_collector.http.api.schemas import SCHEMAS, WORD, Json, ref
from heliograph_collector.http.pages import front_page


def document() -> Json:
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Heliograph",
            "version": __version__,
            "description": "What is cut, where, since when, how, and how sure that is.",
            "license": {"name": "BSD-3-Clause", "identifier": "BSD-3-Clause"},
        },
        "paths": _paths(),
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {
                "password": {"type": "http", "scheme": "basic"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    }


def _paths() -> Json:
    return {
        "/api/v1/status": {"get": _get("The world now.", timeline.STATUS, "Status")},
        "/api/v1/timeline": {
            "get": _get(
                "One row per bin, also when nobody measured.", timeline.TIMELINE, "Timeline"
            )
        },
        "/api/v1/aggregation": {"get": _aggregation()},
        "/api/v1/incidents": {
            "get": _get("What was cut, newest start first.", incidents.MANY, "Incidents")
        },
        "/api/v1/incidents/{id}": {"get": _incident(_get("One incident.", (), "Incident"))},
        "/api/v1/log": {"get": _log()},
        "/api/v1/coverage": {
            "get": _get("Where and when we were blind, and why.", coverage.COVERAGE, "Blindness")
        },
        "/feeds/incidents.atom": {
            "get": _other("Incidents as Atom.", "application/atom+xml", incidents.FEEDS)
        },
        "/feeds/incidents.json": {"get": _json_feed()},
        "/dumps/": {"get": _dumps_page()},
        "/dumps/index.json": {"get": _get("The daily files.", (), "Dumps")},
        "/dumps/README.json": {"get": _get("What they hold.", (), "Dictionary")},
        "/dumps/{name}": {"get": _dump()},
        "/api/v1/stream": {"get": _stream()},
        "/api/v1/measurements": {
            "get": _operator(_get("The evidence.", measurements.MANY, "Measurements"))
        },
        "/api/v1/measurements/{id}": {"get": _one()},
        "/v1/envelopes": {"post": _envelopes()},
        "/healthz": {"get": _get("Alive.", (), "Alive")},
        "/readyz": {"get": _ready()},
        "/metrics": {"get": _other("Prometheus text.", "text/plain")},
        "/openapi.json": {"get": _other("This document.", "application/json")},
        "/": {"get": _other("The page.", "text/html", front_page.PAGE)},
        "/methodology": {"get": _methodology()},
        "/countries/{code}": {"get": _country_page()},
        "/incidents/{id}": {"get": _incident_page()},
        "/incidents/{id}/embed": {"get": _picture("One incident, for other pages.", "text/html")},
        "/incidents/{id}/share.svg": {"get": _picture("Its picture.", "image/svg+xml")},
        "/incidents/{id}/share.png": {"get": _picture("Its picture.", "image/png")},
        "/docs": {"get": _other("This document for people.", "text/html")},
    }


def _json(schema: str) -> Json:
    return {"application/json": {"schema": ref(schema)}}


def _refusal(description: str) -> Json:
    return {
        "description": description,
        "content": {"application/problem+json": {"schema": ref("Problem")}},
    }


def _get(summary: str, parameters: Sequence[Parameter], schema: str) -> Json:
    return _operation(summary, parameters, _json(schema))


def _other(summary: str, media: str, parameters: Sequence[Parameter] = ()) -> Json:
    return _operation(summary, parameters, {media: {}})


def _operation(summary: str, parameters: Sequence[Parameter], content: Mapping[str, Json]) -> Json:
    operation: Json = {
        "summary": summary,
        "responses": {"200": {"description": "OK", "content": dict(content)}},
    }
    if parameters:
        operation["parameters"] = [_parameter(p) for p in parameters]
    operation["responses"] |= {
        "400": _refusal("Names the parameter and what would do."),
        "429": _refusal("Your network asks too often; Retry-After says when to come again."),
        "503": _refusal("The store does not answer just now, or too many ask."),
    }
    return operation


def _parameter(p: Parameter) -> Json:
    return {
        "name": p.name,
        "in": "query",
        "description": f"{p.about} Allowed: {p.allowed}.",
        "schema": dict(p.schema),
        "example": p.example,
    }


def _incident(operation: Json) -> Json:
    schema = {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"}
    path = {"name": "id", "in": "path", "required": True, "schema": schema}
    operation.setdefault("parameters", []).append(path)
    operation["responses"]["404"] = _refusal("Not known, or of too few.")
    return operation


def _incident_page() -> Json:
    operation = _incident(_other("The page of one.", "text/html", (LANG,)))
    operation["responses"]["404"]["content"]["text/html"] = {}
    return operation


def _methodology() -> Json:
    operation = _other("How it is known.", "text/html", (LANG,))
    operation["responses"]["404"] = _refusal("This collector does not tell.")
    return operation


def _picture(summary: str, media: str) -> Json:
    operation = _incident(_other(summary, media, (LANG,)))
    if media == "text/html":
        operation["responses"]["404"]["content"][media] = {}
    return operation


def _country_page() -> Json:
    operation = _other("The page of a country.", "text/html", (WINDOW, LANG))
    schema = {"type": "string", "pattern": "^[A-Z]{2}$"}
    path = {"name": "code", "in": "path", "required": True, "schema": schema}
    operation["parameters"].append(path)
    operation["responses"]["404"] = {"description": "No country.", "content": {"text/html": {}}}
    operation["responses"]["503"] = {"description": "Store away.", "content": {"text/html": {}}}
    return operation


def _aggregation() -> Json:
    operation = _get(
        "Measurements counted in OONI's words, by whole days.",
        aggregation.AGGREGATION,
        "Aggregation",
    )
    operation["responses"]["200"]["content"][aggregation.CSV] = {"schema": WORD}
    operation["responses"]["503"] = _refusal("Too many ask, or the store is away.")
    return operation


def _log() -> Json:
    operation = _get("The signed alert log; `log verify` proves it.", log.LOG, "Log")
    operation["responses"]["200"]["content"][log.MEDIA] = {"schema": WORD}
    return operation


def _dumps_page() -> Json:
    operation = _other("The daily files, for people.", "text/html")
    operation["responses"]["200"]["content"] |= _json("Dumps")
    return operation


def _dump() -> Json:
    operation = _other("A day's cells; answers ranges.", dumps.MEDIA)
    schema = {"type": "string", "pattern": "^cells-[0-9]{4}-[0-9]{2}-[0-9]{2}[.]parquet$"}
    operation["parameters"] = [{"name": "name", "in": "path", "required": True, "schema": schema}]
    operation["responses"]["206"] = {"description": "A part.", "content": {dumps.MEDIA: {}}}
    operation["responses"]["404"] = _refusal("No such file; index.json lists them.")
    operation["responses"]["416"] = {"description": "No such part."}
    return operation


def _json_feed() -> Json:
    operation = _other("Incidents as JSON Feed.", "application/feed+json", incidents.FEEDS)
    operation["responses"]["200"]["content"]["application/feed+json"] = {"schema": ref("JsonFeed")}
    return operation


def _operator(operation: Json) -> Json:
    operation["security"] = [{"password": []}, {"bearer": []}]
    operation["responses"]["401"] = _refusal("For the operator only.")
    return operation


def _one() -> Json:
    operation = _operator(_get("One measurement.", measurements.ONE, "Measurement"))
    schema = {"type": "string", "pattern": "^[0-9a-f]{32}$"}
    operation["parameters"].append({"name": "id", "in": "path", "required": True, "schema": schema})
    operation["responses"]["404"] = _refusal("Not known, or no longer.")
    return operation


def _stream() -> Json:
    operation = _other(
        "Server-Sent Events: cell, coverage, incident; resync says that something was missed.",
        "text/event-stream",
    )
    operation["parameters"] = [
        {"name": "Last-Event-ID", "in": "header", "required": False, "schema": WORD}
    ]
    operation["responses"]["503"] = _refusal("Too many readers.")
    return operation


def _ready() -> Json:
    operation = _get("Ready, or why not.", (), "Ready")
    operation["responses"]["503"] = {"description": "Not ready.", "content": _json("Ready")}
    return operation


def _envelopes() -> Json:
    receipt: Json = {"content": {"application/x-protobuf": {}}}
    return {
        "summary": "One sealed heliograph.v1.Envelope; answers a heliograph.v1.SubmitResponse.",
        "requestBody": {"required": True, "content": {"application/x-protobuf": {}}},
        "responses": {
            "200": {"description": "Stored, or stored before.", **receipt},
            "422": {"description": "Refused for good, with the reason.", **receipt},
            "503": {"description": "Try again later.", **receipt},
            "400": _refusal("No body."),
            "408": _refusal("Too slow."),
            "413": _refusal("Too large."),
        },
    }
