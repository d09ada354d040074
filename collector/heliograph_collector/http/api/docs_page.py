"""`/docs`: the OpenAPI document as one page without a script."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from markupsafe import Markup, escape

from heliograph_collector.http.api.parameters import parse
from heliograph_collector.http.headers import respond_text
from heliograph_collector.http.templates import environment

Json = Mapping[str, Any]
_MAX_AGE_S = 300
_QUOTED = re.compile("`([^`]+)`")
_ANCHORS = str.maketrans({"/": "-", "{": "", "}": "", ".": "-"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiOperation:
    """One method of one path, as on the page."""

    anchor: str
    method: str
    path: str
    summary: str
    operator: bool
    parameters: list[Json]
    answers: list[tuple[str, str, str]]  # status, meaning, media types
    fields: list[tuple[str, str, str]]  # of a successful response: name, type, meaning
    example: str  # example address, "" if there is none


class DocsPage:
    def __init__(self, document: Json, assets: Mapping[str, str]) -> None:
        """Render the page once, because `document` does not change."""
        template = environment().get_template("docs.html")
        self._html = template.render(
            assets=assets,
            calls=list_operations(document),
            version=document["info"]["version"],
            quoted=render_code,
        )

    async def page(self, request: web.Request) -> web.Response:
        parse(request.query, ())
        tag = self._html.encode()
        return respond_text(request, self._html, "text/html", tag, max_age_s=_MAX_AGE_S)


def render_code(markdown: str) -> Markup:
    """Render text between backticks as code, as in CommonMark."""
    return Markup(_QUOTED.sub(r"<code>\1</code>", str(escape(markdown))))  # noqa: S704 -- escaped


def list_operations(document: Json) -> list[ApiOperation]:
    """List the operations in the document's order."""
    schemas = document["components"]["schemas"]
    return [
        _build_operation(method, path, operation, schemas)
        for path, item in document["paths"].items()
        for method, operation in item.items()
    ]


def _build_operation(method: str, path: str, operation: Json, schemas: Json) -> ApiOperation:
    responses = operation["responses"]
    success = responses["200"].get("content", {})
    parameters = operation.get("parameters", [])
    examples = [f"{p['name']}={p['example']}" for p in parameters if "example" in p][:1]
    return ApiOperation(
        anchor=f"{method}{path.translate(_ANCHORS)}",
        method=method.upper(),
        path=path,
        summary=operation["summary"],
        operator="security" in operation,
        parameters=[_build_parameter(p) for p in parameters],
        answers=[
            (status, answer["description"], ", ".join(answer.get("content", {})))
            for status, answer in responses.items()
        ],
        fields=_list_fields(success.get("application/json", {}).get("schema", {}), schemas),
        example="?".join([path, *examples]) if method == "get" and "{" not in path else "",
    )


def _build_parameter(p: Json) -> Json:
    return {
        "name": p["name"],
        "where": p["in"],
        "needed": p.get("required", False),
        "about": p.get("description") or f"Allowed: {p['schema'].get('pattern', 'any text')}.",
    }


def _list_fields(schema: Json, schemas: Json) -> list[tuple[str, str, str]]:
    """List the first level; nested lists and objects appear only by name."""
    resolved = _resolve_schema(schema, schemas)
    return [
        (
            name,
            _describe_type(field, schemas),
            str(_resolve_schema(field, schemas).get("description", "")),
        )
        for name, field in resolved.get("properties", {}).items()
    ]


def _resolve_schema(schema: Json, schemas: Json) -> Json:
    while "$ref" in schema:
        schema = schemas[schema["$ref"].rpartition("/")[2]]
    return schema


def _describe_type(schema: Json, schemas: Json) -> str:
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    kind = schema.get("type", "any")
    types = list(kind) if isinstance(kind, list) else [kind]
    if types[0] == "array":
        return f"list of {_describe_type(schema.get('items', {}), schemas)}"
    if "enum" in schema and len(schema["enum"]) <= 8:
        return " | ".join(str(value) for value in schema["enum"])
    return " or ".join(types)
