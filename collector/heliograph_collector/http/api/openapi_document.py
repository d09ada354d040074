"""Types of an OpenAPI 3.1 document, as far as we write it.

https://spec.openapis.org/oas/v3.1.0 describes the fields.
"""

from msgspec import Raw, Struct

from heliograph_collector.http.api.parameter_types import ValueSchema


class SchemaReference(Struct, frozen=True, rename={"ref": "$ref"}):
    """A reference to one of the components."""

    ref: str


class MediaType(Struct, frozen=True, kw_only=True, omit_defaults=True):
    schema: SchemaReference | ValueSchema | None = None


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
