"""Measurements of a few names by volunteers and controls, with their verdicts."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from heliograph_collector.control import Assessor
from heliograph_collector.judge import judge
from heliograph_collector.model.records import (
    JudgedMeasurement,
    ReceivedMeasurement,
    VerdictState,
)
from heliograph_collector.model.seniority import Seniority
from support.control_records import Steps, build_control, build_record, overall

NAMES = ("news.example", "chat.example", "video.example", "wiki.example", "bank.example")


def page(name: str, address: str, tls: str = "ok") -> Steps:
    steps: Steps = [{f"system A {name}": address}, {f"connect {address}": "ok"}]
    return [*steps, {f"tls {name}": tls}, *([{"http": 200}] if tls == "ok" else [])]


def measure(
    name: str, steps: Any, minute: float, nym: str = "volunteer", **facts: Any
) -> ReceivedMeasurement:
    facts = {"target": f"https://{name}/", **facts}
    record = build_record(steps, minute, nym=nym, **facts)
    return replace(record, id=f"{nym}{name}{minute}", seniority=Seniority.ESTABLISHED)


def controls(minute: float, names: Iterable[str] = NAMES) -> list[ReceivedMeasurement]:
    return [
        build_control(page(n, f"9.8.7.{i}"), minute, target=f"https://{n}/", country="DE")
        for i, n in enumerate(names)
    ]


def assess(*blocks: Sequence[ReceivedMeasurement]) -> list[JudgedMeasurement]:
    """Return the newest verdict on each volunteer's measurement."""
    assessor = Assessor(judge)
    newest = {r.id: (r, v) for block in blocks for r, v in assessor.assess(block)}
    return [j for j in newest.values() if not j[0].pseudonym.startswith("control")]


def states_of(judged: Sequence[JudgedMeasurement], *names: str) -> set[VerdictState]:
    targets = {f"https://{n}/" for n in names}
    return {overall(j)[0] for j in judged if j[0].measurement.target in targets}
