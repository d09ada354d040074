"""Plan file of the operator: tasks, limits and heartbeat, without services."""

from datetime import UTC, datetime

import yaml

from heliograph.experiments import NAMES, REGISTRY
from heliograph.experiments.options import OptionError, parse_options
from heliograph.plan import ROLES, VERSION, Limits, Plan, PlannedTask
from heliograph.services import Services
from heliograph.traffic_estimate import describe_traffic
from heliograph.yaml_document import YamlEntry

_MAX_TASKS = 512
_MAX_TARGET_LENGTH = 2_048
_TASK_KEYS = ("experiment", "service", "target", "interval_s", "options", "role")
_VERSION_KEYS = ("newest_version", "insecure_before")
_LIMIT_RANGES = {
    "bytes_per_month": (1_000_000, 1_000_000_000_000),
    "concurrency": (1, 64),
    "target_pause_s": (1, 3_600),
}


def parse_plan(root: YamlEntry, services: Services) -> Plan:
    """Parse a plan file to an unissued plan. Raises YamlError."""
    keys = root.mapping(("fixed_schedule", "heartbeat_s", "limits", "tasks", *_VERSION_KEYS))
    if "tasks" not in keys:
        raise root.error("the key tasks is missing; `plan show` prints an example")
    items = keys["tasks"].items()
    if not 0 < len(items) <= _MAX_TASKS:
        raise keys["tasks"].error(f"must list 1 to {_MAX_TASKS} tasks")
    return Plan(
        version=0,
        issued_s=0,
        expires_s=0,
        services_version=services.version,
        services=services.services,
        tasks=tuple(_parse_task(item, services) for item in items),
        limits=_parse_limits(keys["limits"]) if "limits" in keys else Limits(),
        heartbeat_s=keys["heartbeat_s"].parse_integer(1, 300) if "heartbeat_s" in keys else 15,
        fixed_schedule="fixed_schedule" in keys and keys["fixed_schedule"].parse_flag(),
        newest_version=_parse_version(keys.get("newest_version")),
        insecure_before=_parse_version(keys.get("insecure_before")),
    )


def _parse_version(entry: YamlEntry | None) -> str:
    if entry is None:
        return ""
    version = entry.parse_text()
    if not VERSION.fullmatch(version):
        raise entry.error('must be a version of agents such as "0.2.0", in quotes')
    return version


def _parse_task(item: YamlEntry, services: Services) -> PlannedTask:
    keys = item.mapping(_TASK_KEYS, required=("experiment", "interval_s"))
    if ("service" in keys) == ("target" in keys):
        raise item.error("needs either service or target")
    names = tuple(service.name for service in services.services)
    experiment = keys["experiment"].parse_choice(NAMES)
    return PlannedTask(
        experiment=experiment,
        interval_s=keys["interval_s"].parse_integer(10, 604_800),
        service=keys["service"].parse_choice(names) if "service" in keys else "",
        target=_parse_target(keys["target"]) if "target" in keys else "",
        options=_parse_options(keys["options"], experiment) if "options" in keys else {},
        role=keys["role"].parse_choice(ROLES) if "role" in keys else "",
    )


def _parse_target(entry: YamlEntry) -> str:
    target = entry.parse_text()
    if not 0 < len(target) <= _MAX_TARGET_LENGTH or any(c <= " " for c in target):
        raise entry.error(f"must have 1 to {_MAX_TARGET_LENGTH} characters and no blanks")
    return target


def _parse_options(entry: YamlEntry, experiment: str) -> dict[str, str]:
    options = {name: value.parse_text() for name, value in entry.mapping().items()}
    try:
        parse_options(REGISTRY[experiment], options)
    except OptionError as error:
        raise entry.error(str(error).rstrip(".")) from error
    return options


def _parse_limits(entry: YamlEntry) -> Limits:
    keys = entry.mapping(tuple(_LIMIT_RANGES))
    return Limits(
        **{name: value.parse_integer(*_LIMIT_RANGES[name]) for name, value in keys.items()}
    )


def render_plan(plan: Plan) -> str:
    """Render a plan as YAML for `parse_plan`, with version and dates as comments."""
    day = "%Y-%m-%d"
    header = (
        f"# version {plan.version}, issued {datetime.fromtimestamp(plan.issued_s, UTC):{day}},"
        f" good until {datetime.fromtimestamp(plan.expires_s, UTC):{day}}\n"
        f"# services {plan.services_version}: {', '.join(s.name for s in plan.services)}\n"
        f"# a volunteer moves some {describe_traffic(plan.for_role('volunteer'))}\n"
    )
    limits = plan.limits
    body = {
        "fixed_schedule": plan.fixed_schedule,
        "heartbeat_s": plan.heartbeat_s,
        "limits": {name: getattr(limits, name) for name in _LIMIT_RANGES},
        **{name: getattr(plan, name) for name in _VERSION_KEYS if getattr(plan, name)},
        "tasks": [_build_task_fields(task) for task in plan.tasks],
    }
    return header + yaml.safe_dump(body, sort_keys=False, allow_unicode=True, width=100)


def _build_task_fields(task: PlannedTask) -> dict[str, object]:
    fields: dict[str, object] = {
        "experiment": task.experiment,
        "service": task.service,
        "target": task.target,
        "interval_s": task.interval_s,
        "options": dict(task.options),
        "role": task.role,
    }
    return {key: value for key, value in fields.items() if value}
