"""Compare the endpoints that failed at the vantage with controls, step by step.

A control's look counts at the same address, port, protocol and name only. Another address of the
same name proves nothing about this one: an edge may be dead, closed on one port or badly set up,
and only the vantage may have been led to it. Not even a neighbor in the same /24 counts, because a
visit to the address itself is cheap and a wrong "blocked" is not.

Of the results of one network's controls in a step the one nearest in time counts. If that one
passed, and the nearest on the other side of the measurement failed, the service itself may have
failed for everybody in between: both count, and such a network contradicts itself. An earlier
result of another network proves nothing then, unless that network has looked again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

import msgspec

from heliograph.failure import HANDSHAKES, Operation
from heliograph.observation import Link
from heliograph_collector.judge.confidence import STALE_US
from heliograph_collector.judge.endpoint_view import (
    ConnectionAttempt,
    ObservedStep,
)
from heliograph_collector.judge.failure_semantics import OPERATION_DEPTH
from heliograph_collector.judge.lazy_attribute import lazy
from heliograph_collector.judge.measurement_steps import (
    NO_STEPS,
    MeasurementSteps,
    group_control_steps,
)
from heliograph_collector.model.records import ControlView

NETWORKS_DOWN = 2  # networks that must find an endpoint down, where controls have so many


class LookResult(StrEnum):
    """Result of the controls at one endpoint in one step."""

    PASSED = "passed"
    NEARLY = "nearly"  # the step before it there, and this step where the address is not reported
    FAILED = "failed"
    UNSURE = "unsure"  # the controls disagree, or too few of them looked
    NONE = "none"  # nobody looked


# An address, port, protocol, step and name, "" for any name.
StepKey: TypeAlias = tuple[str, int, str, Operation, str]


@dataclass(frozen=True, slots=True)
class ControlSource:
    """The steps of one control result.

    Its result for an endpoint is cached, because WhatsApp's 32 endpoints share four addresses: each
    of them would compare the rows of all the others again.
    """

    network: str  # "" unknown
    steps: MeasurementSteps = NO_STEPS
    is_later: bool | None = None  # than the compared measurement; None unknown
    age_us: int = 0  # distance in time from it
    _outcomes: dict[StepKey, LookResult] = field(default_factory=dict, compare=False, repr=False)

    def find_outcome(self, attempt: ConnectionAttempt, operation: Operation) -> LookResult:
        """Find the result of a step at the attempt's own endpoint."""
        name = "" if operation is Operation.CONNECT else attempt.name
        key = (attempt.address, attempt.port, attempt.protocol, operation, name)
        if key not in self._outcomes:
            self._outcomes[key] = self._compare(attempt, operation)
        return self._outcomes[key]

    def _compare(self, attempt: ConnectionAttempt, operation: Operation) -> LookResult:
        at_address = self.steps.attempts_by_address.get(attempt.address, ())
        same = [a for a in at_address if _is_same_endpoint(a, attempt, operation)]
        if any(has_passed(a, operation) for a in same):
            return LookResult.PASSED
        is_failed = any(_has_failed(a, operation) for a in same)
        return LookResult.FAILED if is_failed else LookResult.NONE

    def find_lookup(self, name: str) -> LookResult:
        """Find whether a lookup of the name gave an answer or failed as a resolver fails."""
        lookups = self.steps.lookups_by_name.get(name, ())
        if any(s.has_succeeded for s in lookups):
            return LookResult.PASSED
        return LookResult.FAILED if any(s.method for s in lookups) else LookResult.NONE


class ControlSources(msgspec.Struct, frozen=True, dict=True):
    """The fresh results of a view, grouped when an endpoint first asks for them."""

    view: ControlView = ControlView()
    steps: MeasurementSteps = NO_STEPS  # of the view's own measurement

    @lazy
    def fresh(self) -> tuple[ControlSource, ...]:
        """Return the results that are fresh and online, the best one first."""
        return list_sources(self.view, self.steps)


class ControlLooks(msgspec.Struct, frozen=True):
    """All fresh control results on a target, and the best one's connections of a page."""

    found: ControlSources = ControlSources()
    paired: tuple[ConnectionAttempt, ...] = ()
    own_addresses: frozenset[str] = frozenset()  # that the control's own lookup gave for the page

    @property
    def sources(self) -> tuple[ControlSource, ...]:
        return self.found.fresh

    @property
    def network_count(self) -> int:
        return len({source.network for source in self.sources} - {""})

    def find_result(self, attempt: ConnectionAttempt, operation: Operation) -> LookResult:
        """Find what the controls found at the attempt's own endpoint in this step."""
        if not attempt.address:  # no address on either side: the label names the endpoint
            return _compare_unaddressed(self.paired, operation)
        result = self._decide(*self._split_sources(attempt, operation))
        is_near = result is LookResult.NONE and self._has_nearly_passed(attempt, operation)
        return LookResult.NEARLY if is_near else result

    def is_dead(self, attempt: ConnectionAttempt, operation: Operation) -> bool:
        """Return whether any control fails at the endpoint too, and none gets through.

        One is enough to leave an address aside; it takes more to call the target down.
        """
        if not attempt.address:
            return _compare_unaddressed(self.paired, operation) is LookResult.FAILED
        passed, failed = self._split_sources(attempt, operation)
        return bool(failed) and not passed

    def _split_sources(
        self, attempt: ConnectionAttempt, operation: Operation
    ) -> tuple[list[ControlSource], list[ControlSource]]:
        """Split the controls at the endpoint into those that passed and that failed."""
        return _split([(s, s.find_outcome(attempt, operation)) for s in self.sources])

    def find_lookup_result(self, name: str) -> LookResult:
        """Find what the controls' lookups of a name gave."""
        return self._decide(*_split([(s, s.find_lookup(name)) for s in self.sources]))

    def _decide(
        self, passed: Sequence[ControlSource], failed: Sequence[ControlSource]
    ) -> LookResult:
        if passed:
            return _weigh(passed, failed)
        if not failed:
            return LookResult.NONE
        networks = {source.network for source in failed} - {""}
        is_enough = len(networks) >= min(NETWORKS_DOWN, self.network_count)
        return LookResult.FAILED if is_enough else LookResult.UNSURE

    def list_addresses(self, name: str) -> frozenset[str]:
        """List the addresses that any control's lookup of a name gave."""
        none: frozenset[str] = frozenset()
        return none.union(*(s.steps.addresses_by_name.get(name, none) for s in self.sources))

    def has_foreign_certificate(self, address: str, name: str) -> bool:
        """Return whether a control that asked for the name got another name's certificate."""
        names = [s.steps.foreign_names.get(address, ()) for s in self.sources]
        return any("" in each or name in each for each in names)

    def works_elsewhere(self, attempt: ConnectionAttempt, operation: Operation) -> bool:
        """Return whether the step passed for the same name and port at any address."""
        return any(has_passed(a, operation) for a in self._iter_same_name(attempt, operation))

    def _iter_same_name(
        self, attempt: ConnectionAttempt, operation: Operation
    ) -> Iterator[ConnectionAttempt]:
        for other in self.paired:
            is_same_port = not other.port or not attempt.port or other.port == attempt.port
            if is_same_port and not _names_differ(other, attempt, operation):
                yield other

    def _has_nearly_passed(self, attempt: ConnectionAttempt, operation: Operation) -> bool:
        """Return whether the step passed for the name at an address that is not reported.

        OONI's helper reports neither the address of its request nor any of a redirect. Such a pass
        counts where the control reports no address at all, and at an endpoint that its own lookup
        gave and that passed the step below. A pass at another address is no evidence on this one.
        """
        if not any(
            has_passed(a, operation)
            for a in self._iter_same_name(attempt, operation)
            if not a.address
        ):
            return False
        if not any(a.address for a in self.paired):
            return True
        below = _find_step_below(attempt, operation)
        return (
            attempt.address in self.own_addresses
            and below is not None
            and self.find_result(attempt, below) is LookResult.PASSED
        )


NO_LOOKS = ControlLooks()


def _weigh(passed: Sequence[ControlSource], failed: Sequence[ControlSource]) -> LookResult:
    """Weigh those that passed against those that failed, each network once on a side.

    A network that looked before and after is one witness: two of its passes around a short outage
    do not outweigh the network that met it.
    """
    passed_count, failed_count = (
        len({s.network or id(s) for s in side}) for side in (passed, failed)
    )
    return LookResult.PASSED if passed_count > failed_count else LookResult.UNSURE


def _split(
    outcomes: Sequence[tuple[ControlSource, LookResult]],
) -> tuple[list[ControlSource], list[ControlSource]]:
    """Split results by pass and failure, and drop those that do not count."""
    passed = [source for source, outcome in outcomes if outcome is LookResult.PASSED]
    failed = [source for source, outcome in outcomes if outcome is LookResult.FAILED]
    if not passed or not failed:  # what agrees needs no choice, and that is nearly always so
        return passed, failed
    counting = _select_counting(passed, failed)
    passed = [source for source in passed if id(source) in counting]
    failed = [source for source in failed if id(source) in counting]
    return _drop_outdated(passed, failed), failed


def _select_counting(passed: Sequence[ControlSource], failed: Sequence[ControlSource]) -> set[int]:
    """Select the sources that count, by identity; those without time or network do."""
    counting = {id(s) for s in (*passed, *failed) if s.is_later is None or not s.network}
    sides: dict[str, dict[bool, tuple[ControlSource, bool]]] = {}
    for source, has_passed in (*((s, True) for s in passed), *((s, False) for s in failed)):
        if source.is_later is not None and source.network:
            nearest = sides.setdefault(source.network, {})
            nearest_side = nearest.setdefault(source.is_later, (source, has_passed))
            if source.age_us < nearest_side[0].age_us:
                nearest[source.is_later] = (source, has_passed)
    for nearest in sides.values():
        first, *rest = sorted(nearest.values(), key=lambda side: side[0].age_us)
        counting.add(id(first[0]))
        counting |= {id(source) for source, has_passed in rest if first[1] or not has_passed}
    return counting


def _drop_outdated(
    passed: list[ControlSource], failed: Sequence[ControlSource]
) -> list[ControlSource]:
    """Drop earlier passes of networks without a later look, if another now fails."""
    if not any(source.is_later for source in failed):
        return passed
    renewed = {s.network for s in (*passed, *failed) if s.is_later}
    return [s for s in passed if s.is_later is not False or s.network in renewed]


def _compare_unaddressed(paired: tuple[ConnectionAttempt, ...], operation: Operation) -> LookResult:
    if any(has_passed(a, operation) for a in paired if not a.address):
        return LookResult.PASSED
    is_failed = any(_has_failed(a, operation) for a in paired if not a.address)
    return LookResult.FAILED if is_failed else LookResult.NONE


def list_sources(control: ControlView, steps: MeasurementSteps) -> tuple[ControlSource, ...]:
    """List the results of a view that are fresh and online, the best one first.

    Args:
        steps: Those of the view's own measurement, which are grouped already.
    """
    sources = []
    if control.measurement is not None and is_fresh(control.age_us, control.link):
        at = (control.is_later, control.age_us or 0)
        sources.append(ControlSource(control.network, steps, *at))
    sources += [
        ControlSource(
            look.network, group_control_steps(look.measurement), look.is_later, look.age_us
        )
        for look in control.looks
        if is_fresh(look.age_us, look.link)
    ]
    return tuple(sources)


def is_fresh(age_us: int | None, link: Link) -> bool:
    """Return whether a control's result is near in time, and the control was online."""
    return age_us is not None and age_us <= STALE_US and link is Link.ONLINE


def has_passed(attempt: ConnectionAttempt, operation: Operation) -> bool:
    """Return whether this step, or one that requires it, succeeded."""
    passed = [s for s in attempt.steps if s.has_succeeded and s.operation in OPERATION_DEPTH]
    if operation in HANDSHAKES:
        return any(s.operation is operation or _is_https(s) for s in passed)
    if operation is Operation.CONNECT:
        return bool(passed)
    return any(
        s.operation is operation or OPERATION_DEPTH[s.operation] > OPERATION_DEPTH[operation]
        for s in passed
    )


def _has_failed(attempt: ConnectionAttempt, operation: Operation) -> bool:
    failed_step = attempt.failed_step
    if failed_step is None:
        return False
    return OPERATION_DEPTH[failed_step.operation] <= OPERATION_DEPTH[operation]


def _is_same_endpoint(
    other: ConnectionAttempt, attempt: ConnectionAttempt, operation: Operation
) -> bool:
    return (
        bool(attempt.address)
        and (other.address, other.port) == (attempt.address, attempt.port)
        and other.protocol == attempt.protocol
        and not _names_differ(other, attempt, operation)
    )


def _names_differ(
    other: ConnectionAttempt, attempt: ConnectionAttempt, operation: Operation
) -> bool:
    """Return whether both connections name a server, and different ones.

    A TCP connection carries no name.
    """
    if operation is Operation.CONNECT:
        return False
    name = attempt.name
    other_name = other.name
    return bool(name and other_name) and name != other_name


def _find_step_below(attempt: ConnectionAttempt, operation: Operation) -> Operation | None:
    steps = {s.operation for s in attempt.steps}
    depth = OPERATION_DEPTH[operation]
    below = [o for o in steps if OPERATION_DEPTH.get(o, depth) < depth]
    return max(below, key=OPERATION_DEPTH.__getitem__, default=None)


def _is_https(step: ObservedStep) -> bool:
    http = step.observation.http
    return http is not None and http.url.lower().startswith("https:")
