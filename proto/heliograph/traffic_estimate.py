"""Estimate the bytes of a plan's tests, for the terms, the limit and the commands.

>>> from heliograph.plan import PlannedTask
>>> estimate_task_bytes(PlannedTask(experiment="tcp", target="a:1", interval_s=600), None)
129600
"""

from collections import Counter

from heliograph.address import parse_literal
from heliograph.byte_shares import ANCHOR_SHARE, HELLO_SHARE, LIGHT_SHARE, OTHER_SHARE
from heliograph.experiments import entry_of
from heliograph.experiments.messengers import MessengerConfig
from heliograph.plan import ANCHORS, HELLO, Endpoint, EndpointKind, Plan, PlannedTask, Service
from heliograph.translation import format_decimal
from heliograph.translation import translate as _
from heliograph.units import DAY_S

LIGHT_CHECKS = "light checks"  # of all messengers
_LOOKUP_BYTES = 400  # two queries and their answers
# Bytes at one address in both directions with headers, measured on loopback with packets of 1,500
# bytes and chains of 3 KB. A blocked host costs less.
_ADDRESS_BYTES = {
    EndpointKind.DNS: 0,
    EndpointKind.TCP: 500,
    EndpointKind.STUN: 200,
    EndpointKind.TLS: 7_600,
    EndpointKind.HTTP: 2_200,
    EndpointKind.HTTPS: 9_800,
    EndpointKind.WEBSOCKET: 9_000,
    EndpointKind.MTPROTO: 600,
    EndpointKind.NOISE: 900,
    EndpointKind.QUIC: 8_600,
}
_SECONDS_BELOW_S = 90  # a shorter interval is given in seconds
_USUAL_ADDRESSES = 2  # of a name: one of each family
_SHARES = {ANCHORS: ANCHOR_SHARE, LIGHT_CHECKS: LIGHT_SHARE, HELLO: HELLO_SHARE, "": OTHER_SHARE}
_DEFAULT_RUN_BYTES = 15_000  # a target without a service, of an experiment that was not measured


def estimate_task_bytes(task: PlannedTask, service: Service | None) -> int:
    """Estimate one task's bytes a day, on a line with both families."""
    return estimate_run_bytes(task, service) * DAY_S // max(1, task.interval_s)


def estimate_run_bytes(task: PlannedTask, service: Service | None) -> int:
    """Estimate the bytes of one run; of a light check, the mean over its choices."""
    entry = entry_of(task.experiment)
    alone = entry.visit_bytes if entry else 0
    if service is None or task.is_turn:
        return alone or _DEFAULT_RUN_BYTES
    if task.is_light:
        drawable = service.list_light_endpoints()
        return alone + sum(_estimate_visit(e, 1) for e in drawable) // max(1, len(drawable))
    visited = service.list_planned_endpoints()
    addresses = 1 if task.experiment == ANCHORS else _USUAL_ADDRESSES
    config = entry.config() if entry else None
    if isinstance(config, MessengerConfig):
        visited = config.sample(visited)
        addresses = config.addresses + 1  # and one of IPv6
    return alone + sum(_estimate_visit(e, addresses) for e in visited)


def _estimate_visit(endpoint: Endpoint, addresses: int) -> int:
    """Estimate a visit; a name has `addresses` that are tried, of one family each."""
    one = _ADDRESS_BYTES[endpoint.kind]
    return one if parse_literal(endpoint.host) else _LOOKUP_BYTES + one * addresses


def list_costs(plan: Plan) -> dict[str, int]:
    """List the bytes a day by experiment, light checks as one, the largest first."""
    services = {service.name: service for service in plan.services}
    costs: Counter[str] = Counter()
    for task in plan.tasks:
        name = LIGHT_CHECKS if task.is_light else task.experiment
        costs[name] += estimate_task_bytes(task, services.get(task.service))
    return dict(costs.most_common())


def estimate_plan_bytes(plan: Plan) -> int:
    """Estimate the bytes a day of all lines, whatever the limit is."""
    return sum(list_costs(plan).values())


def format_traffic(plan: Plan) -> dict[str, str]:
    """Format a day's MB for a sentence: `total`, `limit`, and `parts` by experiment."""
    costs = list_costs(plan)
    parts = [f"{name} {format_decimal(size / 1e6)}" for name, size in costs.items()]
    return {
        "total": format_decimal(sum(costs.values()) / 1e6),
        "limit": format_decimal(plan.limits.bytes_per_month / 30e6),
        "parts": _(", ").join(parts),
    }


def describe_traffic(plan: Plan) -> str:
    """Describe the bytes of a day, beside the limit and by experiment, in MB."""
    return "{total} MB a day of {limit} ({parts})".format(**format_traffic(plan))


def estimate_factors(plan: Plan) -> dict[str, float]:
    """Estimate the factors by which a limit stretches the intervals of kinds of tests.

    Kinds are ANCHORS, LIGHT_CHECKS, HELLO and, for all others, "".
    """
    services = {service.name: service for service in plan.services}
    costs: Counter[str] = Counter()
    for task in plan.tasks:
        costs[_kind_of(task)] += estimate_task_bytes(task, services.get(task.service))
    daily = plan.limits.bytes_per_month * 29 / 30 / 30  # a day's bytes are there at the beginning
    if costs.total() <= daily:
        return dict.fromkeys(costs, 1.0)
    total = sum(_SHARES[kind] for kind in costs)
    factors = {k: max(1.0, cost * total / (daily * _SHARES[k])) for k, cost in costs.items() if k}
    rest = daily - sum(costs[kind] / factor for kind, factor in factors.items())
    return factors | ({"": costs[""] / rest} if "" in costs else {})


def _kind_of(task: PlannedTask) -> str:
    if task.is_light:
        return LIGHT_CHECKS
    return task.experiment if task.experiment in _SHARES else ""


def describe_rarity(plan: Plan) -> str:
    """Describe tests' intervals if a limit makes them longer than planned; else ""."""
    factors = estimate_factors(plan)
    if max(factors.values(), default=1.0) <= 1.0:
        return ""
    names = {ANCHORS: _("anchors"), LIGHT_CHECKS: _("light checks"), HELLO: _("hellos")}
    parts = [
        _describe_interval(name, _interval_s(plan, kind) * factors[kind])
        for kind, name in names.items()
        if kind in factors
    ]
    if "" in factors:
        parts.append(_("others {n} times as rarely").format(n=f"{factors['']:.0f}"))
    text = _("By a limit of {limit} MB a month tests come later than planned: {tests}.")
    limit = plan.limits.bytes_per_month / 1e6
    return text.format(limit=f"{limit:.0f}", tests=_(", ").join(parts))


def _describe_interval(name: str, interval_s: float) -> str:
    if interval_s < _SECONDS_BELOW_S:
        return _("{name} every {n} s").format(name=name, n=f"{interval_s:.0f}")
    return _("{name} every {n} min").format(name=name, n=f"{interval_s / 60:.0f}")


def _interval_s(plan: Plan, kind: str) -> float:
    """Return the planned time between two results of a kind; light checks come in one."""
    intervals = [task.interval_s for task in plan.tasks if _kind_of(task) == kind]
    return min(intervals) if kind == LIGHT_CHECKS else 1 / sum(1 / max(1, s) for s in intervals)
