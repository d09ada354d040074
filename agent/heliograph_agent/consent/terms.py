"""Write the terms that a volunteer reads before the consent, in their language."""

from collections.abc import Iterable, Iterator, Mapping
from textwrap import wrap

from heliograph.plan import Plan, PlannedTask, Service
from heliograph.translation import begin_line, direct_line, format_decimal, mark
from heliograph.translation import translate as _
from heliograph_agent.consent.risk import describe_risk

WIDTH = 98  # characters of a line, for a window of 100
_JOINERS = "\u200c\u200d"  # Persian and Indic scripts need them

BROWSER_HELLOS = mark(
    "The test hello opens connections that begin as Firefox's and Chrome's do, and ends them at "
    "the first answer: to anyone who watches the line, a browser on this machine has gone there. "
    "It takes the hosts of an app, or of the pages of this plan, in turn, one at a time. Where a "
    "connection of another test to such a host is cut, it follows soon, and then every half hour."
)
QUIC_HELLOS = mark(
    "The test quic sends the first packets of Chrome and of Firefox to its host, and then its own: "
    "to anyone who watches the line, a browser on this machine has begun to go there."
)
BROWSER_PAGES = mark(
    "The test browser fetches its page as Chrome or Firefox does: to anyone who watches the line, "
    "and to the site, a browser on this machine has read it."
)
OWN_FACTS = (
    mark(
        "The collector also learns whether this machine runs on its battery and, in the first day "
        "after its start, about how long it is up. Both tell a power cut from a cut line. It "
        "learns the version of the tests' TLS library, as filters tell libraries apart. Nothing "
        "else on this machine is read."
    ),
    mark(
        "A test that fails may be run again within a minute, and the collector may ask for some of "
        "these tests sooner. If the connection to it breaks, its other addresses are tried."
    ),
)
WHO_SEES = (
    mark(
        "Your provider, and anyone who watches its lines, sees this machine reach the names above, "
        "as the apps themselves would, and sees a steady connection to the collector. It cannot "
        "read the results."
    ),
    mark(
        "The collector's operator sees the results, your network and country, and when this "
        "machine is on. Of a page that comes unencrypted these hold the title, the first words and "
        "what it points at; of a server that cannot prove its name, the certificates that it "
        "showed. The operator does not keep your address. Others see only numbers of whole "
        "networks and countries."
    ),
    mark(
        "For 30 days the collector knows of this machine's network, coarsely, what would mislead "
        "it: the network of your resolver, filters, tunnels, login pages, and who decrypts TLS. "
        "`status` tells you."
    ),
)
RISKS = (
    mark(
        "This is not anonymity: somebody watching your line can tell that you run Heliograph. "
        "Where measuring censorship is punished, that can be dangerous for you. Think of those "
        "around you."
    ),
    mark("If this network belongs to somebody else (employer, school, neighbour), ask them first."),
)
STOPPING = (
    mark(
        "`heliograph-agent pause` stops at once and works offline; `leave --erase` deletes its "
        "files."
    ),
    mark(
        "What you never want to run, and hours to keep free, stand in config.yml (opt_out); they "
        "win."
    ),
)


def format_terms(plan: Plan, collector: str, country: str = "") -> str:
    """Format the terms that a volunteer reads before the consent."""
    experiments = {task.experiment for task in plan.tasks}
    return "\n".join(
        (
            _("Heliograph will run for the collector at {collector}, on this machine:").format(
                collector=collector
            ),
            "",
            *_describe_tasks(plan),
            "",
            _("The tests take some {cost}.").format(cost=describe_cost(plan)),
            *_fill((BROWSER_HELLOS,) if "hello" in experiments else ()),
            *_fill((QUIC_HELLOS,) if "quic" in experiments else ()),
            *_fill((BROWSER_PAGES,) if "browser" in experiments else ()),
            *_fill(OWN_FACTS),
            "",
            _("Who can see it"),
            *_fill(WHO_SEES, "  "),
            _("Risks"),
            *_fill((describe_risk(country),), "  "),
            *_fill(RISKS, "  "),
            _("Stopping"),
            *_fill(STOPPING, "  "),
        )
    )


def _fill(paragraphs: Iterable[str], indent: str = "") -> Iterator[str]:
    for paragraph in paragraphs:
        for line in wrap(_(paragraph), WIDTH, initial_indent=indent, subsequent_indent=indent):
            yield direct_line(line)


def _describe_tasks(plan: Plan) -> Iterator[str]:
    services = {service.name: service for service in plan.services}
    for task in plan.tasks:
        service = None if task.is_turn else services.get(task.service)
        subject = _name_subject(task, service)
        if task.is_turn:
            subject = _("{subject}, {n} hosts in turn").format(
                subject=_name_turn(task, services), n=len(plan.list_turn(task))
            )
        hosts = _(" ({n} addresses)").format(n=len(service.endpoints)) if service else ""
        line = _("{subject}: {test}, every {interval}").format(
            subject=subject + hosts,
            test=f"{task.experiment}{format_options(task)}",
            interval=_format_interval(task.interval_s),
        )
        yield f"{begin_line()}  {make_printable(line)}"


def _name_subject(task: PlannedTask, service: Service | None) -> str:
    name = service.title if service else task.service
    if name and task.target:
        return _("{service} at {target}").format(service=name, target=task.target)
    return name or task.target or _("your own connection")


def _name_turn(task: PlannedTask, services: Mapping[str, Service]) -> str:
    service = services.get(task.service)
    return service.title if service else _("the {target} of this plan").format(target=task.target)


def format_options(task: PlannedTask) -> str:
    """Format a task's options as ` key=value` each, in one order."""
    return "".join(f" {key}={value}" for key, value in sorted(task.options.items()))


def make_printable(value: str) -> str:
    """Replace characters that move the cursor or reorder text, which could hide terms."""
    return "".join(c if c.isprintable() or c in _JOINERS else "·" for c in value)


def _format_interval(seconds: int) -> str:
    if seconds >= 3_600 and not seconds % 3_600:
        return _("{n} h").format(n=seconds // 3_600)
    is_whole = seconds >= 60 and not seconds % 60
    return _("{n} min").format(n=seconds // 60) if is_whole else _("{n} s").format(n=seconds)


def describe_cost(plan: Plan) -> str:
    """Describe the plan's bytes as `1.2 MB a day, at most 30 MB a month`."""
    return _("{daily} MB a day, at most {monthly} MB a month").format(
        daily=format_decimal(estimate_daily_bytes(plan) / 1e6),
        monthly=f"{plan.limits.bytes_per_month / 1e6:.0f}",
    )


def estimate_daily_bytes(plan: Plan) -> int:
    """Estimate the plan's bytes a day, at most a day's share of the month's limit."""
    from heliograph.traffic_estimate import estimate_plan_bytes

    return min(estimate_plan_bytes(plan), plan.limits.bytes_per_month // 30)
