"""Decision table for a whole service: the first matching rule gives the verdict."""

from dataclasses import dataclass

from heliograph_collector.model.records import VerdictState


@dataclass(frozen=True, slots=True)
class ServiceRule:
    """Row of the decision table for services; its id is permanent."""

    id: str
    state: VerdictState
    says: str


GROUP_BLOCKED = ServiceRule(
    "service.group_blocked",
    VerdictState.BLOCKED,
    "Every endpoint of one group is blocked that is not down for everybody, which half of them may "
    "be, and nothing replaces that group.",
)
DOWN = ServiceRule("service.down", VerdictState.DOWN, "Every group fails at the control too.")
ALL_REACHABLE = ServiceRule(
    "service.reachable", VerdictState.REACHABLE, "Every endpoint is reachable."
)
PARTIAL = ServiceRule(
    "service.partial",
    VerdictState.REACHABLE,
    "Every group that is up has a reachable endpoint and most endpoints are reachable, or half of "
    "messaging's; k < n shows that some are blocked.",
)
MOSTLY_OUT = ServiceRule(
    "service.mostly_out",
    VerdictState.UNKNOWN,
    "Every group has a reachable endpoint, most endpoints are not: usable for some.",
)
DOUBT = ServiceRule(
    "service.doubt",
    VerdictState.UNKNOWN,
    "A group without a reachable endpoint, and not all of it is blocked; or most groups fail at "
    "the control too; or messaging works, and what another function needs failed in doubt before "
    "any page.",
)
FUNCTION_BLOCKED = ServiceRule(
    "service.function_blocked",
    VerdictState.PARTIAL,
    "Every endpoint of a group is blocked that a function needs, and messaging is not known to be "
    "blocked. The verdict names the function.",
)
WORKS_BY_FALLBACK = ServiceRule(
    "service.works_by_fallback",
    VerdictState.PARTIAL,
    "What the app tries first is blocked, and another endpoint of messaging is reachable, or one "
    "answered in its own protocol or by verified TLS that the app tries later. The evidence has "
    "its steps.",
)
FIRST_WAY_WORKS = ServiceRule(
    "service.first_way_works",
    VerdictState.REACHABLE,
    "Endpoints of messaging fail that the app can do without: half of what it tries first is "
    "reachable (of all, where this machine could try none of that), or one of it answered when it "
    "was tried in the app's own order.",
)
MESSAGING_WORKS = ServiceRule(
    "service.messaging_works",
    VerdictState.REACHABLE,
    "Messaging works, and no other function is known to be blocked or failed in doubt before any "
    "page.",
)
FLAKY_HOST = ServiceRule(
    "service.flaky_host",
    VerdictState.UNKNOWN,
    "A silent host that is silent in a fifth of the other countries too, five at least.",
)
SERVICE_RULES = (
    GROUP_BLOCKED,
    DOWN,
    ALL_REACHABLE,
    PARTIAL,
    MOSTLY_OUT,
    DOUBT,
    FUNCTION_BLOCKED,
    WORKS_BY_FALLBACK,
    FIRST_WAY_WORKS,
    MESSAGING_WORKS,
    FLAKY_HOST,
)
