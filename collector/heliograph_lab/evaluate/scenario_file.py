"""Scenario files in YAML; README.md describes every key."""

import math
from dataclasses import replace
from pathlib import Path
from typing import TypedDict

from heliograph.units import DAY_US, SECOND_US
from heliograph_collector.model.scope import Scope
from heliograph_collector.model.signals import VantageLocation, VantageRef
from heliograph_lab.evaluate.document import Section, read_document
from heliograph_lab.evaluate.population import ServiceSchedule, vantages_at
from heliograph_lab.evaluate.scenario_model import (
    EVENT_KINDS,
    INTERFERENCES,
    SHAPES,
    CellSelector,
    EventShape,
    Scenario,
    ScenarioEvent,
    other_countries,
)

SHIPPED = Path(__file__).parent / "scenarios"
HONEST = SHIPPED / "honest"
CHURN = 4.0  # silences per vantage-day, as Thresholds.usual_per_day
ACCESS = ("mobile", "fixed", "hosting")
_EVERYWHERE = ("restart", "probe", "clock_jump", "messenger_down", "carrier", "update")


def list_shipped() -> list[Path]:
    """List the files of the shipped scenarios."""
    return sorted(SHIPPED.glob("*.yml"))


def list_honest() -> list[Path]:
    """List the same events with the shapes of their onsets, in the honest world."""
    return sorted(HONEST.glob("*.yml"))


def load_scenario(path: Path) -> Scenario:
    """Load a scenario. Raises YamlError on a flaw of the file, OSError."""
    top = read_document(path)
    return _read_variant(top, path) if "base" in top else _read_scenario(top, path)


def _read_scenario(top: Section, path: Path) -> Scenario:
    since_us = top.timestamp("since")
    until_us = top.timestamp("until")
    if until_us <= since_us:
        raise top.error_at("until", "until must lie after since: give a later time")
    codes, churn, vantages = _read_countries(top.section("countries"), since_us)
    world_vantages, world_churn = _read_world(top, since_us)
    scenario = Scenario(
        name=top.text("name", path.stem),
        since_us=since_us,
        lasts_s=(until_us - since_us) / SECOND_US,
        vantages=(*vantages, *world_vantages),
        churn={**{w.place.country: world_churn for w in world_vantages}, **churn},
        services=_read_services(top, since_us, until_us),
        events=tuple(_read_event(row, codes, since_us) for row in top.sections("events")),
    )
    top.text("note", "")
    top.check_unknown_keys()
    _check_services(top, scenario)
    return scenario


def _read_variant(top: Section, path: Path) -> Scenario:
    """Read a variant of another file in the honest world, with shapes of its events."""
    base_path = path.parent / top.text("base")
    base_top = read_document(base_path)
    if "base" in base_top:
        raise top.error_at("base", "base must be a whole scenario, not a variant: name its base")
    base = _read_scenario(base_top, base_path)
    shapes = {}
    if "shapes" in top:
        section = top.section("shapes")
        base_ids = {event.id for event in base.events}
        for event_id in section.keys:
            if event_id not in base_ids:
                raise section.error_at(
                    event_id,
                    f"the base has no event {event_id!r}; it has {', '.join(sorted(base_ids))}",
                )
            shapes[event_id] = _read_shape(section.section(event_id), base.since_us)
        section.check_unknown_keys()
    every_s = top.length("every", 0.0)
    variant = replace(
        base,
        name=top.text("name", path.stem),
        is_honest=True,
        services=tuple(replace(s, every_s=every_s or s.every_s) for s in base.services),
        events=tuple(
            replace(event, **shapes[event.id]) if event.id in shapes else event
            for event in base.events
        ),
    )
    top.text("note", "")
    top.check_unknown_keys()
    return variant


class ShapeFields(TypedDict, total=False):
    """The fields of an event that a variant changes."""

    shape: EventShape
    when: tuple[float, float]


def _read_shape(row: Section, since_us: int) -> ShapeFields:
    fields = ShapeFields(shape=EventShape(row.one_of("shape", SHAPES), row.length("over", None)))
    if "at" in row:
        low_us, high_us = row.bracket("at")
        fields["when"] = ((low_us - since_us) / SECOND_US, (high_us - since_us) / SECOND_US)
    row.text("note", "")
    row.check_unknown_keys()
    return fields


def _check_services(top: Section, scenario: Scenario) -> None:
    tested = {service.name for service in scenario.services}
    for event in scenario.events:
        if event.service and event.service not in tested:
            raise top.error_at(
                "events",
                f"event {event.id or event.do} names the service {event.service!r}, "
                "which nobody tests: add it to services",
            )


def _read_countries(
    section: Section, since_us: int
) -> tuple[tuple[str, ...], dict[str, float], list[VantageRef]]:
    churn: dict[str, float] = {}
    vantages: list[VantageRef] = []
    for code in section.keys:
        country = section.section(code)
        churn[code] = country.number("churn", CHURN, 0, 1_000)
        for number, row in enumerate(country.sections("vantages")):
            vantages += _read_vantages(row, code, number, since_us)
        country.check_unknown_keys()
    if not vantages:
        raise section.error_at(
            "countries", "no country has vantages: give at least one its `vantages`"
        )
    return section.keys, churn, vantages


def _read_vantages(row: Section, code: str, number: int, since_us: int) -> list[VantageRef]:
    location = VantageLocation(
        code, row.text("region", ""), row.integer("asn", 0), row.one_of("access", ACCESS, "")
    )
    first_us = since_us - round(row.number("days", 60.0) * DAY_US)
    count = row.integer("count", None, 1, 100_000)
    carrier = row.text("carrier", "session")
    prefix = row.text("prefix", "")
    row.check_unknown_keys()
    named = vantages_at(location, count, first_us, carrier=carrier, prefix=prefix)
    return [
        replace(w, nym=f"{number}:{w.nym}", prefix=prefix or f"{number}:{w.prefix}") for w in named
    ]


def _read_world(top: Section, since_us: int) -> tuple[tuple[VantageRef, ...], float]:
    if "world" not in top:
        return other_countries(since_us), CHURN
    section = top.section("world")
    countries = section.integer("countries", 4, 0, 26)
    each = section.integer("each", 12, 1, 10_000)
    churn = section.number("churn", CHURN, 0, 1_000)
    section.check_unknown_keys()
    return other_countries(since_us, countries, each), churn


def _read_services(top: Section, since_us: int, until_us: int) -> tuple[ServiceSchedule, ...]:
    if "services" not in top:
        return ()
    section = top.section("services")
    services = []
    for name in section.keys:
        row = section.section(name)
        services.append(
            ServiceSchedule(
                name,
                row.length("every", 60.0),
                row.number("noise", 0.03, 0, 1),
                (row.timestamp("since", since_us) - since_us) / SECOND_US,
                (row.timestamp("until", until_us) - since_us) / SECOND_US,
            )
        )
        row.check_unknown_keys()
    return tuple(services)


def _read_event(row: Section, codes: tuple[str, ...], since_us: int) -> ScenarioEvent:
    do = row.one_of("do", EVENT_KINDS)
    low, high = ((us - since_us) / SECOND_US for us in row.bracket("at"))
    if low < 0:
        raise row.error_at("at", "at lies before the scenario's since: give a later time")
    event = ScenarioEvent(
        do=do,
        when=(low, high),
        cells=_read_cells(row, do, codes),
        id=row.text("id", ""),
        lasts_s=row.length("for", math.inf),
        jitter_s=row.length("jitter", 0.0),
        service=row.text("service", "" if do not in INTERFERENCES else None),
        layer=row.text("layer", ""),
        method=row.text("method", ""),
        share=row.number("share", 1.0, 0, 1),
        declared=row.flag("declared", True),
        scoreable=row.flag("scoreable", True),
        scope=_read_scope(row.section("scope"), codes) if "scope" in row else None,
        label=row.text("label", ""),
    )
    row.text("note", "")
    row.check_unknown_keys()
    return event


def _read_cells(row: Section, do: str, codes: tuple[str, ...]) -> tuple[CellSelector, ...]:
    if "who" not in row:
        only = "" if do in _EVERYWHERE else _only_country(row, codes)
        list(row.sections("who"))
        return (CellSelector(only),)
    return tuple(_read_cell(cell, do, codes) for cell in row.sections("who"))


def _read_cell(section: Section, do: str, codes: tuple[str, ...]) -> CellSelector:
    cell = CellSelector(
        *_read_scope_fields(section, codes, is_everywhere=do in _EVERYWHERE),
        section.text("carrier", ""),
        section.text("prefix", ""),
        section.text("except", ""),
        section.number("share", 1.0, 0, 1),
    )
    section.check_unknown_keys()
    return cell


def _read_scope(section: Section, codes: tuple[str, ...]) -> Scope:
    scope = _read_scope_fields(section, codes, is_everywhere=False)
    section.check_unknown_keys()
    return scope


def _read_scope_fields(section: Section, codes: tuple[str, ...], *, is_everywhere: bool) -> Scope:
    is_optional = "country" in section or is_everywhere
    return Scope(
        section.text("country", "" if is_optional else _only_country(section, codes)),
        section.text("region", ""),
        section.integer("asn", 0),
        section.one_of("access", ACCESS, ""),
    )


def _only_country(section: Section, codes: tuple[str, ...]) -> str:
    if len(codes) != 1:
        raise section.error_at("who", f"country is needed, one of {', '.join(codes)}: name it")
    return codes[0]
