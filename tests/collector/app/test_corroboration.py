"""The collector asks outside sources nothing by default, and no private question."""

import asyncio
import logging
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import cast

import pytest

from heliograph.observation import Link
from heliograph_collector.app.context import AppContext
from heliograph_collector.app.outside import PublishedAnnotations, build_source_settings
from heliograph_collector.app.roles import build_corroboration
from heliograph_collector.config.errors import CannotServeError
from heliograph_collector.config.settings import Config, load_config
from heliograph_collector.corroborate import SOURCES, Corroboration
from heliograph_collector.corroborate.annotation_log import FILE
from heliograph_collector.http.backend import LinkCount
from heliograph_collector.http.published_incidents import PublishedIncidents
from support import source_servers as o
from support.fake_feed import World
from support.hand_clock import HandClock
from support.incident_book import book, part, silence


def shown(**votes: float) -> PublishedIncidents:
    """Silences of Kazakhstan since about 11:00 by id, as the feed shows them."""
    cuts = [silence(name, 163, parts=(part(count, "KZ"),)) for name, count in votes.items()]
    return PublishedIncidents(World().feed(book=book(*cuts)))


def build(config: Config, clock: HandClock | None = None) -> Corroboration:
    context = SimpleNamespace(config=config, clock=clock or HandClock(), rng=Random(1))
    return build_corroboration(cast("AppContext", context))


async def test_by_default_nobody_is_asked(tmp_path: Path) -> None:
    corroboration = build(Config(data=tmp_path))
    async with asyncio.timeout(60):
        await corroboration.run(shown(a=20))
    assert corroboration.list_annotations("a") == []
    assert not (tmp_path / FILE).exists()


async def test_what_is_configured_is_asked_and_noted(tmp_path: Path) -> None:
    answers = {
        f"/v2/signals/raw/country/KZ?{name}": o.ioda("signals", [[]])
        for name in ("bgp", "ping-slash24", "merit-nt")
    }
    events = [o.event("country/KZ", 1_641_380_400, 600)]
    outside = o.Outside(answers | {"/v2/outages/events": o.ioda("outages.events", events)})
    async with outside.serve(), asyncio.TaskGroup() as group:
        config = Config(data=tmp_path, corroborate=("ioda",), ioda_url=f"{outside.url}/v2")
        clock = HandClock()
        corroboration = build(config, clock)
        pauses = o.Pauses(clock, most=3)
        published = shown(a=20)
        task = group.create_task(corroboration.run(published, pauses))
        await pauses.done.wait()
        task.cancel()
    published_notes = PublishedAnnotations(corroboration)
    (note,) = published_notes.list_annotations("a")
    assert (note.source, note.signal, note.what) == ("ioda", "events", "agrees")
    assert published_notes.list_newest(1) == {"a": [note]}


def test_an_incident_of_too_few_is_asked_of_nobody() -> None:
    published = shown(a=20, b=4)
    assert [incident.id for incident in published.list_incidents()] == ["a"]


def links(*rows: tuple[str, int, int]) -> list[LinkCount]:
    return [
        LinkCount(country=country, asn=asn, access="mobile", link=Link.ONLINE, vantages=vantages)
        for country, asn, vantages in rows
    ]


def test_only_networks_of_many_are_named_to_ripe() -> None:
    rows = links(("KZ", 9198, 3), ("KZ", 9198, 2), ("KZ", 29355, 4), ("KZ", 0, 9), ("UZ", 1, 7))
    published = PublishedIncidents(World(links=rows).feed())
    assert published.list_networks() == [("UZ", 1), ("KZ", 9198)]


def test_the_configuration_knows_every_source(tmp_path: Path) -> None:
    file = tmp_path / "c.yml"
    file.write_text(f"corroborate: {{sources: [{', '.join(SOURCES)}]}}\n")
    assert load_config(file, {}).corroborate == tuple(SOURCES)


def radar(tmp_path: Path, token: str) -> Config:
    (tmp_path / "token").write_text(token)
    return Config(corroborate=("radar",), radar_token_file=tmp_path / "token")


def test_the_token_is_read_and_shown_to_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    settings = build_source_settings(radar(tmp_path, f"{o.TOKEN}\n"))
    assert settings.radar.token == o.TOKEN
    assert o.TOKEN not in f"{settings!r}{caplog.text}"


@pytest.mark.parametrize("token", ["", "two words", "a\nb", "ünsinn", "x" * 1_025])
def test_a_token_that_is_none_ends_the_start_without_quoting_it(tmp_path: Path, token: str) -> None:
    with pytest.raises(CannotServeError) as caught:
        build_source_settings(radar(tmp_path, token))
    assert str(tmp_path / "token") in str(caught.value)
    assert not token or token not in str(caught.value)


def test_without_radar_its_token_is_not_even_read(tmp_path: Path) -> None:
    config = Config(corroborate=("ris",), radar_token_file=tmp_path / "nothing")
    assert build_source_settings(config).radar.token == ""


def test_prefixes_are_read_with_their_origins(tmp_path: Path) -> None:
    file = tmp_path / "prefixes"
    file.write_text("# Kazakhtelecom\n9198 2.72.0.0/13 # mobile too\n\nAS29355 2a00:1370::/32\n")
    settings = build_source_settings(Config(corroborate=("ris",), prefixes_file=file))
    assert settings.ris.prefixes == {"2.72.0.0/13": 9198, "2a00:1370::/32": 29355}


@pytest.mark.parametrize("line", ["9198", "x 2.72.0.0/13", "9198 2.72.0.0/99", "0 ::/0", "1 2 3"])
def test_a_wrong_prefix_is_named_by_its_line(tmp_path: Path, line: str) -> None:
    file = tmp_path / "prefixes"
    file.write_text(f"# one\n{line}\n")
    with pytest.raises(CannotServeError, match="line 2: must be ASN PREFIX"):
        build_source_settings(Config(corroborate=("ris",), prefixes_file=file))


@pytest.mark.parametrize(
    ("config", "key"),
    [
        (Config(corroborate=("ris",), prefixes_file=Path("nothing")), "prefixes_file"),
        (Config(corroborate=("radar",)), r"corroborate\.radar_token_file"),
    ],
)
def test_missing_file_is_named(config: Config, key: str) -> None:
    with pytest.raises(CannotServeError, match=key):
        build_source_settings(config)
