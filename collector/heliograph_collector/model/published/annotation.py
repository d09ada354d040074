"""Annotations of incidents by outside sources, as published and as stored."""

from typing import Annotated

from msgspec import Meta, Struct

from heliograph_collector.model.published.fields import Timestamp


class AnnotatedEntity(Struct, frozen=True, kw_only=True):
    """A country, or a network of that country."""

    country: str
    asn: int


class ComparedWindow(Struct, frozen=True, kw_only=True):
    """The time that was compared."""

    since: Timestamp
    until: Timestamp


class AnnotationDocument(Struct, frozen=True, kw_only=True):
    """The comparison of an incident with one signal of an outside source."""

    source: Annotated[str, Meta(extra_json_schema={"enum": ["ioda", "radar", "ris"]})]
    signal: str
    entity: AnnotatedEntity
    said: Timestamp
    window: ComparedWindow
    what: Annotated[
        str, Meta(extra_json_schema={"enum": ["agrees", "disagrees", "nothing_to_say"]})
    ]
    why: str
    figures: Annotated[dict[str, float], Meta(description="Shares of the expected value, by name.")]
    url: str
    attribution: Annotated[str, Meta(description="To be shown with the annotation.")]
