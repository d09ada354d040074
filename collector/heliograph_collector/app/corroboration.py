"""Corroboration of published incidents by the configured sources, for the API."""

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heliograph_collector.config.settings import Config
from heliograph_collector.corroborate import (
    SOURCES,
    AnnotationLog,
    CorroborationSettings,
    Corroborator,
    Entity,
    IodaConfig,
    RadarConfig,
    RisConfig,
    SourceContext,
    open_session,
)
from heliograph_collector.errors import CannotServeError
from heliograph_collector.http.backend import Feed, LinkCount
from heliograph_collector.http.incident_document import build_state

if TYPE_CHECKING:
    from heliograph_collector.app.context import AppContext

_MAX_TOKEN_CHARS = 1_024
_MAX_FILE_CHARS = 1_048_576
_MAX_ASN = (1 << 32) - 1


class Corroboration:
    """The annotations, and the task that queries the sources.

    The constructor reads the token and the prefixes. Raises CannotServeError.
    """

    def __init__(self, context: "AppContext") -> None:
        self._context = context
        self._settings = build_settings(context.config)
        self._notes = AnnotationLog(context.config.data)

    def list_annotations(self, incident: str) -> Sequence[Mapping[str, Any]]:
        """List the annotations of an incident, also from sources no longer configured."""
        return self._notes.list_annotations(incident)

    async def run(
        self, feed: Feed, pause: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        """Query the sources until cancelled; return at once if none is configured."""
        names = self._context.config.corroborate
        if not names:
            return
        async with open_session() as session:
            means = SourceContext(
                session=session, clock=self._context.clock, rng=self._context.rng, pause=pause
            )
            await Corroborator(
                [SOURCES[name](self._settings, means) for name in names],
                self._notes,
                means,
                incidents=lambda: list_published(feed),
                watched=lambda: list_networks(feed.links(), feed.k_anonymity),
            ).run()


def list_published(feed: Feed) -> list[dict[str, Any]]:
    """List the incidents as published, because a query would reveal a withheld one."""
    states = (
        build_state(record, feed.services, feed.k_anonymity) for record in feed.book.incidents()
    )
    return [incident for incident in states if incident is not None]


def list_networks(links: Sequence[LinkCount], min_vantages: int) -> list[Entity]:
    """List the networks with enough connected vantages to be named without risk."""
    vantages: dict[Entity, int] = {}
    for link in links:
        entity = Entity(link.country, link.asn)
        vantages[entity] = vantages.get(entity, 0) + link.vantages
    shown_networks = [
        e for e, count in vantages.items() if e.country and e.asn and count >= min_vantages
    ]
    return sorted(shown_networks, key=lambda entity: (-vantages[entity], entity))


def build_settings(config: Config) -> CorroborationSettings:
    """Build the settings of the sources. Raises CannotServeError."""
    ris = RisConfig()
    ioda = IodaConfig()
    radar = RadarConfig()
    has_radar = "radar" in config.corroborate
    return CorroborationSettings(
        ris=RisConfig(
            url=config.ris_url or ris.url,
            prefixes=dict(_read_prefixes(config.prefixes_file)) if config.prefixes_file else {},
        ),
        ioda=IodaConfig(url=config.ioda_url or ioda.url),
        radar=RadarConfig(
            url=config.radar_url or radar.url,
            token=_read_token(config.radar_token_file) if has_radar else "",
        ),
    )


def _read_token(file: Path | None) -> str:
    if file is None:
        raise CannotServeError(
            "corroborate.sources names radar, which wants a token: "
            "name its file in corroborate.radar_token_file."
        )
    token = _read_file(file, _MAX_TOKEN_CHARS, "corroborate.radar_token_file").strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise CannotServeError(f"{file} must hold one API token and nothing else.")
    return token


def _read_prefixes(file: Path) -> Iterator[tuple[str, int]]:
    content = _read_file(file, _MAX_FILE_CHARS, "corroborate.prefixes_file")
    for number, line in enumerate(content.splitlines(), 1):
        fields = line.partition("#")[0].split()
        if not fields:
            continue
        try:
            asn, prefix = fields
            yield str(ipaddress.ip_network(prefix)), _parse_asn(asn)
        except ValueError:
            raise CannotServeError(
                f"{file}, line {number}: must be ASN PREFIX, for example 9198 2.72.0.0/13."
            ) from None


def _parse_asn(value: str) -> int:
    """Parse an AS number. Raises ValueError."""
    digits = value.upper().removeprefix("AS")
    if not (digits.isascii() and digits.isdigit() and 0 < int(digits[:11]) <= _MAX_ASN):
        raise ValueError(value)
    return int(digits)


def _read_file(file: Path, max_chars: int, key: str) -> str:
    try:
        with file.open(encoding="utf-8") as stream:
            content = stream.read(max_chars + 1)
    except (OSError, UnicodeDecodeError) as error:
        kind = type(error).__name__  # the text of an error may quote the file
        raise CannotServeError(f"{file} cannot be read ({kind}): correct {key}.") from None
    if len(content) > max_chars:
        raise CannotServeError(f"{file} is longer than {max_chars} characters: correct {key}.")
    return content
