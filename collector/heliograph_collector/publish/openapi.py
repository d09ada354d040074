"""`/openapi.json`: made from the same declarations that read the queries, so that it stays true."""

from collections.abc import Mapping, Sequence
from typing import Any

from heliograph import __version__
from heliograph.observation import Access, Link
from heliograph_collector.publish import measurements, reading
from heliograph_collector.publish.query import Parameter
from heliograph_collector.store.rows import State

Json = dict[str, Any]
_STATE: Json = {"type": "string", "enum": [s.value for s in State]}
_TIME: Json = {"type": "string", "format": "date-time"}
_MAYBE_TIME: Json = {"type": ["string", "null"], "format": "date-time"}
_BAND: Json = {"type": "string", "examples": ["0", "5-9", "10-19", "20-49", "50+"]}
_WORD: Json = {"type": "string"}
_SURE: Json = {
    "type": "number",
    "minimum": 0,
    "maximum": 1,
    "description": "In tenths, rounded down, unless the collector asks for no anonymity.",
}
_COUNT: Json = {
    "type": ["integer", "null"],
    "minimum": 0,
    "description": "Least number of the count's band (0, 1, 5, 10, 20, 50); exact where the "
    "collector asks for no anonymity; null where somebody measured and too few to be shown.",
}


def _object(**properties: Json) -> Json:
    return {"type": "object", "required": list(properties), "properties": properties}


def _list(item: Json) -> Json:
    return {"type": "array", "items": item}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


_BRACKET = _object(earliest=_MAYBE_TIME, latest=_TIME) | {"type": ["object", "null"]}
_COUNTS: Json = {
    "type": "object",
    "required": ["vantages"],
    "properties": dict.fromkeys(("vantages", "reachable", "blocked", "down", "unknown"), _BAND),
}
SCHEMAS: Json = {
    "Problem": {
        "type": "object",
        "description": "RFC 9457",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": _WORD,
            "title": _WORD,
            "status": {"type": "integer"},
            "detail": _WORD,
            "parameter": _WORD,
            "allowed": _WORD,
        },
    },
    "ServiceNow": _object(
        service=_WORD,
        title=_WORD,
        state=_STATE,
        confidence=_SURE,
        counts=_COUNTS,
        layer=_WORD,
        method=_WORD,
        start=_MAYBE_TIME,
        since=_BRACKET,
    ),
    "Group": _object(
        country=_WORD,
        asn={"type": "integer", "description": "0: not known, or other networks"},
        access={"type": "string", "enum": [*(a.value for a in Access), ""]},
        link={"type": "string", "enum": [link.value for link in Link]},
        vantages=_BAND,
        silent=_BAND,
        services=_list(_ref("ServiceNow")),
    ),
    "Coverage": _object(
        vantages=_BAND,
        groups={"type": "integer"},
        withheld_groups={"type": "integer"},
        controls={"type": "integer"},
        blind=_list(_object(**{"from": _TIME, "until": _TIME})),
    ),
    "Status": _object(
        at=_TIME,
        k_anonymity={"type": "integer"},
        groups=_list(_ref("Group")),
        coverage=_ref("Coverage"),
    ),
    "Cell": _object(
        start=_TIME,
        vantages=_COUNT,
        reachable=_COUNT,
        blocked=_COUNT,
        down=_COUNT,
        unknown=_COUNT,
        silent=_COUNT,
        state=_STATE,
        confidence=_SURE,
    ),
    "Timeline": _object(
        since=_TIME,
        until=_TIME,
        bin_s={"type": "integer"},
        k_anonymity={"type": "integer"},
        scope={"type": "object"},
        cells=_list(_ref("Cell")),
    ),
    "Measurement": {
        "type": "object",
        "required": ["id", "started", "vantage", "verdicts", "observations"],
        "properties": {
            "id": _WORD,
            "started": _TIME,
            "vantage": {"type": "object"},
            "verdicts": _list({"type": "object", "required": ["state", "rule", "layer", "method"]}),
            "observations": _list({"type": "object", "required": ["operation", "failure"]}),
        },
    },
    "Measurements": _object(
        measurements=_list(_ref("Measurement")), next={"type": ["string", "null"]}
    ),
    "Alive": _object(alive={"type": "boolean"}),
    "Ready": _object(ready={"type": "boolean"}, problems=_list(_WORD)),
}


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
        "/api/v1/status": {"get": _get("The world now.", reading.STATUS, "Status")},
        "/api/v1/timeline": {
            "get": _get("One row per bin, also when nobody measured.", reading.TIMELINE, "Timeline")
        },
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
        "/": {"get": _other("The page.", "text/html", reading.PAGE)},
    }


def _json(schema: str) -> Json:
    return {"application/json": {"schema": _ref(schema)}}


def _refusal(description: str) -> Json:
    return {
        "description": description,
        "content": {"application/problem+json": {"schema": _ref("Problem")}},
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
        operation["responses"]["400"] = _refusal("Names the parameter and what would do.")
    return operation


def _parameter(p: Parameter) -> Json:
    return {
        "name": p.name,
        "in": "query",
        "description": f"{p.about} Allowed: {p.allowed}.",
        "schema": dict(p.schema),
        "example": p.example,
    }


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
        {"name": "Last-Event-ID", "in": "header", "required": False, "schema": _WORD}
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
            "408": _refusal("Too slow."),
            "413": _refusal("Too large."),
        },
    }
