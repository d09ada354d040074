"""Measurements for the operator: a page of them, or one beside its control.

Nothing here has an address of a vantage, because none is stored.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from multidict import MultiDict

from heliograph.observation import Observation
from heliograph.units import HOUR_US, SECOND_US
from heliograph_collector.http import labels
from heliograph_collector.http.api.measurements import (
    ID_PATTERN,
    LIST_PARAMETERS,
    build_filter,
    read_cursor,
    write_cursor,
)
from heliograph_collector.http.api.parameters import parse
from heliograph_collector.http.backend import MeasurementSource
from heliograph_collector.http.problem import Problem
from heliograph_collector.model.filters import MeasurementFilter
from heliograph_collector.model.judgement import MeasurementPage
from heliograph_collector.model.records import (
    AgentRole,
    JudgedMeasurement,
    ReceivedMeasurement,
    Verdict,
    VerdictState,
)

FIELDS = ("country", "asn", "service", "experiment", "state", "since", "until")
STATES = tuple(state.value for state in VerdictState)
PAGE_SIZE = 50
_CONTROL_WINDOW_US = HOUR_US  # before and after; a control is compared while younger than that
_MAX_CONTROLS = 100  # of which the nearest is shown
_TIMEOUT_S = 10.0
_LOCAL_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?")  # as browsers send it
_MAX_FACTS = 160  # characters; a page's title, or a list of addresses, may be long


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurementLine:
    """A measurement in the list."""

    id: str
    started_us: int
    country: str
    network: str  # "AS9198 fixed"
    region: str
    role: str
    target: str
    state: str
    how: str
    rule: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepLine:
    """One step, and what the control's same step came to."""

    number: int
    operation: str
    subject: str  # what was asked: a name, an address, a URL
    is_failed: bool
    outcome: str
    facts: str
    control: Sequence[str]  # outcomes of the control's same steps; empty without any


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictLine:
    of: str
    state: str
    how: str
    confidence: str
    rule: str
    steps: Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurementDetail:
    """One measurement, and each of its steps beside the control's."""

    line: MeasurementLine
    runtime_s: float
    received_us: int
    facts: Sequence[tuple[str, str]]
    verdicts: Sequence[VerdictLine]
    steps: Sequence[StepLine]
    control: MeasurementLine | None


class MeasurementReader:
    """Read stored measurements for the operator. Methods raise StoreError, Problem."""

    def __init__(self, source: MeasurementSource) -> None:
        self._source = source

    async def list_page(
        self, asked: Mapping[str, str], cursor: str
    ) -> tuple[list[MeasurementLine], str]:
        """Return a page, newest first, and the cursor of the next, "" at the end.

        `asked` has FIELDS; a Problem names the wrong field and its allowed values.
        """
        filters = _parse_filter(asked)
        try:
            page = await self._read(filters, read_cursor(cursor), PAGE_SIZE)
        except ValueError:
            raise Problem(400, "No such page", "Start again from the first page.") from None
        lines = [build_line(*judged) for judged in page.items]
        return lines, write_cursor(page.next) if page.next else ""

    async def find_detail(self, id_: str) -> MeasurementDetail | None:
        judged = await self._source.measurement(id_) if ID_PATTERN.fullmatch(id_) else None
        if judged is None:
            return None
        record, verdicts = judged
        control = await self._find_control(record)
        return MeasurementDetail(
            line=build_line(record, verdicts),
            runtime_s=record.measurement.runtime_us / SECOND_US,
            received_us=record.received_us,
            facts=_list_facts(record),
            verdicts=[_build_verdict(verdict) for verdict in verdicts],
            steps=compare_steps(record, control),
            control=build_line(*control) if control else None,
        )

    async def _read(self, filters: MeasurementFilter, position: str, limit: int) -> MeasurementPage:
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                return await self._source.measurements(filters, position, limit)
        except TimeoutError:
            detail = "The store takes too long: ask for a shorter time."
            raise Problem(503, "Too slow", detail) from None

    async def _find_control(self, record: ReceivedMeasurement) -> JudgedMeasurement | None:
        """Find the nearest result of a control on the same target; None without one."""
        if record.role is AgentRole.CONTROL:
            return None
        filters = MeasurementFilter(
            service=record.measurement.service,
            experiment=record.measurement.experiment,
            target=record.measurement.target,
            role=AgentRole.CONTROL.value,
            since_us=record.started_us - _CONTROL_WINDOW_US,
            until_us=record.started_us + _CONTROL_WINDOW_US,
        )
        page = await self._read(filters, "", _MAX_CONTROLS)
        distances = {
            i: abs(c.started_us - record.started_us) for i, (c, _) in enumerate(page.items)
        }
        return page.items[min(distances, key=distances.__getitem__)] if distances else None


def _parse_filter(asked: Mapping[str, str]) -> MeasurementFilter:
    """Parse the non-empty fields. Raises Problem with a field and its allowed values."""
    values = MultiDict({name: _complete_time(text) for name, text in asked.items() if text})
    allowed = [p for p in LIST_PARAMETERS if p.name in FIELDS]
    return build_filter(parse(values, allowed))


def _complete_time(text: str) -> str:
    if not _LOCAL_TIME.fullmatch(text):
        return text
    return f"{text}Z" if text.count(":") == 2 else f"{text}:00Z"


def build_line(record: ReceivedMeasurement, verdicts: Sequence[Verdict]) -> MeasurementLine:
    overall = next((verdict for verdict in verdicts if not verdict.endpoint), None)
    vantage = record.vantage
    measurement = record.measurement
    return MeasurementLine(
        id=record.id,
        started_us=record.started_us,
        country=vantage.country or "ZZ",
        network=format_network(vantage.asn, str(vantage.access)),
        region=vantage.region,
        role=record.role.value,
        target=measurement.target or measurement.service,
        state=overall.state.value if overall else "",
        how=labels.describe_method(overall.layer, overall.method) if overall else "",
        rule=f"{overall.rule} {overall.fingerprint}".rstrip()
        if overall
        else measurement.not_measured,
    )


def format_network(asn: int, access: str) -> str:
    return f"{f'AS{asn}' if asn else 'network not known'} {access}".rstrip()


def _list_facts(record: ReceivedMeasurement) -> list[tuple[str, str]]:
    """List a measurement's facts beside its steps; empty ones are left out."""
    measurement = record.measurement
    link = labels.label_code("link", measurement.link)
    if measurement.link == "offline":  # of a network that word means that nobody reports
        link = "offline: nothing is judged"
    facts = (
        ("Pseudonym", f"{record.pseudonym}, {record.seniority.value}"),
        ("Experiment", f"{measurement.experiment}, version {measurement.experiment_version}"),
        ("Service", measurement.service),
        ("Target", measurement.target),
        ("Link", link),
        ("Reason", measurement.trigger.replace("_", " ")),
        ("Plan", f"version {measurement.plan_version}" if measurement.plan_version else ""),
        ("Service list", measurement.services_version),
        ("Not measured", measurement.not_measured.replace("_", " ")),
        ("Summary", f"of {measurement.summary.runs} runs" if measurement.summary else ""),
    )
    return [(name, value) for name, value in facts if value]


def _build_verdict(verdict: Verdict) -> VerdictLine:
    rule = " ".join(filter(None, (verdict.rule, verdict.fingerprint, verdict.issuer)))
    return VerdictLine(
        of=verdict.endpoint or "the whole target",
        state=verdict.state.value,
        how=labels.describe_method(verdict.layer, verdict.method),
        confidence=f"{verdict.confidence:.0%}" if verdict.confidence else "\N{EN DASH}",
        rule=rule,
        steps=[index + 1 for index in verdict.evidence],
    )


def compare_steps(record: ReceivedMeasurement, control: JudgedMeasurement | None) -> list[StepLine]:
    """Build a line for each step, with the control's of equal operation and subject.

    If the control tested no equal subject, its steps at the same endpoint are listed with their
    subjects: a resolver here may have led elsewhere.
    """
    controls: dict[tuple[str, str], list[Observation]] = {}
    for step in control[0].measurement.observations if control else ():
        controls.setdefault((step.operation, step.endpoint), []).append(step)
    return [
        _build_step(number, step, controls.get((step.operation, step.endpoint), []))
        for number, step in enumerate(record.measurement.observations, 1)
    ]


def _build_step(number: int, step: Observation, controls: Sequence[Observation]) -> StepLine:
    subject = _name_subject(step)
    facts = _describe_facts(step)
    outcomes = [(_name_subject(control), _describe_control(control, facts)) for control in controls]
    same = [outcome for name, outcome in outcomes if name == subject]
    return StepLine(
        number=number,
        operation=f"{step.endpoint} {labels.label_code('operation', step.operation)}".lstrip(),
        subject=subject,
        is_failed=step.failure is not None,
        outcome=_describe_outcome(step),
        facts=facts,
        control=list(dict.fromkeys(same or [f"{name}: {outcome}" for name, outcome in outcomes])),
    )


def _name_subject(step: Observation) -> str:
    """Name what a step was about. The resolver of a lookup belongs to it."""
    if step.dns:
        asked = f"{step.dns.name} {step.dns.query_type} by {step.dns.engine}"
        return f"{asked} {step.dns.resolver}".rstrip()
    if step.tls:
        return step.tls.server_name or "no name sent"
    if step.http:
        return f"{step.http.method} {step.http.url}"
    if step.exchange:
        return step.exchange.protocol
    if step.hop:
        return f"{step.hop.sent}, {step.hop.ttl} hops"
    peer = step.tcp or step.udp
    return f"{peer.address}, port {peer.port}" if peer else ""


def _describe_control(control: Observation, facts: str) -> str:
    """Describe the outcome of a control's step, and its result if that differs."""
    facts_text = _describe_facts(control)
    outcome = _describe_outcome(control)
    return f"{outcome}: {facts_text}" if facts_text and facts_text != facts else outcome


def _describe_outcome(step: Observation) -> str:
    took = f"{step.duration_us / 1_000:.0f} ms"
    if step.failure is None:
        return f"passed, {took}"
    return f"{labels.label_code('failure', step.failure)}, {took}"


def _describe_facts(step: Observation) -> str:
    """Describe what a step found, in one line."""
    details: list[str] = []
    if step.dns:
        details = [answer.data for answer in step.dns.answers]
        details += [f"rcode {step.dns.rcode}"] if step.dns.rcode else []
    elif step.tls:
        details = [step.tls.version, *[f"issued by {c.issuer}" for c in step.tls.chain[:1]]]
        details += [f"alert {step.tls.alert}"] if step.tls.alert is not None else []
    elif step.http and step.http.status:
        details = [str(step.http.status), step.http.title, step.http.location, step.http.server]
        details += [f"{step.http.body_bytes} bytes"] if step.http.body_bytes else []
    elif step.exchange:
        details = [step.exchange.reply, *step.exchange.differences]
    elif step.hop:
        details = [step.hop.reply.replace("_", " "), step.hop.network]
    text = ", ".join(filter(None, [*details, step.failure_detail]))
    return text if len(text) <= _MAX_FACTS else f"{text[:_MAX_FACTS]}…"
