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
from heliograph_collector.fleet.trust_chain import standing_charter

MOST = 50  # that are listed


@dataclass(frozen=True, slots=True)
class Edition:
    version: int
    issued_s: int
    tasks: int
    services_version: str


def editions(fleet: Fleet) -> list[Edition]:
    """The newest first."""
    with fleet.transaction() as db:
        rows = db.execute("SELECT plan FROM plans ORDER BY version DESC LIMIT ?", (MOST,))
        plans = [pb.Plan.FromString(body) for (body,) in rows]
    return [Edition(p.version, p.issued_s, len(p.tasks), p.services_version) for p in plans]


def edition(fleet: Fleet, version: int) -> Plan | None:
    with fleet.transaction() as db:
        found = db.execute("SELECT plan FROM plans WHERE version = ?", (version,)).fetchone()
    return None if found is None else plan_from_pb(pb.Plan.FromString(found[0]))


LIFE_S = 60 * 86_400  # then it widens nothing; agents go on by it for half a year more
# Reckoned together its tasks are some 45 MB a day over IPv4 and 75 over both families; what the
# limit does not cover comes later than planned, anchors last.
_BYTES_PER_MONTH = 2_000_000_000
_UNPLANNED_S = 600  # a service whose experiment this edition does not know


def standing(fleet: Fleet) -> tuple[Plan, pb.SignedPlan] | None:
    """The newest plan, read and as it was signed."""
    found = fleet.plan()
    if found is None:
        return None
    signed = pb.SignedPlan(plan=found[0], signature=found[1])
    return plan_from_pb(pb.Plan.FromString(signed.plan)), signed


def issue(fleet: Fleet, signer: keys.SigningKey, draft: Plan, now_s: int) -> Plan:
    """Sign `draft` as the next version. Its own version and dates are overwritten.

    Raises KeysError when agents would not take it by this key.
    """
    charter = standing_charter(fleet)
    if charter is not None and signer.public not in charter.plan.keys:
        raise KeysError("The key that signs plans was replaced meanwhile: restart `serve`.")
    while True:
        before = standing(fleet)
        version = 1 if before is None else before[0].version + 1
        plan = replace(draft, version=version, issued_s=now_s, expires_s=now_s + LIFE_S)
        body = plan_to_pb(plan).SerializeToString(deterministic=True)
        if fleet.add_plan(version, body, signer.sign(keys.PLAN, body)):
            return plan


def keep_fresh(fleet: Fleet, signer: keys.SigningKey, services: Services, now_s: int) -> Plan:
    """The plan to serve by: the standing one, issued again when its services are another edition
    or half its life is over; the default one when there was none."""
    found = standing(fleet)
    if found is None:
        return issue(fleet, signer, default_plan(services), now_s)
    plan = found[0]
    if plan.services_version == services.version and plan.expires_s - now_s > LIFE_S // 2:
        return plan
    draft = replace(plan, services_version=services.version, services=services.services)
    return issue(fleet, signer, draft, now_s)


def announce(
    fleet: Fleet,
    signer: keys.SigningKey,
    entrances: tuple[Entrance, ...],
    now_s: int,
    *,
    beacon_zone: str = "",
) -> bool:
    """Issue the standing plan again where it names other ways in; whether that was done."""
    found = standing(fleet)
    if found is None:
        return False
    wanted = replace(found[0], entrances=entrances, beacon_zone=beacon_zone)
    if wanted == found[0]:
        return False
    issue(fleet, signer, wanted, now_s)
    return True


def default_plan(services: Services) -> Plan:
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
            *(_task(service) for service in services.services if _is_planned(service)),
            *_lone_tasks(),
        ),
        limits=Limits(bytes_per_month=_BYTES_PER_MONTH),
    )


def _is_planned(service: Service) -> bool:
    entry = entry_of(service.experiment)
    return entry is None or entry.planned


def _task(service: Service) -> PlannedTask:
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
