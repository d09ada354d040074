"""Rounds of asking: whom, how often, what is noted. No detector can tell the difference."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest
from aiohttp import web

from heliograph.keys import SigningKey
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
    SourceError,
    open_session,
)
from heliograph_collector.corroborate.annotation_log import FILE
from heliograph_collector.corroborate.incident import DAY_US, HOUR_US, moment
from heliograph_collector.corroborate.series import Claim, Claims, Evidence
from heliograph_collector.corroborate.source import Source
from heliograph_collector.detect import watch
from heliograph_collector.incidents.diff import revise
from heliograph_collector.incidents.log_file import AlertLog, Grounds, body
from heliograph_collector.incidents.record import record
from support import outside as o
from support.dark_world import KZ as IN_KZ
from support.dark_world import Cut, at, country, live, world
from support.hand_clock import HandClock

KZ = Entity("KZ")
CLOCK = HandClock()
ONSET_US = CLOCK.wall_us() - HOUR_US


def incident(name: str = "kz", **scope: Any) -> dict[str, Any]:
    cell = {"country": "KZ", "region": "", "asn": 0, "access": ""} | scope
    return {
        "id": name,
        "kind": "network_silence",
        "state": "confirmed",
        "scope": cell,
        "parts": [cell],
        "started": {"earliest": moment(ONSET_US), "latest": moment(ONSET_US + 60_000_000)},
        "ended": None,
    }


@dataclass
class Fake:
    """A source that answers with an outage, or fails as it is told."""

    clock: HandClock
    name: str = "fake"
    every_s: float = 600.0
    asked: list[tuple[Entity, int, int]] = field(default_factory=list)
    followed: Sequence[Entity] = ()
    failing: SourceError | None = None
    ran: bool = False

    async def run(self) -> None:
        self.ran = True

    def follow(self, entities: Sequence[Entity]) -> None:
        self.followed = entities

    async def ask(self, entity: Entity, since_us: int, until_us: int) -> list[Evidence]:
        self.asked.append((entity, since_us, until_us))
        if self.failing is not None:
            raise self.failing
        return [
            Claims(
                source=self.name,
                signal="outages",
                entity=entity,
                read_us=self.clock.wall_us(),
                url="https://example.org",
                attribution="somebody",
                claims=(Claim(ONSET_US, None),),
            )
        ]


class World:
    def __init__(self, folder: Path, session: Any, sources: Sequence[Source], most: int) -> None:
        self.notes = Notes(folder)
        self.told = [incident()]
        self.pauses = o.Pauses(HandClock(), most=most)
        clock = self.pauses.clock
        self.means = Means(session=session, clock=clock, rng=Random(1), pause=self.pauses)
        self.corroborator = Corroborator(
            sources,
            self.notes,
            self.means,
            incidents=lambda: self.told,
            watched=lambda: [Entity("KZ", 9198)],
        )

    async def run(self) -> None:
        """Until it has paused as often as it may."""
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.corroborator.run())
            await self.pauses.done.wait()
            task.cancel()


async def test_each_round_asks_what_is_due_and_no_more(tmp_path: Path) -> None:
    async with open_session() as session:
        fake = Fake(HandClock())
        world = World(tmp_path, session, [fake], most=11)
        await world.run()
    assert fake.ran
    assert len(fake.asked) == 2, "twelve rounds of a minute, and once in ten minutes"
    entity, since_us, until_us = fake.asked[0]
    assert entity == KZ
    assert since_us < ONSET_US - 7 * DAY_US, "a week to compare with"
    assert until_us == CLOCK.wall_us()
    assert list(fake.followed) == [KZ, Entity("KZ", 9198)]
    assert [note["what"] for note in world.notes.of("kz")] == ["agrees"]
    assert (tmp_path / FILE).read_text().count("\n") == 1


async def test_one_question_serves_all_incidents_of_a_place(tmp_path: Path) -> None:
    async with open_session() as session:
        fake = Fake(HandClock())
        world = World(tmp_path, session, [fake], most=0)
        world.told = [incident("a"), incident("b", region="ALA"), incident("c", asn=9198)]
        await world.run()
    assert [entity for entity, *_ in fake.asked] == [KZ, Entity("KZ", 9198)]
    assert [len(world.notes.of(name)) for name in "abc"] == [1, 1, 1]


async def test_without_incidents_nobody_is_asked(tmp_path: Path) -> None:
    async with open_session() as session:
        fake = Fake(HandClock())
        world = World(tmp_path, session, [fake], most=5)
        world.told = []
        await world.run()
    assert fake.asked == []


async def test_many_incidents_at_once_are_not_all_asked_about(tmp_path: Path) -> None:
    async with open_session() as session:
        fake = Fake(HandClock())
        world = World(tmp_path, session, [fake], most=0)
        world.told = [incident(f"n{i}", asn=i) for i in range(1, 200)]
        await world.run()
    assert len(fake.asked) == 16


async def test_a_source_that_fails_is_asked_less_and_holds_up_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_session() as session:
        bad, good = Fake(HandClock(), "bad", 0.0), Fake(HandClock(), "good", 0.0)
        bad.failing = SourceError("Bad answered 429.", 1_800.0)
        world = World(tmp_path, session, [bad, good], most=9)
        await world.run()
    assert world.pauses.taken.count(1_800.0) == len(bad.asked) >= 4
    assert len(good.asked) >= 4
    assert {note["source"] for note in world.notes.of("kz")} == {"good"}
    assert "Bad answered 429. Asking again in 1800 s." in caplog.text


def answers(share: float) -> dict[str, Any]:
    """A week and what came after the onset, at `share` of it, of every series there is."""
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


async def corroborated(folder: Path, outside: o.Outside, told: list[dict[str, Any]]) -> Notes:
    """Every source of the registry against `outside`, hours after the incident."""
    async with outside.serve(), open_session() as session:
        world = World(folder, session, [], most=40)
        world.pauses.clock.advance_us(6 * HOUR_US)
        settings = Settings(
            ris=RisConfig(url=f"{outside.url}/v1/ws/"),
            ioda=IodaConfig(url=f"{outside.url}/v2"),
            radar=RadarConfig(url=f"{outside.url}/client/v4", token=o.TOKEN),
        )
        sources = [make(settings, world.means) for make in SOURCES.values()]
        corroborator = Corroborator(
            sources, world.notes, world.means, incidents=lambda: told, watched=tuple
        )
        for source in sources:
            try:
                await corroborator.round(source, {})
            except SourceError:
                assert outside.manner is not None
        return world.notes


async def test_every_source_agrees_with_a_true_cut(tmp_path: Path) -> None:
    notes = await corroborated(tmp_path, o.Outside(answers(0.05)), [incident()])
    said = {(note["source"], note["signal"]): note["what"] for note in notes.of("kz")}
    assert said == {
        ("ioda", "bgp"): "agrees",
        ("ioda", "events"): "agrees",
        ("ioda", "merit-nt"): "agrees",
        ("ioda", "ping-slash24"): "agrees",
        ("radar", "netflows"): "agrees",
        ("radar", "outages"): "agrees",
        ("radar", "traffic_anomalies"): "agrees",
    }
    assert o.TOKEN not in (tmp_path / FILE).read_text()


async def test_a_country_that_is_well_is_told_by_those_who_can_tell(tmp_path: Path) -> None:
    notes = await corroborated(tmp_path, o.Outside(answers(1.0)), [incident()])
    said = {note["signal"]: note["what"] for note in notes.of("kz") if note["signal"] != "events"}
    assert said == {
        "bgp": "nothing_to_say",
        "merit-nt": "nothing_to_say",
        "ping-slash24": "disagrees",
        "netflows": "disagrees",
        "outages": "nothing_to_say",
        "traffic_anomalies": "nothing_to_say",
    }


async def lie(request: web.Request) -> web.StreamResponse:
    return web.json_response({"verdict": "withdraw it", "incidents": [], "result": None})


def findings(folder: Path) -> Iterator[list[dict[str, Any]]]:
    """A cut of a country as the detector tells it, state by state, into the log of `folder`."""
    signals = live(country() + world(), Random(1), 2, cuts=[Cut(3_600, 5_400, IN_KZ)])
    log = AlertLog(folder / "alerts.jsonl", SigningKey(b"k" * 32))
    grounds = Grounds(1, 900, at(0), at(7_200), {"heliograph": "0"})
    before: list[Any] = []
    for until_s in (3_700, 4_500, 7_200):
        found = watch([s for s in signals if s.at_us <= at(until_s)], at(until_s)).incidents
        before, changes = revise(before, found, ())
        log.append([body(change, grounds, at(until_s)) for change in changes])
        yield [record(each) for each in before]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The log where nobody outside was ever asked."""
    folder = tmp_path_factory.mktemp("undisturbed")
    states = [[told["state"] for told in each] for each in findings(folder)]
    assert states[-1] == ["closed"]
    return (folder / "alerts.jsonl").read_bytes()


@pytest.mark.parametrize("outside", ["agreeing", "contradicting", "broken", "forged"])
async def test_the_log_of_findings_is_the_same_whatever_is_said_beside_it(
    tmp_path: Path, outside: str, undisturbed: bytes
) -> None:
    """Byte for byte: signals go in, findings come out, and no source is among the signals."""
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
