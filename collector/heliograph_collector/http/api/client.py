"""Build `/client.py`: a typed Python client of this collector's OpenAPI document.

It is `client_transport.py`, then a TypedDict for each schema that an answer needs, then a method
for each public question with a JSON answer. It is served and not committed, so it never differs
from the API that it asks.
"""

import keyword
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from importlib.resources import files
from typing import Any

import msgspec
from aiohttp import web

from heliograph_collector.http.api.openapi_document import OpenApiDocument
from heliograph_collector.http.api.parameters import parse
from heliograph_collector.http.api.schemas import REF_PREFIX
from heliograph_collector.http.headers import respond_text

MEDIA = "text/x-python"
_MAX_AGE_S = 300
_WIDTH = 100
_OPERATIONS = frozenset(
    (
        *("getStatus", "getTimeline", "getHistory", "getAggregation", "listIncidents"),
        *("getIncident", "getCoverage", "getImported", "listDumps"),
    )
)
_TYPES = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}
_IMPORTS = "from typing import Any, Literal, NotRequired, TypeAlias, TypedDict, cast\n"

_Schema = Mapping[str, Any]


class ClientFile:
    def __init__(self, document: OpenApiDocument) -> None:
        self._document = document

    @cached_property  # the document does not change
    def _source(self) -> str:
        return build_client(self._document)

    async def send(self, request: web.Request) -> web.Response:
        parse(request.query, ())
        return respond_text(request, self._source, MEDIA, max_age_s=_MAX_AGE_S)


def build_client(document: OpenApiDocument) -> str:
    """Return the source of the client, which needs the standard library alone."""
    api: _Schema = msgspec.json.decode(msgspec.json.encode(document))
    operations = list(_list_operations(api))
    schemas = api["components"]["schemas"]
    needed: dict[str, None] = {}
    for _, operation in operations:
        _collect_names(_find_answer(operation), schemas, needed)
    parts = [
        files(__package__).joinpath("client_transport.py").read_text(encoding="utf-8"),
        _IMPORTS,
        *(_build_type(name, schemas[name]) for name in needed),
        _build_class(operations),
    ]
    return "\n\n\n".join(part.strip("\n") for part in parts) + "\n"


def _list_operations(api: _Schema) -> Iterator[tuple[str, _Schema]]:
    for path, methods in api["paths"].items():
        operation = methods.get("get")
        if operation and operation["operationId"] in _OPERATIONS:
            yield path, operation


def _find_answer(operation: _Schema) -> _Schema:
    schema: _Schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    return schema


def _collect_names(part: object, schemas: _Schema, needed: dict[str, None]) -> None:
    """Add the names of all schemas to which a part of the document leads."""
    if isinstance(part, dict):
        name = str(part.get("$ref", "")).removeprefix(REF_PREFIX)
        if name and name not in needed:
            needed[name] = None
            _collect_names(schemas[name], schemas, needed)
        for value in part.values():
            _collect_names(value, schemas, needed)
    elif isinstance(part, list):
        for value in part:
            _collect_names(value, schemas, needed)


def _build_type(name: str, schema: _Schema) -> str:
    """Build a TypedDict, or an alias of a type other than an object.

    A field that is no name in Python, as `from`, needs the other form of a TypedDict, whose types
    are text, because names may follow later.
    """
    if "properties" not in schema:
        return f"{name}: TypeAlias = {_quote_type(_name_type(schema))}"
    fields = {field: _name_type(part) for field, part in schema["properties"].items()}
    for field in fields.keys() - schema.get("required", ()):
        fields[field] = f"NotRequired[{fields[field]}]"
    if any(keyword.iskeyword(field) or not field.isidentifier() for field in fields):
        quoted = {field: _quote_type(kind) for field, kind in fields.items()}
        pairs = "".join(f'        "{field}": {kind},\n' for field, kind in quoted.items())
        return f'{name} = TypedDict(\n    "{name}",\n    {{\n{pairs}    }},\n)'
    lines = [f"class {name}(TypedDict):", *_quote_text(schema.get("description", ""), 4), ""]
    return "\n".join([*lines, *(f"    {field}: {kind}" for field, kind in fields.items())])


def _quote_type(kind: str) -> str:
    return f"'{kind}'"


def _name_type(schema: _Schema) -> str:
    """Return the annotation of a schema."""
    if reference := schema.get("$ref"):
        return str(reference).removeprefix(REF_PREFIX)
    if "enum" in schema:
        return f"Literal[{', '.join(msgspec.json.encode(v).decode() for v in schema['enum'])}]"
    if "anyOf" in schema:
        return " | ".join(dict.fromkeys(map(_name_type, schema["anyOf"])))
    kind = schema.get("type", "")
    if kind == "array":
        parts = schema.get("prefixItems") or [schema.get("items") or {}]
        return f"list[{' | '.join(dict.fromkeys(map(_name_type, parts)))}]"
    if kind == "object":
        values = schema.get("additionalProperties")
        return f"dict[str, {_name_type(values) if isinstance(values, dict) else 'Any'}]"
    return _TYPES.get(kind, "Any")


def _build_class(operations: Sequence[tuple[str, _Schema]]) -> str:
    methods = (_build_method(path, operation) for path, operation in operations)
    head = 'class Client(HttpClient):\n    """The public API; each method is one request."""'
    return "\n\n".join((head, *methods))


def _build_method(path: str, operation: _Schema) -> str:
    parameters = [p for p in operation.get("parameters", ()) if p["name"] != "format"]
    in_path = [p for p in parameters if p["in"] == "path"]
    in_query = [p for p in parameters if p["in"] == "query"]
    answer = _name_type(_find_answer(operation))
    query = ", ".join(f'"{p["name"]}": {p["name"]}' for p in in_query)
    lines = [
        f"    def {_name_method(operation)}(",
        "        self,",
        *(f"        {p['name']}: {_name_type(p['schema'])}," for p in in_path),
        *(["        *,"] if in_query else []),
        *(f"        {p['name']}: {_name_type(p['schema'])} | None = None," for p in in_query),
        f"    ) -> {answer}:",
        *_document(operation["summary"], [*in_path, *in_query]),
        f"        path = {_build_path(path, in_path)}",
        *textwrap.wrap(
            f"query: dict[str, object] = {{{query}}}",
            _WIDTH,
            initial_indent=" " * 8,
            subsequent_indent=" " * 12,
        ),
        f"        return cast({answer}, self.fetch(path, query))",
    ]
    return "\n".join(lines)


def _name_method(operation: _Schema) -> str:
    return re.sub("(?<!^)([A-Z])", r"_\1", operation["operationId"]).lower()


def _build_path(path: str, in_path: Sequence[_Schema]) -> str:
    for parameter in in_path:
        name = parameter["name"]
        path = path.replace(f"{{{name}}}", f"{{self.quote({name})}}")
    return f'f"{path}"' if in_path else f'"{path}"'


def _document(summary: str, parameters: Sequence[_Schema]) -> list[str]:
    described = [
        line
        for parameter in parameters
        for line in textwrap.wrap(
            f"{parameter['name']}: {parameter.get('description') or 'As in the address.'}",
            _WIDTH,
            initial_indent=" " * 12,
            subsequent_indent=" " * 16,
        )
    ]
    if not described:
        return _quote_text(summary, 8)
    opened = _quote_text(summary, 8)
    opened[-1] = opened[-1].removesuffix('"""')
    return [*opened, "", "        Args:", *(d.replace("\\", "") for d in described), '        """']


def _quote_text(text: str, indent: int) -> list[str]:
    """Wrap a text as a docstring."""
    wrapped = textwrap.wrap(f'"""{text or "A part of an answer."}"""', _WIDTH - indent)
    return [" " * indent + line for line in wrapped]
