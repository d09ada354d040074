"""Operations of the OpenAPI document, with the refusals that all of them share."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from msgspec import Struct

from heliograph_collector.http.api.openapi_document import (
    MediaType,
    OperationObject,
    ParameterObject,
    ResponseObject,
    SchemaReference,
)
from heliograph_collector.http.api.parameter_types import Parameter, ValueSchema
from heliograph_collector.http.api.parameters import FIRST_DAY, LANG, LAST_DAY
from heliograph_collector.http.api.schemas import REF_PREFIX, schema_name
from heliograph_collector.model.published import files

Content = dict[str, MediaType]

Security: TypeAlias = tuple[dict[str, tuple[str, ...]], ...]
OPERATOR: Security = ({"password": ()}, {"bearer": ()})
PARTNERS: Security = ({"bearer": ()},)


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
