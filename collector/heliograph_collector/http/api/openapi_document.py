"""Types of an OpenAPI 3.1 document, as far as we use it, and its operations.

https://spec.openapis.org/oas/v3.1.0 describes the fields. All operations share some refusals.
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from msgspec import Raw, Struct

from heliograph_collector.http.api.parameter_types import Parameter, ValueSchema
from heliograph_collector.http.api.parameters import FIRST_DAY, LANG, LAST_DAY
from heliograph_collector.http.api.schemas import REF_PREFIX, schema_name
from heliograph_collector.model.published import files

Security: TypeAlias = tuple[dict[str, tuple[str, ...]], ...]
OPERATOR: Security = ({"password": ()}, {"bearer": ()})
PARTNERS: Security = ({"bearer": ()},)


class SchemaReference(Struct, frozen=True, rename={"ref": "$ref"}):
    """A reference to one of the components."""

    ref: str


class MediaType(Struct, frozen=True, kw_only=True, omit_defaults=True):
    schema: SchemaReference | ValueSchema | None = None


Content = dict[str, MediaType]


class ResponseObject(Struct, frozen=True, kw_only=True, omit_defaults=True):
    description: str
    content: dict[str, MediaType] = {}


class ParameterObject(
    Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"where": "in"}
):
    """A parameter in a query, a path or a header."""

    name: str
    where: str
    required: bool = False
    description: str = ""
    schema: ValueSchema
    example: str = ""


class RequestBody(Struct, frozen=True, kw_only=True):
    required: bool
    content: dict[str, MediaType]


class OperationObject(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """One method of one path."""

    operation_id: str
    summary: str
    parameters: tuple[ParameterObject, ...] = ()
    request_body: RequestBody | None = None
    responses: dict[str, ResponseObject]
    security: tuple[dict[str, tuple[str, ...]], ...] = ()


class PathItem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The methods of one path."""

    get: OperationObject | None = None
    post: OperationObject | None = None


class License(Struct, frozen=True, kw_only=True):
    name: str
    identifier: str


class Contact(Struct, frozen=True, kw_only=True, omit_defaults=True):
    name: str = ""
    url: str = ""
    email: str = ""


class ApiInfo(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    title: str
    version: str
    description: str
    license: License
    terms_of_service: str = ""
    contact: Contact | None = None


class ApiServer(Struct, frozen=True, kw_only=True):
    url: str
    description: str


class SecurityScheme(Struct, frozen=True, kw_only=True):
    type: str
    scheme: str


class Components(Struct, frozen=True, kw_only=True, rename="camel"):
    schemas: dict[str, Raw]
    security_schemes: dict[str, SecurityScheme]


class OpenApiDocument(Struct, frozen=True, kw_only=True):
    """The description of the HTTP API."""

    openapi: str
    info: ApiInfo
    servers: tuple[ApiServer, ...]
    paths: dict[str, PathItem]
    components: Components


def get(
    operation_id: str,
    summary: str,
    content: Content,
    parameters: Sequence[Parameter[object]] = (),
    *,
    more: tuple[ParameterObject, ...] = (),
    responses: Mapping[str, ResponseObject] | None = None,
    security: Security = (),
) -> OperationObject:
    """Build a GET operation; `more` are parameters outside the query."""
    all_responses = {
        "200": ResponseObject(description="OK", content=content),
        "400": refusal("Names the parameter and what would do."),
        "404": refusal("Unknown country, region, network or service; names what would do."),
        "429": refusal("Your network asks too often; Retry-After says when to come again."),
        "503": refusal("The store does not answer just now, or too many ask."),
        **({"401": refusal("For the operator only.")} if security else {}),
        **(responses or {}),
    }
    return OperationObject(
        operation_id=operation_id,
        summary=summary,
        parameters=(*map(_build_parameter, parameters), *more),
        responses=all_responses,
        security=security,
    )


def get_subject(
    operation_id: str, summary: str, *path_parameters: ParameterObject
) -> OperationObject:
    html = media_content("text/html")
    return get(
        operation_id,
        summary,
        html,
        (FIRST_DAY, LAST_DAY, LANG),
        more=path_parameters,
        responses={
            "308": ResponseObject(description="Its address."),
            "503": ResponseObject(description="Store away.", content=html),
        },
    )


def get_incident(
    operation_id: str,
    summary: str,
    content: Content,
    parameters: Sequence[Parameter[object]] = (LANG,),
) -> OperationObject:
    missing = refusal("Not known, or of too few.")
    if "text/html" in content:
        missing.content["text/html"] = MediaType()
    return get(
        operation_id,
        summary,
        content,
        parameters,
        more=(path_parameter("id", "^[A-Za-z0-9_-]{1,64}$"),),
        responses={"404": missing},
    )


def _build_parameter(p: Parameter[object]) -> ParameterObject:
    return ParameterObject(
        name=p.name,
        where="query",
        description=f"{p.about} Allowed: {p.allowed}.",
        schema=p.schema,
        example=p.example,
    )


def path_parameter(name: str, pattern: str) -> ParameterObject:
    schema = ValueSchema(type="string", pattern=pattern)
    return ParameterObject(name=name, where="path", required=True, schema=schema)


def reference(document: type[Struct]) -> SchemaReference:
    return SchemaReference(f"{REF_PREFIX}{schema_name(document)}")


def json_content(document: type[Struct]) -> Content:
    return {"application/json": MediaType(schema=reference(document))}


def media_content(media: str) -> Content:
    return {media: MediaType()}


def refusal(description: str) -> ResponseObject:
    problem = MediaType(schema=reference(files.ProblemDocument))
    return ResponseObject(description=description, content={"application/problem+json": problem})
