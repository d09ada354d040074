"""`/openapi.json`: built from the declarations that parse the queries."""

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


def build_document() -> Json:
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Heliograph",
            "version": __version__,
            "description": "What is cut, where, since when, how, and how sure that is.",
            "license": {"name": "BSD-3-Clause", "identifier": "BSD-3-Clause"},
        },
        "paths": _build_paths(),
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {
                "password": {"type": "http", "scheme": "basic"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    }


def _build_paths() -> Json:
    return {
        "/api/v1/status": {
            "get": _json_operation("The world now.", timeline.STATUS_PARAMETERS, "Status")
        },
        "/api/v1/timeline": {
            "get": _json_operation(
                "One row per bin, also when nobody measured.",
                timeline.TIMELINE_PARAMETERS,
                "Timeline",
            )
        },
        "/api/v1/aggregation": {"get": _aggregation()},
        "/api/v1/incidents": {
            "get": _json_operation(
                "What was cut, newest start first.", incidents.LIST_PARAMETERS, "Incidents"
            )
        },
        "/api/v1/incidents/{id}": {
            "get": _add_incident_path(_json_operation("One incident.", (), "Incident"))
        },
        "/api/v1/log": {"get": _log()},
        "/api/v1/coverage": {
            "get": _json_operation(
                "Where and when we were blind, and why.", coverage.COVERAGE, "Blindness"
            )
        },
        "/feeds/incidents.atom": {
            "get": _media_operation(
                "Incidents as Atom.", "application/atom+xml", incidents.FEED_PARAMETERS
            )
        },
        "/feeds/incidents.json": {"get": _json_feed()},
        "/dumps/": {"get": _dumps_page()},
        "/dumps/index.json": {"get": _json_operation("The daily files.", (), "Dumps")},
        "/dumps/README.json": {"get": _json_operation("What they hold.", (), "Dictionary")},
        "/dumps/{name}": {"get": _dump()},
        "/api/v1/stream": {"get": _stream()},
        "/api/v1/measurements": {
            "get": _require_operator(
                _json_operation("The evidence.", measurements.LIST_PARAMETERS, "Measurements")
            )
        },
        "/api/v1/measurements/{id}": {"get": _measurement_operation()},
        "/v1/envelopes": {"post": _envelopes()},
        "/healthz": {"get": _json_operation("Alive.", (), "Alive")},
        "/readyz": {"get": _ready()},
        "/metrics": {"get": _media_operation("Prometheus text.", "text/plain")},
        "/openapi.json": {"get": _media_operation("This document.", "application/json")},
        "/": {"get": _media_operation("The page.", "text/html", front_page.PAGE_PARAMETERS)},
        "/methodology": {"get": _methodology()},
        "/countries/{code}": {"get": _country_page()},
        "/incidents/{id}": {"get": _incident_page()},
        "/incidents/{id}/embed": {"get": _picture("One incident, for other pages.", "text/html")},
        "/incidents/{id}/share.svg": {"get": _picture("Its picture.", "image/svg+xml")},
        "/incidents/{id}/share.png": {"get": _picture("Its picture.", "image/png")},
        "/docs": {"get": _media_operation("This document for people.", "text/html")},
    }


def _json_content(schema: str) -> Json:
    return {"application/json": {"schema": ref(schema)}}


def _refusal(description: str) -> Json:
    return {
        "description": description,
        "content": {"application/problem+json": {"schema": ref("Problem")}},
    }


def _json_operation(summary: str, parameters: Sequence[Parameter], schema: str) -> Json:
    return _build_operation(summary, parameters, _json_content(schema))


def _media_operation(summary: str, media: str, parameters: Sequence[Parameter] = ()) -> Json:
    return _build_operation(summary, parameters, {media: {}})


def _build_operation(
    summary: str, parameters: Sequence[Parameter], content: Mapping[str, Json]
) -> Json:
    operation: Json = {
        "summary": summary,
        "responses": {"200": {"description": "OK", "content": dict(content)}},
    }
    if parameters:
        operation["parameters"] = [_build_parameter(p) for p in parameters]
    operation["responses"] |= {
        "400": _refusal("Names the parameter and what would do."),
        "429": _refusal("Your network asks too often; Retry-After says when to come again."),
        "503": _refusal("The store does not answer just now, or too many ask."),
    }
    return operation


def _build_parameter(p: Parameter) -> Json:
    return {
        "name": p.name,
        "in": "query",
        "description": f"{p.about} Allowed: {p.allowed}.",
        "schema": dict(p.schema),
        "example": p.example,
    }


def _add_incident_path(operation: Json) -> Json:
    schema = {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"}
    path = {"name": "id", "in": "path", "required": True, "schema": schema}
    operation.setdefault("parameters", []).append(path)
    operation["responses"]["404"] = _refusal("Not known, or of too few.")
    return operation


def _incident_page() -> Json:
    operation = _add_incident_path(_media_operation("The page of one.", "text/html", (LANG,)))
    operation["responses"]["404"]["content"]["text/html"] = {}
    return operation


def _methodology() -> Json:
    operation = _media_operation("How it is known.", "text/html", (LANG,))
    operation["responses"]["404"] = _refusal("This collector does not tell.")
    return operation


def _picture(summary: str, media: str) -> Json:
    operation = _add_incident_path(_media_operation(summary, media, (LANG,)))
    if media == "text/html":
        operation["responses"]["404"]["content"][media] = {}
    return operation


def _country_page() -> Json:
    operation = _media_operation("The page of a country.", "text/html", (WINDOW, LANG))
    schema = {"type": "string", "pattern": "^[A-Z]{2}$"}
    path = {"name": "code", "in": "path", "required": True, "schema": schema}
    operation["parameters"].append(path)
    operation["responses"]["404"] = {"description": "No country.", "content": {"text/html": {}}}
    operation["responses"]["503"] = {"description": "Store away.", "content": {"text/html": {}}}
    return operation


def _aggregation() -> Json:
    operation = _json_operation(
        "Measurements counted in OONI's words, by whole days.",
        aggregation.AGGREGATION,
        "Aggregation",
    )
    operation["responses"]["200"]["content"][aggregation.CSV] = {"schema": WORD}
    operation["responses"]["503"] = _refusal("Too many ask, or the store is away.")
    return operation


def _log() -> Json:
    operation = _json_operation(
        "The signed alert log; `log verify` proves it.", log.LOG_PARAMETERS, "Log"
    )
    operation["responses"]["200"]["content"][log.MEDIA] = {"schema": WORD}
    return operation


def _dumps_page() -> Json:
    operation = _media_operation("The daily files, for people.", "text/html")
    operation["responses"]["200"]["content"] |= _json_content("Dumps")
    return operation


def _dump() -> Json:
    operation = _media_operation("A day's cells; answers ranges.", dumps.MEDIA)
    schema = {"type": "string", "pattern": "^cells-[0-9]{4}-[0-9]{2}-[0-9]{2}[.]parquet$"}
    operation["parameters"] = [{"name": "name", "in": "path", "required": True, "schema": schema}]
    operation["responses"]["206"] = {"description": "A part.", "content": {dumps.MEDIA: {}}}
    operation["responses"]["404"] = _refusal("No such file; index.json lists them.")
    operation["responses"]["416"] = {"description": "No such part."}
    return operation


def _json_feed() -> Json:
    operation = _media_operation(
        "Incidents as JSON Feed.", "application/feed+json", incidents.FEED_PARAMETERS
    )
    operation["responses"]["200"]["content"]["application/feed+json"] = {"schema": ref("JsonFeed")}
    return operation


def _require_operator(operation: Json) -> Json:
    operation["security"] = [{"password": []}, {"bearer": []}]
    operation["responses"]["401"] = _refusal("For the operator only.")
    return operation


def _measurement_operation() -> Json:
    operation = _require_operator(
        _json_operation("One measurement.", measurements.ITEM_PARAMETERS, "Measurement")
    )
    schema = {"type": "string", "pattern": "^[0-9a-f]{32}$"}
    operation["parameters"].append({"name": "id", "in": "path", "required": True, "schema": schema})
    operation["responses"]["404"] = _refusal("Not known, or no longer.")
    return operation


def _stream() -> Json:
    operation = _media_operation(
        "Server-Sent Events: cell, coverage, incident; resync says that something was missed.",
        "text/event-stream",
    )
    operation["parameters"] = [
        {"name": "Last-Event-ID", "in": "header", "required": False, "schema": WORD}
    ]
    operation["responses"]["503"] = _refusal("Too many readers.")
    return operation


def _ready() -> Json:
    operation = _json_operation("Ready, or why not.", (), "Ready")
    operation["responses"]["503"] = {"description": "Not ready.", "content": _json_content("Ready")}
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
