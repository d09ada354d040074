"""JSON Schemas of the published documents (OpenAPI 3.1), derived from their types."""

from functools import cache

import msgspec
from msgspec import Raw

from heliograph_collector.incidents.published import feed, incident, log
from heliograph_collector.model.published import files, history, imported, measurement, status

REF_PREFIX = "#/components/schemas/"
SUFFIX = "Document"
PUBLISHED_TYPES = (
    files.AliveDocument,
    files.DictionaryDocument,
    files.DumpsDocument,
    feed.JsonFeedDocument,
    files.ProblemDocument,
    files.ReadyDocument,
    history.HistoryDocument,
    imported.ImportedDocument,
    incident.IncidentDocument,
    incident.IncidentsDocument,
    log.DetectorBody,
    log.LogDocument,
    log.OperatorBody,
    measurement.MeasurementDocument,
    measurement.MeasurementsDocument,
    status.AggregationDocument,
    status.BlindnessDocument,
    status.CoverageDocument,
    status.GapDocument,
    status.ServiceChange,
    status.StatusDocument,
    status.TimelineDocument,
)


def schema_name(document: type[msgspec.Struct]) -> str:
    """Return the name of a type's schema, without the suffix of the class."""
    return document.__name__.removesuffix(SUFFIX)


@cache
def build_schemas() -> dict[str, Raw]:
    """Build the encoded schemas of all published types by name."""
    _, components = msgspec.json.schema_components(
        PUBLISHED_TYPES, ref_template=f"{REF_PREFIX}{{name}}"
    )
    return {name.removesuffix(SUFFIX): _encode(schema) for name, schema in components.items()}


def _encode(schema: object) -> Raw:
    """Encode a schema, with references and titles by the names of the schemas."""
    return Raw(msgspec.json.encode(schema).replace(f'{SUFFIX}"'.encode(), b'"'))
