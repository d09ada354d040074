"""Build `/openapi.json` from the published types and the queries' declarations."""

from heliograph import __version__
from heliograph_collector.http.api import (
    aggregation,
    bulk,
    coverage,
    dumps,
    incidents,
    log,
    measurements,
    stream,
    timeline,
)
from heliograph_collector.http.api import feeds as feed_texts
from heliograph_collector.http.api import history as history_api
from heliograph_collector.http.api import imported as imported_api
from heliograph_collector.http.api.openapi_document import (
    OPERATOR,
    PARTNERS,
    ApiInfo,
    ApiServer,
    Components,
    Contact,
    Content,
    License,
    MediaType,
    OpenApiDocument,
    OperationObject,
    ParameterObject,
    PathItem,
    RequestBody,
    ResponseObject,
    SecurityScheme,
    get,
    get_incident,
    get_subject,
    json_content,
    media_content,
    path_parameter,
    reference,
    refusal,
)
from heliograph_collector.http.api.parameter_types import ValueSchema
from heliograph_collector.http.api.parameters import (
    COUNTRY_PAGE_PARAMETERS,
    FIRST_DAY,
    INCIDENT_PAGE_PARAMETERS,
    LANG,
    LAST_DAY,
    QUERY,
    SERVICE,
)
from heliograph_collector.http.api.schemas import build_schemas
from heliograph_collector.http.backend import Publisher
from heliograph_collector.http.pages import archive_page, front_page
from heliograph_collector.incidents.published import feed, incident
from heliograph_collector.incidents.published.log import LogDocument
from heliograph_collector.model.published import files, history, imported, measurement, status

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
    return (
        _list_public_data()
        | _list_feeds_and_files()
        | _list_operator_data()
        | _list_pages()
        | _list_archive()
    )


def _list_public_data() -> dict[str, OperationObject]:
    return {
        "/api/v1/status": get(
            "getStatus",
            "The world now.",
            json_content(status.StatusDocument),
            timeline.STATUS_PARAMETERS,
        ),
        "/api/v1/timeline": get(
            "getTimeline",
            "One row per bin, also when nobody measured.",
            json_content(status.TimelineDocument),
            timeline.TIMELINE_PARAMETERS,
        ),
        "/api/v1/aggregation": get(
            "getAggregation",
            "Measurements counted in OONI's words, by whole days.",
            json_content(status.AggregationDocument) | {aggregation.CSV: MediaType(schema=_TEXT)},
            aggregation.AGGREGATION,
            responses={"503": refusal("Too many ask, or the store is away.")},
        ),
        "/api/v1/incidents": get(
            "listIncidents",
            "What was cut, newest start first.",
            json_content(incident.IncidentsDocument) | {aggregation.CSV: MediaType(schema=_TEXT)},
            incidents.LIST_PARAMETERS,
            responses={"503": refusal("Too many ask for tables.")},
        ),
        "/api/v1/incidents/{id}": get_incident(
            "getIncident", "One incident.", json_content(incident.IncidentDocument)
        ),
        "/api/v1/log": get(
            "getLog",
            "The signed alert log; `log verify` proves it.",
            json_content(LogDocument) | {log.MEDIA: MediaType(schema=_TEXT)},
            log.LOG_PARAMETERS,
        ),
        "/api/v1/coverage": get(
            "getCoverage",
            "Where and when we were blind, and why.",
            json_content(status.BlindnessDocument),
            coverage.COVERAGE,
        ),
        "/api/v1/imported": get(
            "getImported",
            "What other projects measured, by day, under their own licenses.",
            json_content(imported.ImportedDocument) | {aggregation.CSV: MediaType(schema=_TEXT)},
            imported_api.IMPORTED,
            responses={"503": refusal("The file cannot be read.")},
        ),
        "/api/v1/stream": get(
            "streamEvents",
            "Server-Sent Events: cell, coverage, incident; resync says that something was missed.",
            media_content("text/event-stream"),
            stream.STREAM_PARAMETERS,
            more=(ParameterObject(name="Last-Event-ID", where="header", schema=_TEXT),),
            responses={"503": refusal("Too many readers.")},
        ),
    }


def _list_feeds_and_files() -> dict[str, OperationObject]:
    return {
        "/feeds/incidents.atom": get(
            "getAtomFeed",
            "Incidents as Atom.",
            media_content("application/atom+xml"),
            incidents.FEED_PARAMETERS,
        ),
        "/feeds/cap.atom": get(
            "getCapFeed",
            "Incidents as messages of CAP 1.2, listed in Atom.",
            media_content("application/atom+xml"),
            incidents.FEED_PARAMETERS,
        ),
        "/incidents/{id}/cap.xml": get_incident(
            "getCapMessage",
            "The newest message of one, as CAP 1.2.",
            media_content(feed_texts.CAP_MEDIA),
            (),
        ),
        "/feeds/incidents.json": get(
            "getJsonFeed",
            "Incidents as JSON Feed.",
            {"application/feed+json": MediaType(schema=reference(feed.JsonFeedDocument))},
            incidents.FEED_PARAMETERS,
        ),
        "/dumps/": get(
            "showDumps",
            "The daily files, for people.",
            media_content("text/html") | json_content(files.DumpsDocument),
        ),
        "/dumps/index.json": get(
            "listDumps", "The daily files.", json_content(files.DumpsDocument)
        ),
        "/dumps/README.json": get(
            "getDumpDictionary", "What they hold.", json_content(files.DictionaryDocument)
        ),
        "/dumps/{name}": get(
            "getDump",
            "A day's cells; answers ranges.",
            media_content(dumps.MEDIA),
            more=(path_parameter("name", "^cells-[0-9]{4}-[0-9]{2}-[0-9]{2}[.]parquet$"),),
            responses={
                "206": ResponseObject(description="A part.", content=media_content(dumps.MEDIA)),
                "404": refusal("No such file; index.json lists them."),
                "416": ResponseObject(description="No such part."),
            },
        ),
        "/client.py": get(
            "getClient", "A typed Python client of this API.", media_content("text/x-python")
        ),
        "/openapi.json": get("getOpenApi", "This document.", media_content("application/json")),
    }


def _list_operator_data() -> dict[str, OperationObject]:
    return {
        "/api/v1/measurements": get(
            "listMeasurements",
            "The evidence.",
            json_content(measurement.MeasurementsDocument),
            measurements.LIST_PARAMETERS,
            security=OPERATOR,
        ),
        "/api/v1/measurements/{id}": get(
            "getMeasurement",
            "One measurement.",
            json_content(measurement.MeasurementDocument),
            measurements.ITEM_PARAMETERS,
            more=(path_parameter("id", "^[0-9a-f]{32}$"),),
            responses={"404": refusal("Not known, or no longer.")},
            security=OPERATOR,
        ),
        "/api/v1/bulk/{day}": get(
            "getBulk",
            "A past day's measurements as OONI's JSON lines, for partners with a key: those of "
            "networks and five minutes whose cells are public.",
            media_content(bulk.MEDIA),
            bulk.BULK_PARAMETERS,
            more=(path_parameter("day", bulk.DAY_PATTERN),),
            responses={
                "401": refusal("For partners only."),
                "404": refusal("Not a day that is over and still kept, or no country."),
                "429": refusal("Another day is on its way to this key."),
            },
            security=PARTNERS,
        ),
        "/.well-known/security.txt": get(
            "getSecurityTxt", "Whom to tell of a vulnerability.", media_content("text/plain")
        ),
        "/robots.txt": get("getRobotsTxt", "What crawlers may read.", media_content("text/plain")),
        "/sitemap.xml": get("getSitemap", "Pages for crawlers.", media_content("application/xml")),
        "/favicon.ico": get(
            "getIcon",
            "The icon.",
            {},
            responses={"302": ResponseObject(description="Its address.")},
        ),
        "/healthz": get("getHealth", "Alive.", json_content(files.AliveDocument)),
        "/readyz": get(
            "getReadiness",
            "Ready, or why not.",
            json_content(files.ReadyDocument),
            responses={
                "503": ResponseObject(
                    description="Not ready.", content=json_content(files.ReadyDocument)
                )
            },
        ),
        "/metrics": get("getMetrics", "Prometheus text.", media_content("text/plain")),
    }


def _list_pages() -> dict[str, OperationObject]:
    html = media_content("text/html")
    return {
        "/": get("showFrontPage", "The page.", html, front_page.PAGE_PARAMETERS),
        "/about": get(
            "showAbout",
            "Who runs it, the license of its data, privacy, how to volunteer.",
            html,
            (LANG,),
        ),
        "/methodology": get(
            "showMethodology",
            "How it is known.",
            html,
            (LANG,),
            responses={"404": refusal("This collector does not tell.")},
        ),
        "/countries/{code}": get(
            "showCountry",
            "The page of a country; with since or until that of these days.",
            html,
            (*COUNTRY_PAGE_PARAMETERS, FIRST_DAY, SERVICE),
            more=(path_parameter("code", "^[A-Za-z]{2}$"),),
            responses={
                "404": ResponseObject(description="No country.", content=html),
                "503": ResponseObject(description="Store away.", content=html),
            },
        ),
        "/incidents/{id}": get_incident(
            "showIncident", "The page of one.", html, INCIDENT_PAGE_PARAMETERS
        ),
        "/incidents/{id}/embed": get_incident(
            "embedIncident", "One incident, for other pages.", html
        ),
        "/incidents/{id}/share.svg": get_incident(
            "getIncidentSvg", "Its picture.", media_content("image/svg+xml")
        ),
        "/incidents/{id}/share.png": get_incident(
            "getIncidentPng", "Its picture.", media_content("image/png")
        ),
        **_list_charts("/charts/history", "History", "The chart of chosen days"),
        **_list_charts("/charts/imported", "Imported", "The same of what other projects measured"),
        "/docs": get("showDocs", "This document for people.", html),
    }


def _list_charts(path: str, name: str, summary: str) -> dict[str, OperationObject]:
    parameters = history_api.CHART_PARAMETERS
    picture = "The same as a picture."
    return {
        path: get(
            f"embed{name}", f"{summary}, for other pages.", media_content("text/html"), parameters
        ),
        f"{path}.svg": get(f"get{name}Svg", picture, media_content("image/svg+xml"), parameters),
        f"{path}.png": get(f"get{name}Png", picture, media_content("image/png"), parameters),
    }


def _list_archive() -> dict[str, OperationObject]:
    html = media_content("text/html")
    return {
        "/api/v1/history": get(
            "getHistory",
            "Past days of a country, region, network or service, as runs of a state.",
            json_content(history.HistoryDocument) | {aggregation.CSV: MediaType(schema=_TEXT)},
            history_api.HISTORY,
        ),
        "/incidents": get(
            "showArchive",
            "All incidents, with filters and any dates.",
            html,
            archive_page.PAGE_PARAMETERS,
        ),
        "/search": get(
            "search", "Pages by name or code.", html, (QUERY, FIRST_DAY, LAST_DAY, LANG)
        ),
        "/services/{id}": get_subject(
            "showService", "A service across countries.", path_parameter("id", "^[!-.0-~]{1,512}$")
        ),
        "/networks/{asn}": get_subject(
            "showNetwork", "A network.", path_parameter("asn", "^[Aa][Ss][0-9]{1,10}$")
        ),
        "/countries/{code}/{region}": get_subject(
            "showRegion",
            "A region of a country.",
            path_parameter("code", "^[A-Za-z]{2}$"),
            path_parameter("region", "^[A-Za-z0-9-]{1,6}$"),
        ),
    }


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
            "400": refusal("No body."),
            "408": refusal("Too slow."),
            "413": refusal("Too large."),
        },
    )
