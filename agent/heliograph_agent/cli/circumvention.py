"""Name circumvention tools that answered tests in this network, with their risk.

Silence is better than a guess: a tool is named only if the collector publishes for this very
network that it is reachable, and the agent is connected, so that it would know of a change.

>>> list(describe_tools(status, now_us))
['What now: these tools against blocking answered the tests in this network: Tor (20-49 agents).',
 'The tests do not use the tool itself ...', 'In KZ the network is watched ...']
"""

from collections.abc import Iterator

from heliograph.experiments import REGISTRY
from heliograph.experiments.entry import Category
from heliograph.translation import mark
from heliograph.translation import translate as _
from heliograph_agent.consent import make_printable, name_country
from heliograph_agent.consent.risk import RiskTier, find_tier
from heliograph_agent.runtime.findings import NetworkFindings
from heliograph_agent.runtime.status_file import AgentStatus, find_own_state

RISKS = {
    RiskTier.LOW: mark(
        "Find out first whether such a tool is legal in {place}: this program does not know."
    ),
    RiskTier.WATCHED: mark(
        "In {place} the network is watched: it can be seen who uses such a tool. Find out first "
        "whether it is legal: this program does not know."
    ),
    RiskTier.PUNISHED: mark(
        "In {place} people were punished for less than using such a tool. Whether it is legal and "
        "safe for you, this program does not know."
    ),
    RiskTier.NOT_LOOKED_AT: mark(
        "What using such a tool may mean in {place} was not looked at: take it as dangerous until "
        "you know better."
    ),
}
OLD_US = 600_000_000  # of a status; assumed, a running agent writes it each minute
_BLOCKED = ("blocked", "partial")
_TOOLS = frozenset(
    entry.default_target
    for entry in REGISTRY.values()
    if entry.category is Category.CIRCUMVENTION and entry.default_target
)


def describe_tools(status: AgentStatus, now_us: int, service: str = "") -> Iterator[str]:
    """Yield sentences on tools, if `service` is blocked, or any if it has no name.

    Args:
        status: the agent's last status.
        now_us: wall clock.
        service: the only service of interest, "" for all.
    """
    findings = status.get("findings")
    is_current = status.get("connected") and now_us - status.get("written_us", 0) < OLD_US
    if not findings or not findings["asn"] or not is_current:
        return
    if not _has_block(findings, service):
        return
    tools = [
        f"{make_printable(findings['services'][name]['title'])} "
        f"({_('{n} agents').format(n=make_printable(findings['services'][name]['vantages']))})"
        for name in sorted(_TOOLS & findings["services"].keys())
        if findings["services"][name]["state"] == "reachable" and not _fails_here(status, name)
    ]
    if not tools:
        return
    yield _(
        "What now: these tools against blocking answered the tests in this network: {tools}."
    ).format(tools=_(", ").join(tools))
    yield _("The tests do not use the tool itself: only a try shows whether it works for you.")
    place = make_printable(name_country(findings["country"])) or _("this country")
    yield _(RISKS[find_tier(findings["country"])]).format(place=place)


def _has_block(findings: NetworkFindings, service: str) -> bool:
    return any(
        finding["state"] in _BLOCKED
        for name, finding in findings["services"].items()
        if name not in _TOOLS and service in ("", name)
    )


def _fails_here(status: AgentStatus, name: str) -> bool:
    """Return whether the own machine's newest test contradicts what others saw."""
    state, _at_us = find_own_state(status, name)
    return state == "fails"
