"""Asks the configured sources about published incidents, and holds what they said for the API."""

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heliograph_collector.config.settings import Config
from heliograph_collector.corroborate import (
    SOURCES,
    Corroborator,
    Entity,
    IodaConfig,
    Means,
    Notes,
    RadarConfig,
    RisConfig,
    Settings,
    open_session,
)
from heliograph_collector.errors import CannotServeError
from heliograph_collector.http.backend import Feed, LinkCount
from heliograph_collector.http.incident_document import state

if TYPE_CHECKING:
    from heliograph_collector.app.context import House

_MOST_TOKEN = 1_024
_MOST_FILE = 1_048_576
_MOST_ASN = (1 << 32) - 1


class Corroboration:
    """Reads the token and the prefixes at once. Raises CannotServeError."""

    def __init__(self, house: "House") -> None:
        self._house = house
        self._settings = settings_of(house.config)
        self._notes = Notes(house.config.data)

    def annotations(self, incident: str) -> Sequence[Mapping[str, Any]]:
        """What was said beside the incident of this id, also by sources no longer asked."""
        return self._notes.of(incident)

    async def run(
        self, feed: Feed, pause: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        """Until cancelled; with no source configured it is over at once."""
        names = self._house.config.corroborate
        if not names:
            return
        async with open_session() as session:
            means = Means(
                session=session, clock=self._house.clock, rng=self._house.rng, pause=pause
            )
            await Corroborator(
                [SOURCES[name](self._settings, means) for name in names],
                self._notes,
                means,
                incidents=lambda: published(feed),
                watched=lambda: followed(feed.links(), feed.k_anonymity),
            ).run()


def published(feed: Feed) -> list[dict[str, Any]]:
    """As everybody may read them: what is told to nobody is asked of nobody."""
    told = (state(each, feed.services, feed.k_anonymity) for each in feed.book.incidents())
    return [incident for incident in told if incident is not None]


def followed(links: Sequence[LinkCount], least: int) -> list[Entity]:
    """Networks in which so many vantages are connected that naming them tells of nobody."""
    vantages: dict[Entity, int] = {}
    for link in links:
        entity = Entity(link.country, link.asn)
        vantages[entity] = vantages.get(entity, 0) + link.vantages
    many = [e for e, count in vantages.items() if e.country and e.asn and count >= least]
    return sorted(many, key=lambda entity: (-vantages[entity], entity))


def settings_of(config: Config) -> Settings:
    """Raises CannotServeError."""
    ris, ioda, radar = RisConfig(), IodaConfig(), RadarConfig()
    asks_radar = "radar" in config.corroborate
    return Settings(
        ris=RisConfig(
            url=config.ris_url or ris.url,
            prefixes=dict(_prefixes(config.prefixes_file)) if config.prefixes_file else {},
        ),
        ioda=IodaConfig(url=config.ioda_url or ioda.url),
        radar=RadarConfig(
            url=config.radar_url or radar.url,
            token=_token(config.radar_token_file) if asks_radar else "",
        ),
    )


def _token(file: Path | None) -> str:
    if file is None:
        raise CannotServeError(
            "corroborate.sources names radar, which wants a token: "
            "name its file in corroborate.radar_token_file."
        )
    token = _read(file, _MOST_TOKEN, "corroborate.radar_token_file").strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise CannotServeError(f"{file} must hold one API token and nothing else.")
    return token


def _prefixes(file: Path) -> Iterator[tuple[str, int]]:
    text = _read(file, _MOST_FILE, "corroborate.prefixes_file")
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            asn, prefix = words
            yield str(ipaddress.ip_network(prefix)), _asn(asn)
        except ValueError:
            raise CannotServeError(
                f"{file}, line {number}: must be ASN PREFIX, for example 9198 2.72.0.0/13."
            ) from None


def _asn(text: str) -> int:
    """Raises ValueError."""
    digits = text.upper().removeprefix("AS")
    if not (digits.isascii() and digits.isdigit() and 0 < int(digits[:11]) <= _MOST_ASN):
        raise ValueError(text)
    return int(digits)


def _read(file: Path, most: int, key: str) -> str:
    try:
        with file.open(encoding="utf-8") as stream:
            text = stream.read(most + 1)
    except (OSError, UnicodeDecodeError) as error:
        kind = type(error).__name__  # the text of an error may quote what is in the file
        raise CannotServeError(f"{file} cannot be read ({kind}): correct {key}.") from None
    if len(text) > most:
        raise CannotServeError(f"{file} is longer than {most} characters: correct {key}.")
    return text
