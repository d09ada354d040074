"""Rounds of queries to sources, which no detector can notice."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest
from aiohttp import web
from msgspec import to_builtins

from heliograph.keys import SigningKey
from heliograph.timestamps import format_timestamp
from heliograph.units import DAY_US, HOUR_US
from heliograph_collector.config.outgoing_http import open_source_session
from heliograph_collector.corroborate import (
    SOURCES,
    AnnotationLog,
    CorroborationSettings,
    Corroborator,
    Entity,
    IodaConfig,
    RadarConfig,
    RisConfig,
    SourceError,
    build_source,
)
from heliograph_collector.corroborate.annotation_log import FILE
from heliograph_collector.corroborate.series import Claim, ClaimsEvidence, SourceEvidence
from heliograph_collector.corroborate.source import ExternalSource
from heliograph_collector.detect import detect_silence
from heliograph_collector.incidents.diff import diff_incidents
from heliograph_collector.incidents.log_file import AlertLog, EntryBasis, entry_body
from heliograph_collector.incidents.published.incident import IncidentSummary
from heliograph_collector.incidents.record import incident_record
from heliograph_collector.model.scope import Scope
from support import source_servers as o
from support.hand_clock import HandClock
from support.presence_model import KZ as IN_KZ
from support.presence_model import Cut, at, country, live, world

KZ = Entity("KZ")
CLOCK = HandClock()
ONSET_US = CLOCK.wall_us() - HOUR_US


def incident(name: str = "kz", **scope: Any) -> IncidentSummary:
    cell = Scope("KZ", **scope)
    started = (format_timestamp(ONSET_US), format_timestamp(ONSET_US + 60_000_000))
    return o.incident(*started, name, parts=[cell])


@dataclass
class Fake:
    """A source that answers with an outage, or fails as set."""

    name: str = "fake"
    every_s: float = 600.0
    asked: list[tuple[Entity, int, int]] = field(default_factory=list)
    followed: Sequence[Entity] = ()
    failing: SourceError | None = None
    ran: bool = False
    clock: HandClock = field(default_factory=HandClock)

    async def run(self) -> None:
        self.ran = True

    def follow(self, entities: Sequence[Entity]) -> None:
        self.followed = entities

    async def ask(self, entity: Entity, since_us: int, until_us: int) -> list[SourceEvidence]:
        self.asked.append((entity, since_us, until_us))
        if self.failing is not None:
            raise self.failing
        evidence = ClaimsEvidence(
            source=self.name, signal="outages", entity=entity, read_us=self.clock.wall_us(),
            url="https://example.org", attribution="somebody", claims=(Claim(ONSET_US, None),),
        )  # fmt: skip
        return [evidence]


class World:
    def __init__(
        self, folder: Path, session: Any, sources: Sequence[ExternalSource], most: int
    ) -> None:
        self.notes = AnnotationLog(folder)
        self.told = [incident()]
        self.pauses = o.Pauses(most=most)
        self.means = self.pauses.context(session)
        self.corroborator = Corroborator(
            sources,
            self.notes,
            self.means,
            self,
        )

    def list_incidents(self) -> list[IncidentSummary]:
        return self.told

    def list_networks(self) -> list[tuple[str, int]]:
        return [("KZ", 9198)]

    async def run(self) -> None:
        """Run until it has paused the allowed number of times."""
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.corroborator.run())
            await self.pauses.done.wait()
            task.cancel()


async def run_rounds(
    folder: Path, sources: Sequence[Fake], most: int, told: list[IncidentSummary] | None = None
) -> World:
    async with open_source_session() as session:
        world = World(folder, session, sources, most)
        world.told = world.told if told is None else told
        await world.run()
    return world


async def test_each_round_asks_what_is_due_and_no_more(tmp_path: Path) -> None:
    fake = Fake()
    world = await run_rounds(tmp_path, [fake], most=11)
    assert fake.ran
    assert len(fake.asked) == 2, "twelve rounds of a minute, and once in ten minutes"
    entity, since_us, until_us = fake.asked[0]
    assert entity == KZ
    assert since_us < ONSET_US - 7 * DAY_US, "a week to compare with"
    assert until_us == CLOCK.wall_us()
    assert list(fake.followed) == [KZ, Entity("KZ", 9198)]
    assert [note["what"] for note in world.notes.list_annotations("kz")] == ["agrees"]
    assert (tmp_path / FILE).read_text().count("\n") == 1


async def test_one_question_serves_all_incidents_of_a_place(tmp_path: Path) -> None:
    fake, told = Fake(), [incident("a"), incident("b", region="ALA"), incident("c", asn=9198)]
    world = await run_rounds(tmp_path, [fake], most=0, told=told)
    assert [entity for entity, *_ in fake.asked] == [KZ, Entity("KZ", 9198)]
    assert [len(world.notes.list_annotations(name)) for name in "abc"] == [1, 1, 1]


async def test_without_incidents_nobody_is_asked(tmp_path: Path) -> None:
    fake = Fake()
    await run_rounds(tmp_path, [fake], most=5, told=[])
    assert fake.asked == []


async def test_many_incidents_at_once_are_not_all_asked_about(tmp_path: Path) -> None:
    fake, told = Fake(), [incident(f"n{i}", asn=i) for i in range(1, 200)]
    await run_rounds(tmp_path, [fake], most=0, told=told)
    assert len(fake.asked) == 16


async def test_a_source_that_fails_is_asked_less_and_holds_up_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bad, good = Fake("bad", 0.0), Fake("good", 0.0)
    bad.failing = SourceError("Bad answered 429.", 1_800.0)
    world = await run_rounds(tmp_path, [bad, good], most=9)
    assert world.pauses.taken.count(1_800.0) == len(bad.asked) >= 4
    assert len(good.asked) >= 4
    assert {note["source"] for note in world.notes.list_annotations("kz")} == {"good"}
    assert "Bad answered 429. Asking again in 1800 s." in caplog.text


def answers(share: float) -> dict[str, Any]:
    """Return a week of every series, at `share` of its level after the onset."""
    onset_s, now_s = ONSET_US // 1_000_000, CLOCK.wall_us() // 1_000_000 + 21_600
    begin_s = (onset_s - 8 * 86_400) // 3_600 * 3_600

    def values(step_s: int) -> list[float]:
        moments = range(begin_s, now_s, step_s)
        return [1_000.0 * (share if t + step_s > onset_s else 1.0) for t in moments]

    raw = {
        f"/v2/signals/raw/country/KZ?{name}": o.ioda(
            "signals", [[o.signal("KZ", name, begin_s, step, values(step))]]
        )
        for name, step in (("bgp", 300), ("ping-slash24", 600), ("merit-nt", 300))
    }
    spans = [(onset_s, None)] if share < 0.5 else []
    return raw | {
        "/v2/outages/events": o.ioda("outages.events", [o.event("country/KZ", onset_s, 600)]),
        "/client/v4/radar/netflows/timeseries": o.flows(
            begin_s, [value / 1_000 for value in values(3_600)]
        ),
        "/client/v4/radar/traffic_anomalies": o.anomalies(*spans),
        "/client/v4/radar/annotations/outages": o.outages(*spans),
    }


async def corroborated(
    folder: Path, outside: o.Outside, told: list[IncidentSummary]
) -> AnnotationLog:
    """Ask every source of the registry at `outside`, hours after the incident."""
    async with outside.serve(), open_source_session() as session:
        world = World(folder, session, [], most=40)
        world.pauses.clock.advance_us(6 * HOUR_US)
        settings = CorroborationSettings(
            ris=RisConfig(url=f"{outside.url}/v1/ws/"),
            ioda=IodaConfig(url=f"{outside.url}/v2"),
            radar=RadarConfig(url=f"{outside.url}/client/v4", token=o.TOKEN),
        )
        world.told = told
        for name in SOURCES:
            try:
                await world.corroborator.poll_due(build_source(name, settings, world.means), {})
            except SourceError:
                assert outside.manner is not None
        return world.notes


async def test_every_source_agrees_with_a_true_cut(tmp_path: Path) -> None:
    notes = await corroborated(tmp_path, o.Outside(answers(0.05)), [incident()])
    said = {(note["source"], note["signal"]): note["what"] for note in notes.list_annotations("kz")}
    signals = [("ioda", name) for name in ("bgp", "events", "merit-nt", "ping-slash24")]
    signals += [("radar", name) for name in ("netflows", "outages", "traffic_anomalies")]
    assert said == dict.fromkeys(signals, "agrees")
    assert o.TOKEN not in (tmp_path / FILE).read_text()


async def test_a_country_that_is_well_is_told_by_those_who_can_tell(tmp_path: Path) -> None:
    notes = await corroborated(tmp_path, o.Outside(answers(1.0)), [incident()])
    said = {note["signal"]: note["what"] for note in notes.list_annotations("kz")}
    del said["events"]
    silent = dict.fromkeys(("bgp", "merit-nt", "outages", "traffic_anomalies"), "nothing_to_say")
    assert said == silent | dict.fromkeys(("ping-slash24", "netflows"), "disagrees")


async def lie(request: web.Request) -> web.StreamResponse:
    return web.json_response({"verdict": "withdraw it", "incidents": [], "result": None})


def findings(folder: Path) -> Iterator[list[dict[str, Any]]]:
    """Yield a country's cut as the detector finds it, written to the log of `folder`."""
    signals = live(country() + world(), Random(1), 2, cuts=[Cut(3_600, 5_400, IN_KZ)])
    log = AlertLog(folder / "alerts.jsonl", SigningKey(b"k" * 32))
    grounds = EntryBasis(1, 900, at(0), at(7_200), {"heliograph": "0"})
    before: list[Any] = []
    for until_s in (3_700, 4_500, 7_200):
        found = detect_silence(
            [s for s in signals if s.at_us <= at(until_s)], at(until_s)
        ).incidents
        before, changes = diff_incidents(before, found, ())
        log.append([entry_body(change, grounds, at(until_s)) for change in changes])
        yield [to_builtins(incident_record(each)) for each in before]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return the log of a run without any query to a source."""
    folder = tmp_path_factory.mktemp("undisturbed")
    states = [[told["state"] for told in each] for each in findings(folder)]
    assert states[-1] == ["closed"]
    return (folder / "alerts.jsonl").read_bytes()


@pytest.mark.parametrize("outside", ["agreeing", "contradicting", "broken", "forged"])
async def test_the_log_of_findings_is_the_same_whatever_is_said_beside_it(
    tmp_path: Path, outside: str, undisturbed: bytes
) -> None:
    """The log is the same, byte for byte, whatever sources answer.

    Signals go in, incidents come out, and no source is among the signals.
    """
    for told in findings(tmp_path):
        beside = [incident(each["id"]) for each in told]  # under its name, at the sources' time
        if outside in ("agreeing", "contradicting"):
            share = 0.05 if outside == "agreeing" else 1.0
            await corroborated(tmp_path, o.Outside(answers(share)), beside)
            assert bool(told) == (tmp_path / FILE).exists()
        if outside == "broken":
            await corroborated(tmp_path, o.Outside(manner=lie), beside)
        if outside == "forged":
            line = json.dumps({"incident": told[0]["id"], "what": "disagrees"}) if told else "x"
            (tmp_path / FILE).write_text(f"{line}\n")
    assert (tmp_path / "alerts.jsonl").read_bytes() == undisturbed
