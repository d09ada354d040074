"""`/docs`: the OpenAPI document as one page without a script."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import msgspec
from aiohttp import web
from msgspec import Struct

from heliograph_collector.http.api.openapi_document import (
    OpenApiDocument,
    OperationObject,
    SchemaReference,
)
from heliograph_collector.http.api.parameters import parse
from heliograph_collector.http.api.schemas import REF_PREFIX
from heliograph_collector.http.headers import respond_text
from heliograph_collector.http.templates import PageContent, render_page

_MAX_AGE_S = 300
_MAX_ENUM = 8  # a longer list of values is only called by its type
_READERS = ("", "partner", "operator")  # by the ways in which each may prove itself
_ANCHORS = str.maketrans({"/": "-", "{": "", "}": "", ".": "-"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterRow:
    name: str
    where: str
    about: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiOperation:
    """One method of one path, as on the page."""

    anchor: str
    method: str
    path: str
    summary: str
    reader: str  # "" is everyone
    parameters: list[ParameterRow]
    answers: list[tuple[str, str, str]]  # status, meaning, media types
    fields: list[tuple[str, str, str]]  # of a successful response: name, type, meaning
    example: str  # example address, "" if there is none


class FieldSchema(Struct, frozen=True, kw_only=True, rename={"ref": "$ref", "any_of": "anyOf"}):
    """The parts of a schema that the page shows."""

    ref: str = ""
    type: str = "any"
    description: str = ""
    enum: tuple[str | int, ...] = ()
    items: "FieldSchema | bool" = False
    any_of: "tuple[FieldSchema, ...]" = ()
    properties: "dict[str, FieldSchema]" = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class DocsContent(PageContent):
    template: ClassVar[str] = "docs.html"
    operations: Sequence[ApiOperation]
    version: str


class DocsPage:
    def __init__(self, document: OpenApiDocument, assets: Mapping[str, str]) -> None:
        self._document = document
        self._assets = assets

    @cached_property  # the document does not change
    def _html(self) -> str:
        return render_page(
            DocsContent(
                assets=self._assets,
                operations=list_operations(self._document),
                version=self._document.info.version,
            )
        )

    async def page(self, request: web.Request) -> web.Response:
        parse(request.query, ())
        return respond_text(request, self._html, "text/html", max_age_s=_MAX_AGE_S)


def list_operations(document: OpenApiDocument) -> list[ApiOperation]:
    """List the operations in the document's order."""
    schemas = {
        name: msgspec.json.decode(schema, type=FieldSchema)
        for name, schema in document.components.schemas.items()
    }
    return [
        _build_operation(method, path, operation, schemas)
        for path, item in document.paths.items()
        for method, operation in (("get", item.get), ("post", item.post))
        if operation
    ]


def _build_operation(
    method: str, path: str, operation: OperationObject, schemas: Mapping[str, FieldSchema]
) -> ApiOperation:
    json_content = operation.responses["200"].content.get("application/json")
    reference = json_content.schema if json_content else None
    examples = [f"{p.name}={p.example}" for p in operation.parameters if p.example][:1]
    return ApiOperation(
        anchor=f"{method}{path.translate(_ANCHORS)}",
        method=method.upper(),
        path=path,
        summary=operation.summary,
        reader=_READERS[len(operation.security)],
        parameters=[
            ParameterRow(
                name=p.name,
                where=p.where,
                about=p.description or f"Allowed: {p.schema.pattern or 'any text'}.",
            )
            for p in operation.parameters
        ],
        answers=[
            (status, answer.description, ", ".join(answer.content))
            for status, answer in operation.responses.items()
        ],
        fields=_list_fields(reference.ref, schemas)
        if isinstance(reference, SchemaReference)
        else [],
        example="?".join([path, *examples]) if method == "get" and "{" not in path else "",
    )


def _list_fields(ref: str, schemas: Mapping[str, FieldSchema]) -> list[tuple[str, str, str]]:
    """List the first level; nested lists and objects appear only by name."""
    return [
        (name, _describe_type(field), field.description or _describe_reference(field, schemas))
        for name, field in schemas[_name_of(ref)].properties.items()
    ]


def _describe_reference(field: FieldSchema, schemas: Mapping[str, FieldSchema]) -> str:
    return schemas[_name_of(field.ref)].description if field.ref else ""


def _name_of(ref: str) -> str:
    return ref.removeprefix(REF_PREFIX)


def _describe_type(field: FieldSchema) -> str:
    if field.ref:
        return _name_of(field.ref)
    if field.any_of:
        return " or ".join(map(_describe_type, field.any_of))
    if isinstance(field.items, FieldSchema):
        return f"list of {_describe_type(field.items)}"
    if field.enum and len(field.enum) <= _MAX_ENUM:
        return " | ".join(str(value) for value in field.enum)
    return field.type
