"""Workload of a fleet: the runs and measurements of each virtual agent. Pure.

The same plan, services and seed give the same measurements. The default load is that of the default
plan: about 24 results per agent and hour, with about 36 observations each, and 24 rounds of light
checks of messengers, with one endpoint of each. The collector may not import the agent's
experiments. A test compares these steps with those of the real experiments over a scripted net.
"""

import heapq
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal
from urllib.parse import urlsplit

from heliograph.experiments import REGISTRY
from heliograph.experiments.anchors import ConnectivityConfig
from heliograph.experiments.messengers import MessengerConfig
from heliograph.experiments.network import StunConfig
from heliograph.experiments.web import BROWSER_HELLOS, OutsideInConfig
from heliograph.observation import Arrival, Http, Link, Measurement
from heliograph.plan import (
    ANCHORS,
    LIGHT_ROUND,
    MAX_INTERVAL_PERCENT,
    Plan,
    PlannedTask,
    Service,
)
from heliograph.services import Services
from heliograph_collector.fleet.plans import build_default_plan
from heliograph_lab.simulate.hosts import derive_host
from heliograph_lab.simulate.measuring import ANCHORS_SERVICE, BOOT, EPOCH, is_failing, is_isolated
from heliograph_lab.simulate.script import Actor
from heliograph_lab.simulate.visits import (
    InterferenceMethod,
    NetworkConditions,
    ResolvedAddress,
    StepLog,
    build_page,
    build_response_head,
    connect_tcp,
    fetch_page,
    handshake_tls,
    query_dns,
    read_addresses,
    resolve_host,
    visit_endpoints,
)

WEB = "web"
HELLO = "hello"
_IPV4_TRIED = 2  # addresses of one name, where the experiment has no option for it
_RESOLVERS = (
    ("system", ""),
    ("udp", "9.9.9.10:53"),
    ("doh", "https://cloudflare-dns.com/dns-query"),
)
_MAX_ADDRESSES = 6  # of one page that the agent connects to
_PAGE_LIMIT = 524_288
_SEGMENT_BYTES = 16_384  # bytes of a page that arrive together
_BYTES_PER_US = 2


def simulate_task(task: PlannedTask, service: Service | None, recorder: StepLog) -> None:
    """Record all steps of one run.

    Raises LookupError for an experiment that is not in the default plan.
    """
    if task.experiment == WEB:
        _simulate_web(task.target, recorder)
        return
    if task.experiment == HELLO:
        _simulate_hellos(task.target, recorder)
        return
    config = REGISTRY[task.experiment].config()
    if not isinstance(config, MessengerConfig | StunConfig | ConnectivityConfig | OutsideInConfig):
        raise LookupError(f"simulate_task has no steps for {task.experiment!r}.")
    endpoints = service.list_planned_endpoints() if service is not None else ()
    if isinstance(config, MessengerConfig):
        endpoints = config.sample(endpoints)
    if service is not None and task.is_light:
        sampled = replace(service, endpoints=endpoints)
        endpoints = (recorder.rng.choice(sampled.list_light_endpoints()),)
    is_anchor = isinstance(config, ConnectivityConfig)
    addresses = 1 if is_anchor else _IPV4_TRIED
    if isinstance(config, MessengerConfig | StunConfig):
        addresses = config.addresses
    until_answered = task.is_light or is_anchor
    visit_endpoints(
        endpoints, recorder, addresses, config.concurrency, until_answered=until_answered
    )


def _simulate_web(url: str, recorder: StepLog) -> None:
    """Record six lookups, a handshake with every address, and one page."""
    parts = urlsplit(url)
    name = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    lookups = [
        query_dns(name, query_type, engine, resolver, recorder, "")
        for query_type in ("A", "AAAA")
        for engine, resolver in _RESOLVERS
    ]
    connections: list[int] = []
    for address in _unique_addresses(lookups, recorder):
        parent = connect_tcp(address, port, recorder, "")
        if parent is not None and parts.scheme == "https":
            parent = handshake_tls(name, parent, recorder, "")
        connections += [] if parent is None else [parent]
    if connections:
        head = build_response_head(derive_host(name), "GET", url, 200)
        fetch_page(head, _build_full_page(head, name), connections[0], recorder, "")


def _simulate_hellos(target: str, recorder: StepLog) -> None:
    """Record hellos to one address, ours and browsers'; two more after a failure."""
    name, _, port = target.rpartition(":")
    for address in resolve_host(name, recorder, "own", max_ipv4=1)[:1]:
        answered = [
            _say_hello(name, address, int(port), recorder, label)
            for label in ("own", *BROWSER_HELLOS)
        ]
        for label in () if all(answered) else ("neutral", "again"):
            _say_hello(name, address, int(port), recorder, label)


def _say_hello(
    name: str, address: ResolvedAddress, port: int, recorder: StepLog, label: str
) -> bool:
    parent = connect_tcp(address, port, recorder, label)
    return parent is not None and handshake_tls(name, parent, recorder, label) is not None


def _unique_addresses(lookups: Sequence[int], recorder: StepLog) -> list[ResolvedAddress]:
    by_literal: dict[str, ResolvedAddress] = {}
    for lookup in lookups:
        for address in read_addresses(lookup, recorder, _MAX_ADDRESSES):
            by_literal.setdefault(address.literal, address)
    return list(by_literal.values())[:_MAX_ADDRESSES]


def _build_full_page(head: Http, name: str) -> Http:
    page = build_page(head, derive_host(name), _PAGE_LIMIT)
    ends = [*range(_SEGMENT_BYTES, page.body_bytes, _SEGMENT_BYTES), page.body_bytes]
    return replace(
        page, arrivals=tuple(Arrival(at_us=end // _BYTES_PER_US, bytes=end) for end in ends)
    )


Load = Literal["plan", "scenario", "none"]
NOT_MEASURED = "No turn within 120 s: the agent has more to do than its limits let."
_JITTER = 0.1  # of an interval, to either side, as in the agent
_STRETCHED_S = 15 * 60.0  # that a wish for longer intervals holds; intake.proto, Advice
_IPV6_SHARE = 0.4  # share of volunteers with IPv6; every control has it
LOSS_SHARE = 0.003  # share of connections and datagrams lost without interference
_NOT_MEASURED_SHARE = 0.002  # share of results without a measurement
_ROUND_TRIP_US = (15_000, 140_000)


@dataclass(frozen=True, slots=True, order=True)
class Run:
    """One scheduled run of one task."""

    at_s: float
    task_index: int  # among the actor's rounds
    number: int  # earlier runs of this task


@dataclass(slots=True)
class Schedule:
    """The runs of one agent's tasks at their intervals, jittered by a tenth.

    The first run is uniform in the interval, as in a fleet that enrolled over weeks.
    """

    rounds: Sequence[Sequence[PlannedTask]]
    rng: random.Random
    speed: float = 1.0  # divides every interval
    pending: list[Run] = field(default_factory=list)
    interval_percent: int = 100  # of the plan's intervals, for routine work
    stretched_until_s: float = 0.0

    def start(self, now_s: float) -> None:
        """Discard pending runs and schedule the first run of every task."""
        self.pending = [
            Run(now_s + self.rng.uniform(0.0, tasks[0].interval_s / self.speed), index, 0)
            for index, tasks in enumerate(self.rounds)
        ]
        heapq.heapify(self.pending)

    def next_run(self, now_s: float) -> Run:
        """Return the next run, at `now_s` if it is overdue; skip missed runs."""
        if self.interval_percent != 100 and now_s >= self.stretched_until_s:
            self.stretch(100, now_s)
        run = replace(self.pending[0], at_s=max(now_s, self.pending[0].at_s))
        interval_s = self.rounds[run.task_index][0].interval_s / self.speed
        interval_s *= self._percent_of(run, self.interval_percent) / 100
        wait_s = interval_s * self.rng.uniform(1 - _JITTER, 1 + _JITTER)
        heapq.heapreplace(self.pending, Run(run.at_s + wait_s, run.task_index, run.number + 1))
        return run

    def stretch(self, percent: int, now_s: float) -> None:
        """Stretch intervals at a wish as an agent does; only the anchors keep theirs.

        Each task keeps the share of its interval that has passed, and so the share that is left.
        """
        percent = min(max(percent, 100), MAX_INTERVAL_PERCENT)
        before = self.interval_percent
        self.pending = [
            replace(
                run,
                at_s=now_s
                + (run.at_s - now_s)
                * self._percent_of(run, percent)
                / self._percent_of(run, before),
            )
            for run in self.pending
        ]
        heapq.heapify(self.pending)
        self.interval_percent = percent
        self.stretched_until_s = now_s + _STRETCHED_S

    def _percent_of(self, run: Run, percent: int) -> int:
        return 100 if self.rounds[run.task_index][0].experiment == ANCHORS else percent


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """The measurements of one plan and seed.

    `interference` maps (country, service) to a method that applies from the start.
    """

    plan: Plan
    seed: int = 0
    speed: float = 1.0
    loss_share: float = LOSS_SHARE
    interference: Mapping[tuple[str, str], InterferenceMethod] = field(default_factory=dict)

    def select_rounds(self, actor: Actor) -> tuple[tuple[PlannedTask, ...], ...]:
        """Select the tasks of the actor's role, those together whose result is one."""
        return self.plan.for_role("control" if actor.control else "volunteer").list_rounds()

    def build_schedule(self, actor: Actor) -> Schedule:
        """Build the actor's schedule; the caller starts it."""
        rng = _seeded_rng(self.seed, actor.number, "schedule")
        return Schedule(self.select_rounds(actor), rng, self.speed)

    def measure(
        self, actor: Actor, run: Run, second: float, started_us: int, monotonic_us: int
    ) -> Measurement:
        """Generate the measurement of this run at `second` of the script."""
        tasks = self.select_rounds(actor)[run.task_index]
        rng = _seeded_rng(self.seed, actor.number, run.task_index, run.number)
        measured = [self._measure_task(task, actor, second, rng) for task in tasks]
        offset_us = rng.randint(-20_000, 20_000)
        checks = tuple(
            replace(
                each,
                started_us=started_us,
                monotonic_us=monotonic_us,
                clock_offset_us=offset_us,
            )
            for each in measured
        )
        if len(checks) == 1:
            return checks[0]
        runtime_us = max(check.runtime_us for check in checks)
        return replace(
            checks[0], experiment=LIGHT_ROUND, experiment_version=1, target="", service="",
            runtime_us=runtime_us, not_measured="", observations=(), parts=checks,
        )  # fmt: skip

    def measure_anchors(
        self, actor: Actor, number: int, started_us: int, monotonic_us: int
    ) -> Measurement:
        """Generate a look at the anchors, which a blocked address does not touch."""
        task = PlannedTask(experiment=ANCHORS, service=ANCHORS_SERVICE, interval_s=1)
        rng = _seeded_rng(self.seed, actor.number, ANCHORS, number)
        result = replace(self._measure_task(task, actor, 0.0, rng), not_measured="")
        return replace(result, started_us=started_us, monotonic_us=monotonic_us)

    def _measure_task(
        self, task: PlannedTask, actor: Actor, second: float, rng: random.Random
    ) -> Measurement:
        recorder = StepLog(self._network_conditions(actor, task.service, second, rng), rng)
        reason = NOT_MEASURED if rng.random() < _NOT_MEASURED_SHARE else ""
        if not reason:
            services = {service.name: service for service in self.plan.services}
            simulate_task(task, services.get(task.service), recorder)
        return Measurement(
            experiment=task.experiment,
            experiment_version=REGISTRY[task.experiment].version,
            target=task.target or task.service,
            service=task.service,
            started_us=0,
            monotonic_us=0,
            boot=BOOT,
            runtime_us=recorder.now_us,
            epoch=EPOCH,
            link=Link.UNKNOWN if is_isolated(actor, second) else Link.ONLINE,
            plan_version=self.plan.version,
            services_version=self.plan.services_version,
            not_measured=reason,
            is_light=task.is_light,
            observations=tuple(recorder.observations),
        )

    def _network_conditions(
        self, actor: Actor, service: str, second: float, rng: random.Random
    ) -> NetworkConditions:
        network_rng = _seeded_rng(self.seed, actor.number, "network")
        interference = None if actor.control else self.interference.get((actor.country, service))
        if is_failing(actor, service, second, rng):
            interference = InterferenceMethod.SILENCE
        if is_isolated(actor, second):
            interference = InterferenceMethod.DROPPED
        return NetworkConditions(
            round_trip_us=network_rng.randint(*_ROUND_TRIP_US),
            ipv6=network_rng.random() < _IPV6_SHARE or actor.control,
            loss_share=self.loss_share,
            interference=interference,
        )


def build_load_plan(
    load: Load, services: Services, tested_services: Sequence[str], every_s: float
) -> Plan:
    """Build the plan that virtual agents run.

    Args:
        load: plan: the default plan, with the tested services at the interval; a tested service
            outside the plan becomes a web page. scenario: a page for each tested service, and no
            other task. none: no tasks.
        tested_services: Names of the services that the scenario tests.
        every_s: The interval of these tests in seconds.
    """
    plan = build_default_plan(services)
    planned_services = {task.service for task in plan.tasks} if load == "plan" else set[str]()
    page_tasks = [
        _build_page_task(name, every_s) for name in tested_services if name not in planned_services
    ]
    planned_tasks = [
        replace(task, interval_s=_round_interval_s(every_s))
        if task.service in tested_services and not (task.is_light or task.is_turn)
        else task
        for task in plan.tasks
        if load == "plan"
    ]
    return replace(plan, version=1, tasks=(*planned_tasks, *page_tasks) if load != "none" else ())


def _build_page_task(service: str, every_s: float) -> PlannedTask:
    target = f"https://www.{service}.example/"
    return PlannedTask(
        experiment=WEB, service=service, target=target, interval_s=_round_interval_s(every_s)
    )


def _round_interval_s(interval_s: float) -> int:
    return max(1, round(interval_s))


def _seeded_rng(*parts: object) -> random.Random:
    """Return a generator seeded by the parts, so that a load is reproducible."""
    return random.Random(" ".join(map(str, parts)))  # noqa: S311 - a load, not a secret
