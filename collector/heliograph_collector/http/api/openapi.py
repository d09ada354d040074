"""`/openapi.json`: built from the published types and the declarations that parse the queries."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

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
from heliograph_collector.http.api import imported as imported_api
from heliograph_collector.http.api.openapi_document import (
    ApiInfo,
    ApiServer,
    Components,
    Contact,
    License,
    MediaType,
    OpenApiDocument,
    OperationObject,
    ParameterObject,
    PathItem,
    RequestBody,
    ResponseObject,
    SchemaReference,
    SecurityScheme,
)
from heliograph_collector.http.api.parameter_types import Parameter, ValueSchema
from heliograph_collector.http.api.parameters import (
    COUNTRY_PAGE_PARAMETERS,
    INCIDENT_PAGE_PARAMETERS,
    LANG,
    QUERY,
)
from heliograph_collector.http.api.schemas import REF_PREFIX, build_schemas, schema_name
from heliograph_collector.http.backend import Publisher
from heliograph_collector.http.pages import archive_page, front_page
from heliograph_collector.incidents.published import feed, incident
from heliograph_collector.incidents.published.log import LogDocument
from heliograph_collector.model.published import files, imported, measurement, status

Content = dict[str, MediaType]
_TEXT = ValueSchema(type="string")
_PROTOBUF: Content = {"application/x-protobuf": MediaType()}


def build_document(publisher: Publisher | None = None) -> OpenApiDocument:
    """Build the document; `publisher` names the license of the data and whom to ask."""
    publisher = publisher or Publisher()
    paths = {path: PathItem(get=operation) for path, operation in _list_operations().items()}
    paths["/v1/envelopes"] = PathItem(post=_submit_envelope())
    return OpenApiDocument(
        openapi="3.1.0",
        info=ApiInfo(
            title="Heliograph",
            version=__version__,
            description="What is cut, where, since when, how, and how sure that is.",
            license=License(name=publisher.license, identifier=publisher.license),
            terms_of_service="/about#license",
            contact=_build_contact(publisher),
        ),
        servers=(ApiServer(url="/", description="The collector that serves this document."),),
        paths=paths,
        components=Components(
            schemas=build_schemas(),
            security_schemes={
                "password": SecurityScheme(type="http", scheme="basic"),
                "bearer": SecurityScheme(type="http", scheme="bearer"),
            },
        ),
    )


def _build_contact(publisher: Publisher) -> Contact | None:
    contact = publisher.contact
    if not publisher.operator and not contact:
        return None
    is_mail = contact.startswith("mailto:")
    return Contact(
        name=publisher.operator,
        url="" if is_mail else contact,
        email=contact.removeprefix("mailto:").partition("?")[0] if is_mail else "",
    )


def _list_operations() -> dict[str, OperationObject]:
    return _list_public_data() | _list_feeds_and_files() | _list_operator_data() | _list_pages()


def _list_public_data() -> dict[str, OperationObject]:
    return {
        "/api/v1/status": _get(
            "getStatus", "The world now.", _json(status.StatusDocument), timeline.STATUS_PARAMETERS
        ),
        "/api/v1/timeline": _get(
            "getTimeline",
            "One row per bin, also when nobody measured.",
            _json(status.TimelineDocument),
            timeline.TIMELINE_PARAMETERS,
        ),
        "/api/v1/aggregation": _get(
            "getAggregation",
            "Measurements counted in OONI's words, by whole days.",
            _json(status.AggregationDocument) | {aggregation.CSV: MediaType(schema=_TEXT)},
            aggregation.AGGREGATION,
            responses={"503": _refusal("Too many ask, or the store is away.")},
        ),
        "/api/v1/incidents": _get(
            "listIncidents",
            "What was cut, newest start first.",
            _json(incident.IncidentsDocument),
            incidents.LIST_PARAMETERS,
        ),
        "/api/v1/incidents/{id}": _get_incident(
            "getIncident", "One incident.", _json(incident.IncidentDocument), ()
        ),
        "/api/v1/log": _get(
            "getLog",
            "The signed alert log; `log verify` proves it.",
            _json(LogDocument) | {log.MEDIA: MediaType(schema=_TEXT)},
            log.LOG_PARAMETERS,
        ),
        "/api/v1/coverage": _get(
            "getCoverage",
            "Where and when we were blind, and why.",
            _json(status.BlindnessDocument),
            coverage.COVERAGE,
        ),
        "/api/v1/imported": _get(
            "getImported",
            "What other projects measured, by day, under their own licenses.",
            _json(imported.ImportedDocument),
            imported_api.IMPORTED,
            responses={"503": _refusal("The file cannot be read.")},
        ),
        "/api/v1/stream": _get(
            "streamEvents",
            "Server-Sent Events: cell, coverage, incident; resync says that something was missed.",
            _media("text/event-stream"),
            more=(ParameterObject(name="Last-Event-ID", where="header", schema=_TEXT),),
            responses={"503": _refusal("Too many readers.")},
        ),
    }


def _list_feeds_and_files() -> dict[str, OperationObject]:
    return {
        "/feeds/incidents.atom": _get(
            "getAtomFeed",
            "Incidents as Atom.",
            _media("application/atom+xml"),
            incidents.FEED_PARAMETERS,
        ),
        "/feeds/incidents.json": _get(
            "getJsonFeed",
            "Incidents as JSON Feed.",
            {"application/feed+json": MediaType(schema=_reference(feed.JsonFeedDocument))},
            incidents.FEED_PARAMETERS,
        ),
        "/dumps/": _get(
            "showDumps",
            "The daily files, for people.",
            _media("text/html") | _json(files.DumpsDocument),
        ),
        "/dumps/index.json": _get("listDumps", "The daily files.", _json(files.DumpsDocument)),
        "/dumps/README.json": _get(
            "getDumpDictionary", "What they hold.", _json(files.DictionaryDocument)
        ),
        "/dumps/{name}": _get(
            "getDump",
            "A day's cells; answers ranges.",
            _media(dumps.MEDIA),
            more=(_path("name", "^cells-[0-9]{4}-[0-9]{2}-[0-9]{2}[.]parquet$"),),
            responses={
                "206": ResponseObject(description="A part.", content=_media(dumps.MEDIA)),
                "404": _refusal("No such file; index.json lists them."),
                "416": ResponseObject(description="No such part."),
            },
        ),
        "/openapi.json": _get("getOpenApi", "This document.", _media("application/json")),
    }


def _list_operator_data() -> dict[str, OperationObject]:
    return {
        "/api/v1/measurements": _get(
            "listMeasurements",
            "The evidence.",
            _json(measurement.MeasurementsDocument),
            measurements.LIST_PARAMETERS,
            is_operator=True,
        ),
        "/api/v1/measurements/{id}": _get(
            "getMeasurement",
            "One measurement.",
            _json(measurement.MeasurementDocument),
            measurements.ITEM_PARAMETERS,
            more=(_path("id", "^[0-9a-f]{32}$"),),
            responses={"404": _refusal("Not known, or no longer.")},
            is_operator=True,
        ),
        "/.well-known/security.txt": _get(
            "getSecurityTxt", "Whom to tell of a vulnerability.", _media("text/plain")
        ),
        "/robots.txt": _get("getRobotsTxt", "What crawlers may read.", _media("text/plain")),
        "/sitemap.xml": _get("getSitemap", "Pages for crawlers.", _media("application/xml")),
        "/favicon.ico": _get(
            "getIcon",
            "The icon.",
            {},
            responses={"302": ResponseObject(description="Its address.")},
        ),
        "/healthz": _get("getHealth", "Alive.", _json(files.AliveDocument)),
        "/readyz": _get(
            "getReadiness",
            "Ready, or why not.",
            _json(files.ReadyDocument),
            responses={
                "503": ResponseObject(description="Not ready.", content=_json(files.ReadyDocument))
            },
        ),
        "/metrics": _get("getMetrics", "Prometheus text.", _media("text/plain")),
    }


def _list_pages() -> dict[str, OperationObject]:
    html = _media("text/html")
    return {
        "/": _get("showFrontPage", "The page.", html, front_page.PAGE_PARAMETERS),
        "/about": _get(
            "showAbout",
            "Who runs it, the license of its data, privacy, how to volunteer.",
            html,
            (LANG,),
        ),
        "/methodology": _get(
            "showMethodology",
            "How it is known.",
            html,
            (LANG,),
            responses={"404": _refusal("This collector does not tell.")},
        ),
        "/countries/{code}": _get(
            "showCountry",
            "The page of a country.",
            html,
            COUNTRY_PAGE_PARAMETERS,
            more=(_path("code", "^[A-Za-z]{2}$"),),
            responses={
                "404": ResponseObject(description="No country.", content=html),
                "503": ResponseObject(description="Store away.", content=html),
            },
        ),
        "/incidents": _get(
            "showArchive",
            "All incidents, with filters and any dates.",
            html,
            archive_page.PAGE_PARAMETERS,
        ),
        "/search": _get("search", "Pages by name or code.", html, (QUERY, LANG)),
        "/services/{id}": _get_subject(
            "showService", "A service across countries.", _path("id", "^[!-.0-~]{1,512}$")
        ),
        "/networks/{asn}": _get_subject(
            "showNetwork", "A network.", _path("asn", "^[Aa][Ss][0-9]{1,10}$")
        ),
        "/countries/{code}/{region}": _get_subject(
            "showRegion",
            "A region of a country.",
            _path("code", "^[A-Za-z]{2}$"),
            _path("region", "^[A-Za-z0-9-]{1,6}$"),
        ),
        "/incidents/{id}": _get_incident(
            "showIncident", "The page of one.", html, INCIDENT_PAGE_PARAMETERS
        ),
        "/incidents/{id}/embed": _get_incident(
            "embedIncident", "One incident, for other pages.", html
        ),
        "/incidents/{id}/share.svg": _get_incident(
            "getIncidentSvg", "Its picture.", _media("image/svg+xml")
        ),
        "/incidents/{id}/share.png": _get_incident(
            "getIncidentPng", "Its picture.", _media("image/png")
        ),
        "/docs": _get("showDocs", "This document for people.", html),
    }


def _get(
    operation_id: str,
    summary: str,
    content: Content,
    parameters: Sequence[Parameter[object]] = (),
    *,
    more: tuple[ParameterObject, ...] = (),
    responses: Mapping[str, ResponseObject] | None = None,
    is_operator: bool = False,
) -> OperationObject:
    """Build a GET operation; `more` are parameters outside the query."""
    all_responses = {
        "200": ResponseObject(description="OK", content=content),
        "400": _refusal("Names the parameter and what would do."),
        "404": _refusal("Unknown country, region or service; names what would do."),
        "429": _refusal("Your network asks too often; Retry-After says when to come again."),
        "503": _refusal("The store does not answer just now, or too many ask."),
        **({"401": _refusal("For the operator only.")} if is_operator else {}),
        **(responses or {}),
    }
    return OperationObject(
        operation_id=operation_id,
        summary=summary,
        parameters=(*map(_build_parameter, parameters), *more),
        responses=all_responses,
        security=({"password": ()}, {"bearer": ()}) if is_operator else (),
    )


def _get_subject(
    operation_id: str, summary: str, *path_parameters: ParameterObject
) -> OperationObject:
    html = _media("text/html")
    return _get(
        operation_id,
        summary,
        html,
        (LANG,),
        more=path_parameters,
        responses={
            "308": ResponseObject(description="Its address."),
            "503": ResponseObject(description="Store away.", content=html),
        },
    )


def _get_incident(
    operation_id: str,
    summary: str,
    content: Content,
    parameters: Sequence[Parameter[object]] = (LANG,),
) -> OperationObject:
    missing = _refusal("Not known, or of too few.")
    if "text/html" in content:
        missing.content["text/html"] = MediaType()
    return _get(
        operation_id,
        summary,
        content,
        parameters,
        more=(_path("id", "^[A-Za-z0-9_-]{1,64}$"),),
        responses={"404": missing},
    )


def _submit_envelope() -> OperationObject:
    return OperationObject(
        operation_id="submitEnvelope",
        summary="One sealed heliograph.v1.Envelope; answers a heliograph.v1.SubmitResponse.",
        request_body=RequestBody(required=True, content=_PROTOBUF),
        responses={
            "200": ResponseObject(description="Stored, or stored before.", content=_PROTOBUF),
            "422": ResponseObject(
                description="Refused for good, with the reason.", content=_PROTOBUF
            ),
            "503": ResponseObject(description="Try again later.", content=_PROTOBUF),
            "400": _refusal("No body."),
            "408": _refusal("Too slow."),
            "413": _refusal("Too large."),
        },
    )


def _build_parameter(p: Parameter[object]) -> ParameterObject:
    return ParameterObject(
        name=p.name,
        where="query",
        description=f"{p.about} Allowed: {p.allowed}.",
        schema=p.schema,
        example=p.example,
    )


def _path(name: str, pattern: str) -> ParameterObject:
    schema = ValueSchema(type="string", pattern=pattern)
    return ParameterObject(name=name, where="path", required=True, schema=schema)


def _reference(document: type[Struct]) -> SchemaReference:
    return SchemaReference(f"{REF_PREFIX}{schema_name(document)}")


def _json(document: type[Struct]) -> Content:
    return {"application/json": MediaType(schema=_reference(document))}


def _media(media: str) -> Content:
    return {media: MediaType()}


def _refusal(description: str) -> ResponseObject:
    problem = MediaType(schema=_reference(files.ProblemDocument))
    return ResponseObject(description=description, content={"application/problem+json": problem})
