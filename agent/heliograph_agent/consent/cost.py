"""What a plan costs on the wire, reckoned beforehand from what one visit of each kind takes.

Measured on the shipped services over IPv4, both directions, headers included; an anchor or a site
that is blocked costs less. The allowance of the month bounds all of it but the anchors.
"""

from heliograph.experiments import entry_of
from heliograph.plan import EndpointKind, Plan, PlannedTask, Service

DAY_S = 86_400
_VISIT = {
    EndpointKind.DNS: 400,
    EndpointKind.TCP: 900,
    EndpointKind.STUN: 600,
    EndpointKind.TLS: 7_500,
    EndpointKind.HTTP: 2_500,
    EndpointKind.HTTPS: 10_000,
    EndpointKind.WEBSOCKET: 8_500,
    EndpointKind.MTPROTO: 1_500,
    EndpointKind.NOISE: 2_000,
    EndpointKind.QUIC: 9_000,
}
_OTHERWISE = 15_000  # a lone target whose experiment was not measured


def of_task(task: PlannedTask, service: Service | None) -> int:
    """Bytes a day."""
    entry = entry_of(task.experiment)
    alone = entry.visit_bytes if entry else 0
    if service is None:
        once = alone or _OTHERWISE
    else:
        once = alone + sum(_VISIT[e.kind] for e in service.endpoints)
    return once * DAY_S // max(1, task.interval_s)


def of_plan(plan: Plan) -> int:
    """Bytes a day, at most a day's share of the month's limit."""
    services = {service.name: service for service in plan.services}
    whole = sum(of_task(task, services.get(task.service)) for task in plan.tasks)
    return min(whole, plan.limits.bytes_per_month // 30)
