"""Show a plan's effect, risks and cost, and limit it to the volunteer's consent.

    print(format_terms(plan, collector.endpoint, country))
    consent = Consent(given_us=now_us, plan_version=plan.version, scope=consent_scope(plan))
    allowed_plan, waiting = narrow_plan(newer_plan, consent)

A plan may narrow what is run at any time. It can never widen it, because new units wait for
consent. The registry of experiments is imported on first use, because an idle agent needs none.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import IntEnum
from hashlib import sha256
from importlib.resources import files
from textwrap import fill
from typing import Any, TypedDict

from heliograph.observation import Access
from heliograph.plan import LIGHT, Plan, PlannedTask, Service
from heliograph.units import minute_of
from heliograph.yaml_document import parse_yaml

VERSION = 2  # of consent.json
EVERYTHING = "*"
DIGEST_DIGITS = 32  # 128 bits, so that no plan finds another unit with an agreed digest
# Tests and hosts differ in form, so that consent to one is none to the other, and nothing in a
# plan looks like consent to everything.
_TEST = re.compile(r"[a-z0-9_]+(?: .+)?", re.DOTALL)
_HOST = re.compile(r"(?=[^ ]*[.:])[^\s*]+|localhost")
_JOINERS = "\u200c\u200d"  # Persian and Indic scripts need them

# The network is the volunteer's, its owner agreed, or that is unknown.
NETWORKS = ("own", "allowed", "unasked")

RISKS = """\
Who can see it
  Your provider, and anyone who watches its lines, sees this machine reach the names above, as the
  apps themselves would, and sees a steady connection to the collector. It cannot read the results.
  The collector's operator sees the results, your network and country, and when this machine is on.
  Of a page that comes unencrypted these hold the title, the first words and what it points at;
  of a server that cannot prove its name, the certificates that it showed.
  The operator does not keep your address. Others see only numbers of whole networks and countries.
  For 30 days the collector knows of this machine's network, coarsely, what would mislead it: the
  network of your resolver, filters, tunnels, login pages, and who decrypts TLS. `status` tells you.
Risks
  {here}
  This is not anonymity: somebody watching your line can tell that you run Heliograph.
  Where measuring censorship is punished, that can be dangerous for you. Think of those around you.
  If this network belongs to somebody else (employer, school, neighbour), ask them first.
Stopping
  `heliograph-agent pause` stops at once and works offline; `leave --erase` deletes its files.
  What you never want to run, and hours to keep free, stand in config.yml (opt_out); they win."""


class RiskTier(IntEnum):
    """Rank the risk of measuring in a country; an unknown risk ranks highest."""

    LOW = 0
    WATCHED = 1
    PUNISHED = 2
    NOT_LOOKED_AT = 3


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

    A text in other words asks for no new consent: what is run, and the risk that was named, decide.
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
    """Return the risk that the terms named to a volunteer whose consent does not record it."""
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
    return " ".join(named) + _format_options(replace(task, options=options))


BROWSER_HELLOS = (
    "The test hello opens connections that begin as Firefox's and Chrome's do, and ends them at",
    "the first answer: to anyone who watches the line, a browser on this machine has gone there.",
    "It takes the hosts of an app, or of the pages of this plan, in turn, one at a time. Where a",
    "connection of another test to such a host is cut, it follows soon, and then every half hour.",
)


QUIC_HELLOS = (
    "The test quic sends the first packets of Chrome and of Firefox to its host, and then its own:",
    "to anyone who watches the line, a browser on this machine has begun to go there.",
)


def _format_options(task: PlannedTask) -> str:
    return "".join(f" {key}={value}" for key, value in sorted(task.options.items()))


def _iter_hosts(plan: Plan) -> Iterator[str]:
    return (host for service in plan.services for e in service.endpoints for host in e.hosts)


def format_terms(plan: Plan, collector: str, country: str = "") -> str:
    """Format the terms that a volunteer reads before the consent."""
    services = {service.name: service for service in plan.services}
    lines = [f"Heliograph will run for the collector at {collector}, on this machine:", ""]
    for task in plan.tasks:
        service = None if task.is_turn else services.get(task.service)
        subject = service.title if service else task.service or task.target or "your own connection"
        if task.service and task.target:
            subject += f" at {task.target}"
        if task.is_turn:
            subject = f"{_name_turn(task, services)}, {len(plan.list_turn(task))} hosts in turn"
        hosts = f" ({len(service.endpoints)} addresses)" if service else ""
        test = f"{task.experiment}{_format_options(task)}"
        line = f"{subject}{hosts}: {test}, every {_format_interval(task.interval_s)}"
        lines.append(f"  {make_printable(line)}")
    experiments = {task.experiment for task in plan.tasks}
    lines += [
        "",
        f"The tests take some {describe_cost(plan)}.",
        *(BROWSER_HELLOS if "hello" in experiments else ()),
        *(QUIC_HELLOS if "quic" in experiments else ()),
        "The collector also learns whether this machine runs on its battery and, in the first day",
        "after its start, about how long it is up. Both tell a power cut from a cut line.",
        "It learns the version of the tests' TLS library, as filters tell libraries apart.",
        "Nothing else on this machine is read.",
        "A test that fails may be run again within a minute, and the collector may ask for some of",
        "these tests sooner. If the connection to it breaks, its other addresses are tried.",
        "",
    ]
    risk_text = fill(describe_risk(country), 94).replace("\n", "\n  ")
    return "\n".join(lines) + RISKS.format(here=risk_text)


def _name_turn(task: PlannedTask, services: Mapping[str, Service]) -> str:
    service = services.get(task.service)
    return service.title if service else f"the {task.target} of this plan"


def make_printable(value: str) -> str:
    """Replace characters that move the cursor or reorder text, which could hide terms."""
    return "".join(c if c.isprintable() or c in _JOINERS else "·" for c in value)


def _format_interval(seconds: int) -> str:
    return f"{seconds // 60} min" if seconds >= 60 and not seconds % 60 else f"{seconds} s"


DESCRIPTIONS = {
    RiskTier.LOW: "In {place}, as far as is known, nobody was punished for measuring a network.",
    RiskTier.WATCHED: "In {place} the network is censored and watched. That anybody was punished "
    "for measuring alone is not known; it would not protect you.",
    RiskTier.PUNISHED: "In {place} people were punished for far less than this. If you run it, "
    "only messengers and your own connection are tested until you say more.",
    RiskTier.NOT_LOOKED_AT: "What this may mean in {place} was not looked at: take it as dangerous "
    "until you know better.",
}


def find_tier(country: str) -> RiskTier:
    """Return the tier of an ISO 3166-1 code in capitals; "" has the highest."""
    risks = parse_yaml(files(__package__).joinpath("risks.yml").read_bytes(), "risks.yml")
    for tier, countries in risks.mapping()["tiers"].mapping().items():
        if country in {item.content for item in countries.items()}:
            return RiskTier(int(tier))
    return RiskTier.NOT_LOOKED_AT


def describe_risk(country: str) -> str:
    return DESCRIPTIONS[find_tier(country)].format(place=country or "this country")


def is_grave(country: str) -> bool:
    """Return whether a simple yes covers only messengers and anchors."""
    return find_tier(country) is RiskTier.PUNISHED


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


def list_excluded(plan: Plan, unwanted: Collection[str]) -> tuple[PlannedTask, ...]:
    return tuple(task for task in plan.tasks if not opt_out_names(task).isdisjoint(unwanted))


def is_risk_new(consent: Consent) -> bool:
    """Return whether measuring is punished in that country, which the terms did not say."""
    return consent.tier < RiskTier.PUNISHED and is_grave(consent.country)


def restrict_to_basics(plan: Plan) -> Plan:
    """Return only messengers and anchors, which a simple yes covers if PUNISHED."""
    from heliograph.experiments import Category, category_of

    categories = {category_of(task.experiment) for task in plan.tasks}
    return exclude_tests(plan, categories - {Category.MESSENGERS, Category.ANCHORS})


def local_hour(wall_us: int) -> int:
    """Return the hour of this machine's local time."""
    return datetime.fromtimestamp(wall_us / 1e6, UTC).astimezone().hour


def describe_cost(plan: Plan) -> str:
    """Describe the plan's bytes as `1.2 MB a day, at most 30 MB a month`."""
    daily = estimate_daily_bytes(plan) / 1e6
    return f"{daily:.1f} MB a day, at most {plan.limits.bytes_per_month / 1e6:.0f} MB a month"


def estimate_daily_bytes(plan: Plan) -> int:
    """Estimate the plan's bytes a day, at most a day's share of the month's limit."""
    from heliograph.traffic_estimate import estimate_plan_bytes

    return min(estimate_plan_bytes(plan), plan.limits.bytes_per_month // 30)
