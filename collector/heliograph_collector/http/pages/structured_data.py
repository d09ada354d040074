"""Describe a page for search engines: Dataset and NewsArticle of schema.org."""

import msgspec
from markupsafe import Markup
from msgspec import Struct

from heliograph_collector.http.backend import Publisher
from heliograph_collector.http.incident_document import OPEN_STATES
from heliograph_collector.incidents.published.incident import IncidentDocument

_SCHEMA = "https://schema.org"


class Organization(Struct, frozen=True, kw_only=True, tag_field="@type", tag="Organization"):
    name: str
    url: str


class DataDownload(
    Struct, frozen=True, kw_only=True, tag_field="@type", tag="DataDownload", rename="camel"
):
    encoding_format: str
    content_url: str


class Dataset(Struct, frozen=True, kw_only=True, tag_field="@type", tag="Dataset", rename="camel"):
    context: str = msgspec.field(name="@context", default=_SCHEMA)
    name: str
    description: str
    url: str
    license: str
    is_accessible_for_free: bool = True
    creator: Organization
    measurement_technique: str
    distribution: tuple[DataDownload, ...]
    temporal_coverage: str


class Place(Struct, frozen=True, kw_only=True, tag_field="@type", tag="Place"):
    name: str


class Event(
    Struct, frozen=True, kw_only=True, tag_field="@type", tag="Event", rename="camel",
    omit_defaults=True,
):  # fmt: skip
    name: str
    start_date: str
    end_date: str = ""
    location: Place


class NewsArticle(
    Struct, frozen=True, kw_only=True, tag_field="@type", tag="NewsArticle", rename="camel"
):
    context: str = msgspec.field(name="@context", default=_SCHEMA)
    headline: str
    url: str
    image: str
    date_published: str
    date_modified: str
    in_language: str
    license: str
    author: Organization
    about: Event


def build_organization(publisher: Publisher, base: str) -> Organization:
    return Organization(name=publisher.operator or "Heliograph", url=f"{base}/about")


def describe_dataset(publisher: Publisher, base: str, days: tuple[str, str] | None) -> Markup:
    """Describe the daily files; `days` are first and last day, None without files."""
    downloads = (
        DataDownload(encoding_format="application/json", content_url=f"{base}/dumps/index.json"),
        DataDownload(encoding_format="application/json", content_url=f"{base}/api/v1/timeline"),
    )
    dataset = Dataset(
        name="Heliograph: daily cells",
        description="Whether services work, in steps of five minutes, by country, region, network "
        "and type of access, as measured by volunteers' devices. Groups of few are not shown.",
        url=f"{base}/dumps/",
        license=publisher.license_url,
        creator=build_organization(publisher, base),
        measurement_technique=f"{base}/methodology",
        distribution=downloads,
        temporal_coverage="/".join(days) if days else "../..",
    )
    return _embed(dataset)


def describe_article(
    incident: IncidentDocument,
    sentence: str,
    place: str,
    publisher: Publisher,
    base: str,
    lang: str,
) -> Markup:
    """Describe the page of an incident, which is an event."""
    ended = incident.ended.latest if incident.ended else ""
    article = NewsArticle(
        headline=sentence,
        url=f"{base}{incident.links.page}",
        image=f"{base}{incident.links.page}/share.png?lang={lang}",
        date_published=incident.alerts[0].at,
        date_modified=incident.updated,
        in_language=lang,
        license=publisher.license_url,
        author=build_organization(publisher, base),
        about=Event(
            name=sentence,
            start_date=incident.started.latest,
            end_date="" if incident.state in OPEN_STATES else ended,
            location=Place(name=place),
        ),
    )
    return _embed(article)


def _embed(document: Struct) -> Markup:
    """Return a data block: nothing runs, and no text can end the element."""
    encoded = msgspec.json.encode(document).decode().replace("<", "\\u003c")
    return Markup('<script type="application/ld+json">') + Markup(encoded) + Markup("</script>")  # noqa: S704 -- escaped
