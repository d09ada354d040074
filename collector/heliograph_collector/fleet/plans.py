"""Plans: the current one, and the next with a raised version and a signature."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from heliograph import keys
from heliograph.codec import plan_from_pb, plan_to_pb
from heliograph.experiments import (
    REGISTRY,
    Category,
    ExperimentEntry,
    category_of,
    entry_of,
    is_for_controls,
)
from heliograph.plan import LIGHT, PAGES, Entrance, Limits, Plan, PlannedTask
from heliograph.services import Services
from heliograph.v1 import plan_pb2 as pb
from heliograph_collector.fleet.keyring import KeysError
from heliograph_collector.fleet.registry import Fleet
from heliograph_collector.fleet.trust_chain import load_current_charter

MAX_LISTED = 50  # rows


@dataclass(frozen=True, slots=True)
class PlanSummary:
    version: int
    issued_s: int
    tasks: int
    services_version: str


def list_plans(fleet: Fleet) -> list[PlanSummary]:
    """List plans, newest first."""
    rows = fleet.read_rows("SELECT plan FROM plans ORDER BY version DESC LIMIT ?", MAX_LISTED)
    plans = [pb.Plan.FromString(body) for (body,) in rows]
    return [PlanSummary(p.version, p.issued_s, len(p.tasks), p.services_version) for p in plans]


def load_plan(fleet: Fleet, version: int) -> Plan | None:
    rows = fleet.read_rows("SELECT plan FROM plans WHERE version = ?", version)
    return plan_from_pb(pb.Plan.FromString(rows[0][0])) if rows else None


PLAN_LIFE_S = 60 * 86_400  # after that agents use it for another half year, but it widens nothing
# A volunteer's tasks take some 62 MB a day of these 66.7 where all names have both families
# (heliograph.traffic_estimate). Tasks beyond the limit come later than planned.
_BYTES_PER_MONTH = 2_000_000_000
CONTROL_S = 780  # of a control, for what volunteers test less often; a tenth is jitter
_UNPLANNED_S = 600  # interval for services whose experiment is unknown to this version


def load_current_plan(fleet: Fleet) -> tuple[Plan, pb.SignedPlan] | None:
    """Return the newest plan, decoded and as signed."""
    plan_row = fleet.read_plan()
    if plan_row is None:
        return None
    signed = pb.SignedPlan(plan=plan_row[0], signature=plan_row[1])
    return plan_from_pb(pb.Plan.FromString(signed.plan)), signed


def list_targets(fleet: Fleet) -> tuple[str, ...]:
    """List the single targets of the current plan that volunteers measure."""
    current = load_current_plan(fleet)
    tasks = current[0].tasks if current else ()
    return tuple(
        sorted({t.target for t in tasks if t.target and not is_for_controls(t.experiment)})
    )


def list_untested(fleet: Fleet, services: Services) -> frozenset[str]:
    """List the services that the current plan leaves out; none without a plan."""
    current = load_current_plan(fleet)
    if current is None:
        return frozenset()
    return frozenset(services.titles) - {task.service for task in current[0].tasks}


def list_public_names(fleet: Fleet, services: Services) -> set[str]:
    """List the services and the plan's single targets that public files may name."""
    return {*(service.name for service in services.services), *list_targets(fleet)}


def load_public_names(data: Path, services: Services) -> set[str]:
    """List the public names from a data directory in use. Raises sqlite3.Error."""
    with closing(Fleet(data)) as fleet:
        return list_public_names(fleet, services)


class PlanChangedError(Exception):
    """Another plan was issued after the one that a draft was made for."""


def issue_plan(
    fleet: Fleet, signer: keys.SigningKey, draft: Plan, now_s: int, after: int | None = None
) -> Plan:
    """Sign `draft` as the next version.

    Args:
        after: The version that it must follow, 0 for none; None for whatever stands.

    Raises:
        KeysError: The key was replaced.
        PlanChangedError: Another version stands than `after`.
    """
    charter = load_current_charter(fleet)
    if charter is not None and signer.public not in charter.plan.keys:
        raise KeysError("The key that signs plans was replaced meanwhile: restart `serve`.")
    while True:
        current = load_current_plan(fleet)
        present = 0 if current is None else current[0].version
        if after not in (None, present):
            raise PlanChangedError
        plan = replace(draft, version=present + 1, issued_s=now_s, expires_s=now_s + PLAN_LIFE_S)
        body = plan_to_pb(plan).SerializeToString(deterministic=True)
        if fleet.add_plan(present + 1, body, signer.sign(keys.PLAN, body)):
            return plan


def refresh_plan(
    fleet: Fleet,
    signer: keys.SigningKey,
    services: Services,
    now_s: int,
    hello_profiles: bytes = b"",
) -> Plan:
    """Return the plan to serve, and issue a new one when that is due.

    A plan is due when none exists, when its services have another version, when the browsers'
    hellos are others, or when half its life is over.
    """
    current = load_current_plan(fleet)
    if current is None:
        draft = replace(build_default_plan(services), hello_profiles=hello_profiles)
        return issue_plan(fleet, signer, draft, now_s)
    plan = current[0]
    is_same = plan.services_version == services.version and plan.hello_profiles == hello_profiles
    if is_same and plan.expires_s - now_s > PLAN_LIFE_S // 2:
        return plan
    draft = replace(
        plan,
        services_version=services.version,
        services=services.services,
        hello_profiles=hello_profiles,
    )
    return issue_plan(fleet, signer, draft, now_s)


def announce_entrances(
    fleet: Fleet,
    signer: keys.SigningKey,
    entrances: tuple[Entrance, ...],
    now_s: int,
    *,
    beacon_zone: str = "",
) -> bool:
    """Issue the plan with these entrances if they changed; return whether they did."""
    current = load_current_plan(fleet)
    if current is None:
        return False
    updated_plan = replace(current[0], entrances=entrances, beacon_zone=beacon_zone)
    if updated_plan == current[0]:
        return False
    issue_plan(fleet, signer, updated_plan, now_s)
    return True


def build_default_plan(services: Services) -> Plan:
    """Plan every service and single target by the registry of experiments.

    Anchors need no short interval, because agents measure them whenever something fails. A
    country's own sites are for controls. Untested hosts are left out, as volunteers agree to
    each host that a plan names.
    """
    tasks = (*_service_tasks(services), *_lone_tasks())
    tested = {task.service for task in tasks}
    tasks = (*tasks, *_turn_tasks(services))
    return Plan(
        version=0,
        issued_s=0,
        expires_s=0,
        services_version=services.version,
        services=tuple(s for s in services.services if s.name in tested),
        tasks=tasks,
        limits=Limits(bytes_per_month=_BYTES_PER_MONTH),
    )


def _service_tasks(services: Services) -> Iterator[PlannedTask]:
    for service in services.services:
        entry = entry_of(service.experiment)
        if entry is not None and entry.light_interval_s:
            yield from _build_checks(service.name, entry)
        if entry is None or entry.planned:
            yield PlannedTask(
                experiment=service.experiment,
                service=service.name,
                interval_s=entry.interval_s if entry else _UNPLANNED_S,
                role=entry.role if entry else "",
            )


def _build_checks(service: str, entry: ExperimentEntry) -> Iterator[PlannedTask]:
    """Yield the light check of a messenger, and the whole test for controls.

    A failed check is evidence only if a control looked at that endpoint within a quarter of an hour
    (judge.confidence.STALE_US).
    """
    yield PlannedTask(
        experiment=entry.name,
        service=service,
        interval_s=entry.light_interval_s,
        options={LIGHT: "true"},
        role="volunteer",
    )
    if entry.interval_s > CONTROL_S:
        yield PlannedTask(
            experiment=entry.name, service=service, interval_s=CONTROL_S, role="control"
        )


def _turn_tasks(services: Services) -> Iterator[PlannedTask]:
    """Yield a task for each messenger with TLS names, and one for the plan's pages.

    Its controls need no more: a hello that passes is proof by itself, and controls are asked about
    the others.
    """
    for entry in REGISTRY.values():
        names = [
            service.name
            for service in services.services
            if category_of(service.experiment) is Category.MESSENGERS
            and any(endpoint.is_named_tls for endpoint in service.endpoints)
        ]
        for name in names if entry.in_turn else ():
            yield PlannedTask(experiment=entry.name, service=name, interval_s=entry.interval_s)
        if entry.in_turn:
            yield PlannedTask(experiment=entry.name, target=PAGES, interval_s=entry.interval_s)


def _lone_tasks() -> Iterator[PlannedTask]:
    for entry in REGISTRY.values():
        for target in entry.planned_targets:
            yield PlannedTask(
                experiment=entry.name, target=target, interval_s=entry.interval_s, role=entry.role
            )
            if entry.interval_s > CONTROL_S and not entry.role:
                yield PlannedTask(
                    experiment=entry.name, target=target, interval_s=CONTROL_S, role="control"
                )
