"""Plan visits of controls to endpoints that vantages met and no control looked at.

States of an endpoint (target, label, address, port): *reported* by vantages whose verdict on it is
not `reachable`. It is *scheduled* once the policy allows it and the quotas have room. Its time is
60 to 120 s later, so that nobody on the path pairs the visit with a vantage. Then it is *ordered*
from one control whose network has not looked yet, and for RETRY_US no more. A visit that fails
schedules it once more, for a control in another network. Fresh looks, regular ones or visits, end
all that when one works or when they come from two networks.

A pass from before a failure does not show that the service worked at its time. So a *new* failure
needs a look after it, whatever was seen or ordered before; a lasting block, which look after look
has shown (`visit_policy.py`), does not. Pure: the caller gives time and random numbers, and nothing
is written to a disk.
"""

import random
from collections import OrderedDict, defaultdict
from collections.abc import Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from heliograph.address import enclosing_network
from heliograph.observation import Link
from heliograph.plan import Plan
from heliograph.token_bucket import TokenBuckets
from heliograph.units import HOUR_S, MINUTE_US, SECOND_US
from heliograph.visits import MAX_VISITS, Visit
from heliograph_collector.control.met_endpoints import (
    MetEndpoint,
    list_answers,
    list_met_endpoints,
    list_outcomes,
)
from heliograph_collector.control.open_verdicts import awaits_control, is_open
from heliograph_collector.control.target_key import WINDOW_US, Key, make_target_key
from heliograph_collector.control.visit_policy import (
    NOTHING_PLANNED,
    FollowedFailures,
    PlannedEndpoint,
    Reporter,
    VisitPolicy,
    are_independent,
    can_confirm,
    list_planned_endpoints,
    make_reporter,
)
from heliograph_collector.model.control_look import ControlSite
from heliograph_collector.model.records import (
    AgentRole,
    JudgedMeasurement,
    ReceivedMeasurement,
    Verdict,
)

MIN_DELAY_S = 60.0  # assumed
MAX_DELAY_S = 120.0  # assumed; later ones come too late for an outage of five minutes
RETRY_US = 10 * MINUTE_US  # assumed; within it an ordered endpoint is not ordered again
NEW_SHARE = 0.5  # of every quota stays for endpoints where no fresh look has passed; assumed
WANTED_NETWORKS = 2  # of controls that fail, where there are as many
MAX_ENDPOINTS = 20_000  # in each memory, the longest unused is dropped; about 10 MB each
MAX_ANSWERS = 64  # of the controls' lookups for one endpoint
MAX_REPORTERS = 16  # of one endpoint

_Name = TypeVar("_Name", bound=Hashable)
_Value = TypeVar("_Value")


class EndpointKey(NamedTuple):
    """One endpoint at one address."""

    target: Key
    label: str
    address: str
    port: int


class _Look(NamedTuple):
    at_us: int
    has_worked: bool


class _Wish(NamedTuple):
    """Time of an action at an endpoint, and the oldest look that replaces it."""

    at_us: int
    since_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitLimits:
    """Limit the visits that are scheduled in an hour; all assumed."""

    of_reporter: int = 120  # a third of the addresses that the default plan's endpoints may have
    of_target_network: int = 60  # one /24 or /48
    of_country: int = 600  # 170 addresses, each looked at every 17 min
    of_all: int = 2_000


@dataclass(frozen=True, slots=True)
class VisitOrder:
    """Visits for one control."""

    agent: bytes
    visits: tuple[Visit, ...]


class VisitPlanner:
    """Choose visits by judged results; see the states above."""

    def __init__(
        self, policy: VisitPolicy, rng: random.Random, limits: VisitLimits | None = None
    ) -> None:
        self._policy = policy
        self._rng = rng
        self._quotas = _Quotas(limits or VisitLimits())
        self._planned = NOTHING_PLANNED
        self._answers: dict[tuple[Key, str], OrderedDict[str, None]] = {}
        self._looks: OrderedDict[EndpointKey, dict[str, _Look]] = OrderedDict()
        self._reports: OrderedDict[EndpointKey, _Reports] = OrderedDict()
        self._scheduled: dict[EndpointKey, _Wish] = {}
        self._ordered: OrderedDict[EndpointKey, _Wish] = OrderedDict()
        self._failures = FollowedFailures[EndpointKey](MAX_ENDPOINTS)
        self._wanted_networks = 1

    def follow_plan(self, plan: Plan) -> None:
        """Take names, ports and paths from this plan."""
        self._planned = list_planned_endpoints(plan)
        self._answers = {p: x for p, x in self._answers.items() if self._planned.find(*p)}

    def refuse_addresses(self, own_addresses: Collection[str]) -> None:
        """Visit none of these addresses, which are the collector's own."""
        self._policy.own_addresses = own_addresses

    def add(self, judged: Iterable[JudgedMeasurement], now_us: int) -> None:
        """Note looks of controls, and reports of vantages whose endpoints are in doubt."""
        for record, verdicts in judged:
            if record.link is not Link.ONLINE or record.is_time_bad:
                continue
            if record.role is AgentRole.CONTROL:
                self._note_control(record, now_us)
            elif _is_report(record, now_us):
                self._note_report(record, verdicts, now_us)

    def take_orders(self, sites: Sequence[ControlSite], now_us: int) -> list[VisitOrder]:
        """Return the due orders for the connected controls; without controls, drop them."""
        self._wanted_networks = min(WANTED_NETWORKS, max(1, len({s.network for s in sites})))
        due = [endpoint for endpoint, wish in self._scheduled.items() if wish.at_us <= now_us]
        visits_by_agent: defaultdict[bytes, list[Visit]] = defaultdict(list)
        for endpoint in due:
            since_us = self._scheduled.pop(endpoint).since_us
            planned = self._planned.find(endpoint.target, endpoint.label)
            if planned is None or not self._policy.is_public(endpoint.address):
                continue
            _remember(self._ordered, endpoint, _Wish(now_us, since_us))
            site = self._choose_site(endpoint, sites, since_us)
            if site is not None:
                visits_by_agent[site.agent].append(_make_visit(planned, endpoint.address))
        return [
            VisitOrder(agent, tuple(visits[first : first + MAX_VISITS]))
            for agent, visits in visits_by_agent.items()
            for first in range(0, len(visits), MAX_VISITS)
        ]

    def _note_control(self, record: ReceivedMeasurement, now_us: int) -> None:
        """Note a control's answers and looks.

        A look at one address is no evidence on others.
        """
        target = make_target_key(record.measurement)
        network = f"AS{record.vantage.asn}" if record.vantage.asn else record.prefix
        for met, has_worked in list_outcomes(record.measurement).items():
            if self._planned.find(target, met.label) is not None:
                endpoint = EndpointKey(target, met.label, met.address, met.port)
                looks = _touch(self._looks, endpoint, {})
                looks[network] = _Look(min(record.started_us, now_us), has_worked)
                if has_worked:
                    self._failures.add_pass(endpoint, record.started_us)
                if record.measurement.is_visit and endpoint in self._ordered:
                    self._schedule_second_look(endpoint, now_us)
        for label, address in list_answers(record.measurement):
            if self._planned.find(target, label) is not None:
                answers = self._answers.setdefault((target, label), OrderedDict())
                _remember(answers, address, None, MAX_ANSWERS)

    def _note_report(
        self, record: ReceivedMeasurement, verdicts: Sequence[Verdict], now_us: int
    ) -> None:
        if not self._quotas.has_room(record.vantage.country, now_us):
            return  # spared: it would be reported again with the next results
        due_us = self._draw_due_us(now_us)
        if not awaits_control(record, verdicts):  # as nearly always
            return
        target = make_target_key(record.measurement)
        labels = {v.endpoint for v in verdicts if is_open(v)}
        for met in sorted(list_met_endpoints(record.measurement)):
            planned = self._planned.find(target, met.label)
            if planned is None or not _is_doubted(planned, met, labels):
                continue
            endpoint = EndpointKey(target, met.label, met.address, met.port)
            if not self._policy.is_public(met.address):
                continue
            self._note_endpoint(endpoint, record, due_us, now_us)

    def _schedule_second_look(self, endpoint: EndpointKey, now_us: int) -> None:
        since_us = self._ordered[endpoint].since_us
        has_room = len(self._scheduled) < MAX_ENDPOINTS
        if has_room and not self._has_enough_looks(endpoint, since_us):
            wish = _Wish(self._draw_due_us(now_us), since_us)
            self._scheduled.setdefault(endpoint, wish)

    def _draw_due_us(self, now_us: int) -> int:
        return now_us + int(self._rng.uniform(MIN_DELAY_S, MAX_DELAY_S) * SECOND_US)

    def _note_endpoint(
        self, endpoint: EndpointKey, record: ReceivedMeasurement, due_us: int, now_us: int
    ) -> None:
        """Schedule a visit without a fresh look, or for a new failure after a pass."""
        at_us = record.started_us
        is_new = self._failures.add_failure(endpoint, record.vantage.country, at_us)
        waiting = self._scheduled.get(endpoint)
        if is_new and waiting is not None:
            self._scheduled[endpoint] = waiting._replace(since_us=max(waiting.since_us, at_us))
        elif self._is_wanted(endpoint, now_us - WINDOW_US, now_us - RETRY_US):
            self._schedule(endpoint, record, _Wish(due_us, now_us - WINDOW_US), now_us)
        elif (
            is_new and self._has_pass(endpoint, now_us) and self._is_wanted(endpoint, at_us, at_us)
        ):
            self._schedule(endpoint, record, _Wish(due_us, at_us), now_us, NEW_SHARE)

    def _schedule(
        self,
        endpoint: EndpointKey,
        record: ReceivedMeasurement,
        wish: _Wish,
        now_us: int,
        share: float = 0.0,
    ) -> None:
        """Schedule a visit, if the policy and more than a share of the quotas allow it."""
        reports = _touch(self._reports, endpoint, _Reports())
        if can_confirm(record):
            reports.add(make_reporter(record))
        is_allowed = reports.are_independent or self._policy.is_covered(
            endpoint.address, self._answers.get((endpoint.target, endpoint.label), ())
        )
        if is_allowed and self._quotas.take(record, endpoint.address, now_us, share):
            self._scheduled[endpoint] = wish

    def _is_wanted(self, endpoint: EndpointKey, since_us: int, ordered_since_us: int) -> bool:
        """Return whether no look since a time is known, and no order since another one."""
        ordered = self._ordered.get(endpoint)
        is_recent = ordered is not None and ordered.at_us > ordered_since_us
        is_waiting = endpoint in self._scheduled or len(self._scheduled) >= MAX_ENDPOINTS
        return not (is_waiting or is_recent or self._has_enough_looks(endpoint, since_us))

    def _has_enough_looks(self, endpoint: EndpointKey, since_us: int) -> bool:
        looks = self._list_looks(endpoint, since_us)
        return len(looks) >= self._wanted_networks or any(x.has_worked for x in looks.values())

    def _has_pass(self, endpoint: EndpointKey, now_us: int) -> bool:
        """Return whether a fresh look passed, without which nothing is called blocked."""
        return any(x.has_worked for x in self._list_looks(endpoint, now_us - WINDOW_US).values())

    def _list_looks(self, endpoint: EndpointKey, since_us: int) -> dict[str, _Look]:
        looks = self._looks.get(endpoint, {})
        return {name: x for name, x in looks.items() if x.at_us >= since_us}

    def _choose_site(
        self, endpoint: EndpointKey, sites: Sequence[ControlSite], since_us: int
    ) -> ControlSite | None:
        """Choose a control in a network that has not looked at the endpoint since then."""
        networks = self._list_looks(endpoint, since_us)
        fitting = [site for site in sites if site.network not in networks]
        is_done = not fitting or self._has_enough_looks(endpoint, since_us)
        return None if is_done else self._rng.choice(fitting)


@dataclass(slots=True)
class _Reports:
    """Reporters of one endpoint, until they are independent of each other."""

    reporters: OrderedDict[Reporter, None] = field(default_factory=OrderedDict)
    are_independent: bool = False

    def add(self, reporter: Reporter) -> None:
        if not self.are_independent and reporter not in self.reporters:
            _remember(self.reporters, reporter, None, MAX_REPORTERS)
            self.are_independent = are_independent(self.reporters)


class _Quotas:
    """Hourly quotas of a reporter, of a target's network, of a country and of all."""

    def __init__(self, limits: VisitLimits) -> None:
        self._buckets = tuple(
            TokenBuckets[str](per_s=limit / HOUR_S, capacity=limit, max_keys=MAX_ENDPOINTS)
            for limit in (
                limits.of_all,
                limits.of_country,
                limits.of_reporter,
                limits.of_target_network,
            )
        )

    def has_room(self, country: str, now_us: int) -> bool:
        """Tell whether the quotas of all and of this country have room."""
        pairs = zip(self._buckets, ("", country), strict=False)
        return all(_has_token(buckets, name, now_us) for buckets, name in pairs)

    def take(
        self, record: ReceivedMeasurement, address: str, now_us: int, share: float = 0.0
    ) -> bool:
        """Take one visit from each quota, or nothing if less than a share of any is left."""
        names = (
            "",
            record.vantage.country,
            make_reporter(record).name,
            enclosing_network(address),
        )
        pairs = tuple(zip(self._buckets, names, strict=True))
        if not all(_has_token(buckets, name, now_us, share) for buckets, name in pairs):
            return False
        for buckets, name in pairs:
            buckets.take(name, now_us)
        return True


def _has_token(buckets: TokenBuckets[str], name: str, now_us: int, share: float = 0.0) -> bool:
    level = buckets.level(name, now_us)
    return level is None or level >= max(1.0, share * buckets.capacity)


def _is_report(record: ReceivedMeasurement, now_us: int) -> bool:
    """Tell whether a visit now would still be in time for a measurement that counts."""
    is_recent = abs(now_us - record.started_us) <= WINDOW_US
    return is_recent and record.role is AgentRole.VOLUNTEER and record.seniority.has_vote


def _is_doubted(planned: PlannedEndpoint, met: MetEndpoint, labels: Collection[str]) -> bool:
    """Return whether the plan has this port, and a verdict in doubt may change.

    The verdict on a single target is about all of its servers and redirects.
    """
    label = met.label if planned.service else ""
    return label in labels and (planned.port, planned.protocol) == (met.port, met.protocol)


def _make_visit(planned: PlannedEndpoint, address: str) -> Visit:
    return Visit(
        experiment=planned.experiment,
        service=planned.service,
        target=planned.target,
        endpoint=planned.endpoint,
        address=address,
    )


def _touch(memory: OrderedDict[_Name, _Value], name: _Name, default: _Value) -> _Value:
    """Return a value, newly made if needed, and mark it as used."""
    value = memory.get(name, default)
    _remember(memory, name, value)
    return value


def _remember(
    memory: OrderedDict[_Name, _Value], name: _Name, value: _Value, limit: int = MAX_ENDPOINTS
) -> None:
    """Store a value as the newest; beyond the limit the oldest is dropped."""
    memory[name] = value
    memory.move_to_end(name)
    if len(memory) > limit:
        memory.popitem(last=False)
