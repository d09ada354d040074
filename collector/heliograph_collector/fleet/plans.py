"""Which plan stands, and how the next is issued: version raised, signed with our key."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from heliograph import keys
from heliograph.codec import plan_from_pb, plan_to_pb
from heliograph.experiments import REGISTRY, entry_of
from heliograph.plan import Entrance, Limits, Plan, PlannedTask, Service
from heliograph.services import Services
from heliograph.v1 import plan_pb2 as pb
from heliograph_collector.fleet.keyring import KeysError
from heliograph_collector.fleet.registry import Fleet
from heliograph_collector.fleet.trust_chain import load_current_charter

MAX_LISTED = 50  # that are listed


@dataclass(frozen=True, slots=True)
class PlanSummary:
    version: int
    issued_s: int
    tasks: int
    services_version: str


def list_plans(fleet: Fleet) -> list[PlanSummary]:
    """The newest first."""
    with fleet.transaction() as db:
        rows = db.execute("SELECT plan FROM plans ORDER BY version DESC LIMIT ?", (MAX_LISTED,))
        plans = [pb.Plan.FromString(body) for (body,) in rows]
    return [PlanSummary(p.version, p.issued_s, len(p.tasks), p.services_version) for p in plans]


def load_plan(fleet: Fleet, version: int) -> Plan | None:
    with fleet.transaction() as db:
        row = db.execute("SELECT plan FROM plans WHERE version = ?", (version,)).fetchone()
    return None if row is None else plan_from_pb(pb.Plan.FromString(row[0]))


PLAN_LIFE_S = 60 * 86_400  # then it widens nothing; agents go on by it for half a year more
# Reckoned together its tasks are some 45 MB a day over IPv4 and 75 over both families; what the
# limit does not cover comes later than planned, anchors last.
_BYTES_PER_MONTH = 2_000_000_000
_UNPLANNED_S = 600  # a service whose experiment this edition does not know


def load_current_plan(fleet: Fleet) -> tuple[Plan, pb.SignedPlan] | None:
    """The newest plan, read and as it was signed."""
    plan_row = fleet.read_plan()
    if plan_row is None:
        return None
    signed = pb.SignedPlan(plan=plan_row[0], signature=plan_row[1])
    return plan_from_pb(pb.Plan.FromString(signed.plan)), signed


def issue_plan(fleet: Fleet, signer: keys.SigningKey, draft: Plan, now_s: int) -> Plan:
    """Sign `draft` as the next version. Its own version and dates are overwritten.

    Raises KeysError when agents would not take it by this key.
    """
    charter = load_current_charter(fleet)
    if charter is not None and signer.public not in charter.plan.keys:
        raise KeysError("The key that signs plans was replaced meanwhile: restart `serve`.")
    while True:
        current = load_current_plan(fleet)
        version = 1 if current is None else current[0].version + 1
        plan = replace(draft, version=version, issued_s=now_s, expires_s=now_s + PLAN_LIFE_S)
        body = plan_to_pb(plan).SerializeToString(deterministic=True)
        if fleet.add_plan(version, body, signer.sign(keys.PLAN, body)):
            return plan


def refresh_plan(fleet: Fleet, signer: keys.SigningKey, services: Services, now_s: int) -> Plan:
    """The plan to serve by: the standing one, issued again when its services are another edition
    or half its life is over; the default one when there was none."""
    current = load_current_plan(fleet)
    if current is None:
        return issue_plan(fleet, signer, build_default_plan(services), now_s)
    plan = current[0]
    if plan.services_version == services.version and plan.expires_s - now_s > PLAN_LIFE_S // 2:
        return plan
    draft = replace(plan, services_version=services.version, services=services.services)
    return issue_plan(fleet, signer, draft, now_s)


def announce_entrances(
    fleet: Fleet,
    signer: keys.SigningKey,
    entrances: tuple[Entrance, ...],
    now_s: int,
    *,
    beacon_zone: str = "",
) -> bool:
    """Issue the standing plan again where it names other ways in; whether that was done."""
    current = load_current_plan(fleet)
    if current is None:
        return False
    updated_plan = replace(current[0], entrances=entrances, beacon_zone=beacon_zone)
    if updated_plan == current[0]:
        return False
    issue_plan(fleet, signer, updated_plan, now_s)
    return True


def build_default_plan(services: Services) -> Plan:
    """Plan every service and lone target as the registry of experiments says.

    Agents ask the anchors again whenever something fails, so they need not be asked more often. A
    country's own sites are for controls.
    """
    return Plan(
        version=0,
        issued_s=0,
        expires_s=0,
        services_version=services.version,
        services=services.services,
        tasks=(
            *(_build_task(service) for service in services.services if _is_planned(service)),
            *_lone_tasks(),
        ),
        limits=Limits(bytes_per_month=_BYTES_PER_MONTH),
    )


def _is_planned(service: Service) -> bool:
    entry = entry_of(service.experiment)
    return entry is None or entry.planned


def _build_task(service: Service) -> PlannedTask:
    entry = entry_of(service.experiment)
    return PlannedTask(
        experiment=service.experiment,
        service=service.name,
        interval_s=entry.interval_s if entry else _UNPLANNED_S,
        role=entry.role if entry else "",
    )


def _lone_tasks() -> Iterator[PlannedTask]:
    for entry in REGISTRY.values():
        for target in entry.planned_targets:
            yield PlannedTask(
                experiment=entry.name, target=target, interval_s=entry.interval_s, role=entry.role
            )
