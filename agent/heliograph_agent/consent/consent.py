"""What the volunteer agreed to, in plain words, and the part of a plan that this covers.

A plan may narrow what is run at any time. It can never widen it: what is new waits for another yes.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from textwrap import fill
from typing import Any

from heliograph.observation import Access
from heliograph.plan import Plan, PlannedTask, Service
from heliograph_agent.consent import cost, risks

VERSION = 2  # of the words below; a change of what they promise raises it
EVERYTHING = "*"
# Tests and hosts are told apart by their looks, so that a yes to one is none to the other, and
# nothing in a plan looks like a yes to everything.
_TEST = re.compile(r"[a-z0-9_]+(?: .+)?", re.DOTALL)
_HOST = re.compile(r"(?=[^ ]*[.:])[^\s*]+|localhost")
_JOINERS = "\u200c\u200d"  # Persian and Indic scripts need them

NETWORKS = ("own", "allowed", "unasked")  # whose network it is: mine, or who owns it knows

RISKS = """\
Who can see it
  Your provider, and whoever watches its lines, sees this machine reach the names above, as the
  apps themselves would, and sees a steady connection to the collector. It cannot read the results.
  The collector's operator sees the results, your network and country, and when this machine is on.
  The operator does not keep your address. Others see only numbers of whole networks and countries.
Risks
  {here}
  This is not anonymity: somebody watching your line can tell that you run Heliograph.
  Where measuring censorship is punished, that can be dangerous for you. Think of those around you.
  If this network belongs to somebody else (employer, school, neighbour), ask them first.
Stopping
  `heliograph-agent pause` stops at once and works offline; `leave --erase` deletes its files.
  What you never want to run, and hours to keep free, stand in config.yml (opt_out); they win."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """consent.json."""

    given_us: int
    plan_version: int
    scope: frozenset[str]  # of scope_of, or EVERYTHING
    country: str = ""
    region: str = ""
    access: Access = Access.UNKNOWN
    network: str = "unasked"  # one of NETWORKS
    bytes_per_month: int = 0  # that it was said to take at most; 0 where that was not noted
    version: int = VERSION

    def to_json(self) -> dict[str, Any]:
        return {
            "version": self.version,
            "given_us": self.given_us,
            "plan_version": self.plan_version,
            "scope": sorted(self.scope),
            "country": self.country,
            "region": self.region,
            "access": self.access.value,
            "network": self.network,
            "bytes_per_month": self.bytes_per_month,
        }


def read_consent(stored: Mapping[str, Any] | None) -> Consent | None:
    """None when nothing was agreed to, or not to the present words."""
    try:
        if stored is None or stored["version"] != VERSION:
            return None
        return Consent(
            given_us=int(stored["given_us"]),
            plan_version=int(stored["plan_version"]),
            scope=frozenset(str(name) for name in stored["scope"]),
            country=str(stored["country"]),
            region=str(stored["region"]),
            access=Access(stored["access"]),
            network=str(stored.get("network", "unasked")),
            bytes_per_month=int(stored.get("bytes_per_month", 0)),
        )
    except (KeyError, TypeError, ValueError):
        return None


def scope_of(plan: Plan) -> frozenset[str]:
    """The units of consent: every task with its options, and every host behind its service."""
    tests = (_unit(task) for task in plan.tasks)
    return frozenset(filter(_TEST.fullmatch, tests)) | frozenset(
        filter(_HOST.fullmatch, _hosts(plan))
    )


def narrow(plan: Plan, consent: Consent) -> tuple[Plan, tuple[str, ...]]:
    """The part of the plan that was agreed to, and the units that were not, sorted."""
    if EVERYTHING in consent.scope:
        return plan, ()
    agreed = scope_of(plan) & consent.scope
    tests, hosts = filter(_TEST.fullmatch, agreed), filter(_HOST.fullmatch, agreed)
    allowed = replace(
        plan,
        tasks=_of(plan.tasks, frozenset(tests)),
        services=tuple(_known_hosts(service, frozenset(hosts)) for service in plan.services),
    )
    waiting = (frozenset(map(_unit, plan.tasks)) | frozenset(_hosts(plan))) - agreed
    if 0 < consent.bytes_per_month < plan.limits.bytes_per_month:
        limits = replace(plan.limits, bytes_per_month=consent.bytes_per_month)
        allowed = replace(allowed, limits=limits)
        waiting |= {f"{plan.limits.bytes_per_month / 1e6:.0f} MB a month"}
    return allowed, tuple(sorted(waiting))


def _unit(task: PlannedTask) -> str:
    """Options too: a resolver or a domestic anchor is one more host that this machine visits."""
    named = (name for name in (task.experiment, task.service, task.target) if name)
    return " ".join(named) + _options(task)


def _options(task: PlannedTask) -> str:
    return "".join(f" {key}={value}" for key, value in sorted(task.options.items()))


def _hosts(plan: Plan) -> Iterator[str]:
    return (e.host for service in plan.services for e in service.endpoints)


def _of(tasks: Iterable[PlannedTask], agreed: Collection[str]) -> tuple[PlannedTask, ...]:
    return tuple(task for task in tasks if _unit(task) in agreed)


def _known_hosts(service: Service, agreed: Collection[str]) -> Service:
    return replace(service, endpoints=tuple(e for e in service.endpoints if e.host in agreed))


def terms(plan: Plan, collector: str, country: str = "") -> str:
    """What somebody should know before saying yes."""
    titles = {service.name: service for service in plan.services}
    lines = [f"Heliograph will run for the collector at {collector}, on this machine:", ""]
    for task in plan.tasks:
        service = titles.get(task.service)
        about = service.title if service else task.service or task.target or "your own connection"
        if task.service and task.target:
            about += f" at {task.target}"
        hosts = f" ({len(service.endpoints)} addresses)" if service else ""
        what = f"{about}{hosts}: {task.experiment}{_options(task)}, every {_every(task.interval_s)}"
        lines.append(f"  {plain(what)}")
    megabytes = plan.limits.bytes_per_month / 1e6
    daily = cost.of_plan(plan) / 1e6
    lines += [
        "",
        f"The tests take some {daily:.1f} MB a day, at most {megabytes:.0f} MB a month.",
        "Nothing else on this machine is read.",
        "",
    ]
    here = fill(risks.words(country), 94).replace("\n", "\n  ")
    return "\n".join(lines) + RISKS.format(here=here)


def plain(text: str) -> str:
    """A collector's words on one line that can neither move a terminal's cursor nor turn the order
    of letters, to hide what is agreed to."""
    return "".join(c if c.isprintable() or c in _JOINERS else "·" for c in text)


def _every(seconds: int) -> str:
    return f"{seconds // 60} min" if seconds >= 60 and not seconds % 60 else f"{seconds} s"
