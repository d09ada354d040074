"""Show a plan's effect, risks and cost, and limit it to the volunteer's consent.

    print(format_terms(plan, collector.endpoint, country))
    consent = Consent(given_us=now_us, plan_version=plan.version, scope=consent_scope(plan))
    allowed_plan, waiting = narrow_plan(newer_plan, consent)

A plan may narrow the tests at any time. It can never widen it, because new units wait for
consent. The registry of experiments is imported on first use, because an idle agent needs none.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, TypedDict

from heliograph.observation import Access
from heliograph.plan import LIGHT, Plan, PlannedTask
from heliograph.units import minute_of
from heliograph_agent.consent.country import name_country
from heliograph_agent.consent.risk import RiskTier, describe_risk, find_tier, is_grave
from heliograph_agent.consent.terms import (
    describe_cost,
    estimate_daily_bytes,
    format_options,
    format_terms,
    make_printable,
)

__all__ = [
    "Consent", "RiskTier", "consent_scope", "describe_cost", "describe_risk", "digest_unit",
    "estimate_daily_bytes", "exclude_tests", "find_tier", "find_unmatched_names",
    "format_terms", "is_grave", "is_risk_new", "list_excluded", "local_hour", "make_printable",
    "name_country", "narrow_plan", "opt_out_names", "read_consent", "restrict_to_basics",
]  # fmt: skip

VERSION = 2  # of consent.json
EVERYTHING = "*"
DIGEST_DIGITS = 32  # 128 bits, so that no plan finds another unit with an agreed digest
# Tests and hosts differ in form, so that consent to one is none to the other, and nothing in a
# plan looks like consent to everything.
_TEST = re.compile(r"[a-z0-9_]+(?: .+)?", re.DOTALL)
_HOST = re.compile(r"(?=[^ ]*[.:])[^\s*]+|localhost")

# The network is the volunteer's, its owner agreed, or that is unknown.
NETWORKS = ("own", "allowed", "unasked")


class StoredConsent(TypedDict):
    """Describe consent.json."""

    version: int
    given_us: int
    plan_version: int
    scope: list[str]
    country: str
    region: str
    access: str
    network: str
    bytes_per_month: int
    tier: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """Hold the contents of consent.json."""

    given_us: int
    plan_version: int
    scope: frozenset[str]  # digests of units of consent_scope, or EVERYTHING
    country: str = ""
    region: str = ""
    access: Access = Access.UNKNOWN
    network: str = "unasked"  # one of NETWORKS
    bytes_per_month: int = 0  # the limit shown at the time; 0 where it was not recorded
    tier: RiskTier = RiskTier.NOT_LOOKED_AT  # the risk that the terms named

    def __post_init__(self) -> None:
        """Keep only what a seized disk may show: digests of the units, and the minute."""
        object.__setattr__(self, "scope", frozenset(map(digest_unit, self.scope)))
        object.__setattr__(self, "given_us", minute_of(self.given_us))

    def to_json(self) -> StoredConsent:
        return {
            "version": VERSION,
            "given_us": self.given_us,
            "plan_version": self.plan_version,
            "scope": sorted(self.scope),
            "country": self.country,
            "region": self.region,
            "access": self.access.value,
            "network": self.network,
            "bytes_per_month": self.bytes_per_month,
            "tier": self.tier.value,
        }


def digest_unit(unit: str) -> str:
    """Return what consent.json has in place of a unit, so that it names no target.

    A digest begins with EVERYTHING, which no unit contains, and is its own digest.
    """
    if unit.startswith(EVERYTHING):
        return unit
    digest = sha256(b"heliograph consent v1\0" + unit.encode()).hexdigest()
    return f"{EVERYTHING}{digest[:DIGEST_DIGITS]}"


# The operator who runs an agent agrees by running it.
OPERATORS_CONSENT = Consent(given_us=0, plan_version=0, scope=frozenset({EVERYTHING}))


def read_consent(stored: Mapping[str, Any] | None) -> Consent | None:
    """Read the consent, to whichever text it was given; None without one.

    A reworded text needs no new consent: the tests and the named risk decide.
    """
    try:
        if stored is None:
            return None
        country = str(stored["country"])
        return Consent(
            given_us=int(stored["given_us"]),
            plan_version=int(stored["plan_version"]),
            scope=frozenset(str(name) for name in stored["scope"]),
            country=country,
            region=str(stored["region"]),
            access=Access(stored["access"]),
            network=str(stored.get("network", "unasked")),
            bytes_per_month=int(stored.get("bytes_per_month", 0)),
            tier=RiskTier(stored["tier"])
            if "tier" in stored
            else _infer_tier(stored["version"], country),
        )
    except (KeyError, TypeError, ValueError):
        return None


def _infer_tier(version: int, country: str) -> RiskTier:
    """Return the risk in the terms of a consent that does not record it."""
    # The first text named no country's risk, only that measuring may be punished somewhere.
    return RiskTier.WATCHED if version < VERSION else find_tier(country)


def consent_scope(plan: Plan) -> frozenset[str]:
    """Return the units of consent: tasks with options, and hosts of services."""
    tests = filter(_TEST.fullmatch, map(_task_unit, plan.tasks))
    return frozenset(tests) | frozenset(filter(_HOST.fullmatch, _iter_hosts(plan)))


def narrow_plan(plan: Plan, consent: Consent) -> tuple[Plan, tuple[str, ...]]:
    """Return the agreed part of the plan, and the other units in sorted order."""
    missing_units = {_task_unit(task) for task in plan.tasks}
    if is_risk_new(consent):
        plan = restrict_to_basics(plan)
    missing_units -= {_task_unit(task) for task in plan.tasks}
    if EVERYTHING in consent.scope:
        return plan, tuple(sorted(missing_units))
    agreed_units = {unit for unit in consent_scope(plan) if digest_unit(unit) in consent.scope}
    tests = set(filter(_TEST.fullmatch, agreed_units))
    hosts = set(filter(_HOST.fullmatch, agreed_units))
    allowed = replace(
        plan,
        tasks=tuple(task for task in plan.tasks if _task_unit(task) in tests),
        services=tuple(
            replace(
                service, endpoints=tuple(e for e in service.endpoints if hosts.issuperset(e.hosts))
            )
            for service in plan.services
        ),
    )
    all_units = {*map(_task_unit, plan.tasks), *_iter_hosts(plan)}
    missing_units |= all_units - agreed_units
    if 0 < consent.bytes_per_month < plan.limits.bytes_per_month:
        limits = replace(plan.limits, bytes_per_month=consent.bytes_per_month)
        allowed = replace(allowed, limits=limits)
        missing_units |= {f"{plan.limits.bytes_per_month / 1e6:.0f} MB a month"}
    return allowed, tuple(sorted(missing_units))


def _task_unit(task: PlannedTask) -> str:
    """Name a task with its options, because options may name further hosts.

    A light check does less of the same test, so who agreed to that agreed to this.
    """
    named = (name for name in (task.experiment, task.service, task.target) if name)
    options = {key: value for key, value in task.options.items() if key != LIGHT}
    return " ".join(named) + format_options(replace(task, options=options))


def _iter_hosts(plan: Plan) -> Iterator[str]:
    return (host for service in plan.services for e in service.endpoints for host in e.hosts)


def opt_out_names(task: PlannedTask) -> frozenset[str]:
    """Return the names that opt out of the task: category, experiment and service."""
    from heliograph.experiments import category_of

    return frozenset({category_of(task.experiment), task.experiment, task.service} - {""})


def exclude_tests(plan: Plan, unwanted: Collection[str]) -> Plan:
    """Return the plan without unwanted tests, and without services that no task needs."""
    if not unwanted:
        return plan
    tasks = tuple(task for task in plan.tasks if opt_out_names(task).isdisjoint(unwanted))
    service_names = {task.service for task in tasks}
    services = tuple(service for service in plan.services if service.name in service_names)
    return replace(plan, tasks=tasks, services=services)


def find_unmatched_names(plan: Plan, unwanted: Collection[str]) -> list[str]:
    """Find an opt-out's names that match no category, test or service."""
    from heliograph.experiments import REGISTRY, Category

    services = {service.name for service in plan.services}
    services |= {task.service for task in plan.tasks}
    return sorted(set(unwanted) - services - {*Category, *REGISTRY})


def list_excluded(plan: Plan, unwanted: Collection[str]) -> tuple[PlannedTask, ...]:
    return tuple(task for task in plan.tasks if not opt_out_names(task).isdisjoint(unwanted))


def is_risk_new(consent: Consent) -> bool:
    """Return whether measuring is punished in that country, unlike the terms said."""
    return consent.tier < RiskTier.PUNISHED and is_grave(consent.country)


def restrict_to_basics(plan: Plan) -> Plan:
    """Return only messengers and anchors, which a simple yes covers if PUNISHED."""
    from heliograph.experiments import Category, category_of

    categories = {category_of(task.experiment) for task in plan.tasks}
    return exclude_tests(plan, categories - {Category.MESSENGERS, Category.ANCHORS})


def local_hour(wall_us: int) -> int:
    """Return the hour of this machine's local time."""
    return datetime.fromtimestamp(wall_us / 1e6, UTC).astimezone().hour
