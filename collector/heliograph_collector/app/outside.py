"""Configure outside sources, publish their annotations, and ask about past outages."""

import random
from collections.abc import Sequence
from contextlib import closing

import msgspec

from heliograph.clock import Clock
from heliograph.units import DAY_US
from heliograph_collector.config import outgoing_http
from heliograph_collector.config.named_files import read_prefixes, read_token
from heliograph_collector.config.settings import Config
from heliograph_collector.corroborate import (
    Corroboration,
    CorroborationSettings,
    Entity,
    SourceContext,
    SourceError,
    build_settings,
    build_source,
)
from heliograph_collector.corroborate.series import ClaimsEvidence, SourceEvidence
from heliograph_collector.corroborate.source import AsyncSleep
from heliograph_collector.model.imported import ReportedOutage
from heliograph_collector.model.published.annotation import AnnotationDocument
from heliograph_collector.store.imported_results import FILE, ImportedResults

REPORTERS = ("ioda", "radar")  # RIS reports no outages
_MAX_DAYS = 30  # of one query: an answer has at most 20,000 points, one each five minutes


class PublishedAnnotations:
    """What outside sources report beside incidents, in the shape in which it is published."""

    def __init__(self, corroboration: Corroboration) -> None:
        self._corroboration = corroboration

    def list_annotations(self, incident: str) -> list[AnnotationDocument]:
        records = self._corroboration.list_annotations(incident)
        return msgspec.convert(records, list[AnnotationDocument])

    def list_newest(self, count: int) -> dict[str, list[AnnotationDocument]]:
        """Return those of the incidents that were annotated last, by incident."""
        records = self._corroboration.list_newest(count)
        return msgspec.convert(records, dict[str, list[AnnotationDocument]])


class NotConfiguredError(Exception):
    """The configuration does not name the source; str() is a sentence with the cure."""


def build_source_settings(config: Config) -> CorroborationSettings:
    """Build the settings of the sources, with token and prefixes.

    Raises CannotServeError.
    """
    return build_settings(
        ris_url=config.ris_url,
        ioda_url=config.ioda_url,
        radar_url=config.radar_url,
        prefixes=read_prefixes(config.prefixes_file) if config.prefixes_file else {},
        token=read_token(config.radar_token_file) if "radar" in config.corroborate else "",
        private_hosts=config.source_private_hosts,
    )


async def fetch_outages(
    config: Config,
    name: str,
    place: tuple[str, int],
    window: tuple[int, int],
    *,
    clock: Clock,
    rng: random.Random,
    pause: AsyncSleep,
) -> list[ReportedOutage]:
    """Return the outages that a source reports of a country, or of a network in it.

    Args:
        config: Names the source in `corroborate.sources`, with its key.
        name: One of REPORTERS.
        place: Country and ASN; 0 for the whole country.
        window: From when until when, microseconds UTC.
        clock: Tells when it was read.
        rng: Randomness of the source.
        pause: Waits between two queries, as the source asks for.

    Raises:
        NotConfiguredError, SourceError, CannotServeError
    """
    if name not in config.corroborate:
        raise NotConfiguredError(
            f"{name} is off, because a query tells it what we watch: name it in "
            "corroborate.sources of the configuration."
        )
    settings = build_source_settings(config)
    evidence: list[SourceEvidence] = []
    async with outgoing_http.open_source_session(settings.private_hosts) as session:
        context = SourceContext(session=session, clock=clock, rng=rng, pause=pause)
        source = build_source(name, settings, context)
        for since_us in range(*window, _MAX_DAYS * DAY_US):
            until_us = min(since_us + _MAX_DAYS * DAY_US, window[1])
            evidence += await source.ask(Entity(*place), since_us, until_us)
    return list_outages(evidence)


def store_outages(
    config: Config,
    name: str,
    place: tuple[str, int],
    window: tuple[int, int],
    outages: Sequence[ReportedOutage],
) -> None:
    """Replace the outages that a source reported for a place in a window.

    Raises ImportedResultsError.
    """
    with closing(ImportedResults(config.data / FILE)) as imported:
        imported.replace_outages(name, place, window, outages)


def list_outages(evidence: Sequence[SourceEvidence]) -> list[ReportedOutage]:
    """List the outages in the evidence of a source, each once."""
    outages = {
        (item.signal, claim.since_us): ReportedOutage(
            source=item.source,
            signal=item.signal,
            country=item.entity.country,
            asn=item.entity.asn,
            since_us=claim.since_us,
            until_us=claim.until_us,
            read_us=item.read_us,
            url=item.url,
            attribution=item.attribution,
        )
        for item in evidence
        if isinstance(item, ClaimsEvidence)
        for claim in item.claims
    }
    return list(outages.values())


__all__ = [
    "REPORTERS",
    "NotConfiguredError",
    "SourceError",
    "build_source_settings",
    "fetch_outages",
    "list_outages",
    "store_outages",
]
