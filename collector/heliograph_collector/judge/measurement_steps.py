"""Group the lookups and connections of a measurement once for all endpoints.

A measurement of a messenger has a hundred connections to thirty endpoints, and each endpoint is
compared with all of the controls' steps, so these are indexed by label, address and name.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import chain
from operator import itemgetter
from typing import TypeVar

import msgspec

from heliograph.failure import Failure, Operation
from heliograph.observation import Measurement, Observation
from heliograph_collector.judge.endpoint_view import (
    EMPTY_VIEW,
    ConnectionAttempt,
    EndpointView,
    ObservedStep,
    collect_addresses,
)
from heliograph_collector.judge.lazy_attribute import lazy

# A certificate of somebody else: what a server with a date or a chain in disorder does not show.
FOREIGN_FAILURES = frozenset({Failure.SSL_INVALID_HOSTNAME, Failure.SSL_UNKNOWN_AUTHORITY})
Attempts = tuple[ConnectionAttempt, ...]
Lookups = tuple[ObservedStep, ...]
_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class MeasurementSteps(msgspec.Struct, frozen=True, dict=True):
    """All steps of a measurement; a connection has one object for all who ask for it."""

    attempts: Attempts  # whole, whatever labels their steps carry
    attempts_by_label: Mapping[str, Attempts]
    lookups_by_label: Mapping[str, Lookups]
    certificate_bytes: tuple[bytes, ...] = ()

    @lazy
    def steps_by_observation(self) -> Mapping[int, ObservedStep]:
        """Return the steps by the identity of their observations, which they keep alive."""
        connected = (step for attempt in self.attempts for step in attempt.steps)
        looked_up = chain.from_iterable(self.lookups_by_label.values())
        return {id(step.observation): step for step in chain(connected, looked_up)}

    @lazy
    def attempts_by_start(self) -> Mapping[int, ConnectionAttempt]:
        return {attempt.steps[0].index: attempt for attempt in self.attempts}

    @lazy
    def certificates(self) -> Mapping[str, bytes]:
        """Return the certificates that were kept, by the SHA-256 of their bytes."""
        return {hashlib.sha256(der).hexdigest(): der for der in self.certificate_bytes}

    @lazy
    def attempts_by_address(self) -> Mapping[str, Attempts]:
        return _group((a.address, a) for a in self.attempts)

    @lazy
    def lookups_by_name(self) -> Mapping[str, Lookups]:
        """Return the lookups of each name, without AAAA: half of all names have none."""
        return _group(
            (step.observation.dns.name.lower().rstrip("."), step)
            for lookups in self.lookups_by_label.values()
            for step in lookups
            if step.observation.dns and step.observation.dns.query_type != "AAAA"
        )

    @lazy
    def addresses_by_name(self) -> Mapping[str, frozenset[str]]:
        """Return the addresses that lookups of each name gave, but for AAAA."""
        return {name: collect_addresses(steps) for name, steps in self.lookups_by_name.items()}

    @lazy
    def foreign_names(self) -> Mapping[str, frozenset[str]]:
        """Return by address the names that got somebody else's certificate there."""
        shown = [
            (attempt.address, attempt.name)
            for attempt in self.attempts
            if any(step.observation.failure in FOREIGN_FAILURES for step in attempt.steps)
        ]
        return {address: frozenset(names) for address, names in _group(shown).items()}

    @lazy
    def verified_addresses(self) -> Mapping[str, tuple[str, ...]]:
        """Return the addresses that showed the right certificate for each name.

        The name is "" if it is unknown.
        """
        return _group(
            (step.observation.tls.server_name.lower().rstrip("."), attempt.address)
            for attempt in self.attempts
            for step in attempt.steps
            if attempt.address and step.has_succeeded and step.observation.tls is not None
        )

    @lazy
    def ipv6_works(self) -> bool:
        """Return whether some step succeeded over IPv6."""
        return any(":" in a.address and a.passed_operations for a in self.attempts)

    @lazy
    def labels(self) -> AbstractSet[str]:
        return self.attempts_by_label.keys() | self.lookups_by_label.keys()

    def list_verified(self, name: str) -> tuple[str, ...]:
        """List the addresses that showed the right certificate for a name."""
        unnamed = self.verified_addresses.get("", ())
        return (*unnamed, *self.verified_addresses.get(name, ())) if name else unnamed

    def build_view(self, label: str, url: str = "") -> EndpointView:
        """Build the view of all observations that carry this endpoint label."""
        lookups = self.lookups_by_label.get(label, ())
        return EndpointView(lookups, self.attempts_by_label.get(label, ()), url=url)

    def get_view(self, label: str) -> EndpointView:
        """Return the view of an endpoint label, the same object at each call.

        A control's steps and views stay grouped, one view for each label that they have.
        """
        if label not in self.labels:
            return EMPTY_VIEW
        if label not in self._views:
            self._views[label] = self.build_view(label)
        return self._views[label]

    @lazy
    def _views(self) -> dict[str, EndpointView]:
        return {}


NO_STEPS = MeasurementSteps((), {}, {})


def is_verified_for(step: ObservedStep, name: str) -> bool:
    """Return whether the step's handshake showed the right certificate for a name."""
    tls = step.observation.tls
    if tls is None or not step.has_succeeded:
        return False
    return tls.server_name.lower().rstrip(".") in ("", name)


def group_steps(
    measurement: Measurement | None, beside: MeasurementSteps = NO_STEPS
) -> MeasurementSteps:
    """Group the steps of a measurement by connection and by endpoint label.

    Steps and connections of `beside` that are the very same are not made again.
    """
    if measurement is None:
        return NO_STEPS
    return _group_observations(measurement.observations, measurement.certificates, beside)


# Results of controls whose steps stay grouped, which present verdicts are compared with: of 70
# targets up to 17 in a view, a dozen kilobytes each. Assumed.
CONTROLS_KEPT = 1_024
_kept_steps: dict[int, tuple[Measurement, MeasurementSteps]] = {}


def group_control_steps(
    measurement: Measurement | None, beside: MeasurementSteps = NO_STEPS
) -> MeasurementSteps:
    """Group a control's steps once for all measurements that it is compared with.

    The oldest entries are dropped first, as in the cache of controls. A result is recognized by its
    identity, and the entry keeps it alive.
    """
    if measurement is None:
        return NO_STEPS
    cached_entry = _kept_steps.get(id(measurement))
    if cached_entry is not None and cached_entry[0] is measurement:
        return cached_entry[1]
    steps = group_steps(measurement, beside)
    while len(_kept_steps) >= CONTROLS_KEPT:
        _kept_steps.pop(next(iter(_kept_steps)), None)
    _kept_steps[id(measurement)] = (measurement, steps)
    return steps


def build_view(observations: Sequence[Observation], label: str, url: str = "") -> EndpointView:
    """Build the view of one endpoint label, where no other is asked for."""
    return _group_observations(observations).build_view(label, url)


def _group_observations(
    observations: Sequence[Observation],
    certificates: tuple[bytes, ...] = (),
    beside: MeasurementSteps = NO_STEPS,
) -> MeasurementSteps:
    lookups: list[tuple[str, ObservedStep]] = []
    roots: list[int] = []
    wholes: defaultdict[int, list[ObservedStep]] = defaultdict(list)
    is_mixed = False  # whether the steps of any connection carry several labels
    known_steps = beside.steps_by_observation
    for index, observation in enumerate(observations):
        step = known_steps.get(id(observation)) if known_steps else None
        if step is None or step.index != index:
            step = ObservedStep(index, observation)
        root = _find_root(observations, roots, index)
        roots.append(root)
        if observation.operation is Operation.RESOLVE:
            lookups.append((observation.endpoint, step))
        else:
            wholes[root].append(step)
            is_mixed = is_mixed or observation.endpoint != observations[root].endpoint
    attempts = {root: _make_attempt(root, tuple(w), beside) for root, w in wholes.items()}
    all_attempts = tuple(attempts.values())
    by_label = (
        _group_parts(attempts)
        if is_mixed
        else _group([(observations[root].endpoint, a) for root, a in attempts.items()])
    )
    return MeasurementSteps(all_attempts, by_label, _group(lookups), certificates)


def _group_parts(attempts: Mapping[int, ConnectionAttempt]) -> dict[str, Attempts]:
    """Group parts of connections by the label of their steps, in order of the steps."""
    parts: defaultdict[tuple[str, int], list[ObservedStep]] = defaultdict(list)
    steps = ((step.index, root, step) for root, a in attempts.items() for step in a.steps)
    for _, root, step in sorted(steps, key=itemgetter(0)):
        parts[step.observation.endpoint, root].append(step)
    return _group(
        [(label, _select_part(attempts[root], steps)) for (label, root), steps in parts.items()]
    )


def _make_attempt(
    root: int, steps: tuple[ObservedStep, ...], beside: MeasurementSteps
) -> ConnectionAttempt:
    known_attempt = beside.attempts_by_start.get(root)
    return (
        known_attempt
        if known_attempt is not None and known_attempt.steps == steps
        else ConnectionAttempt(steps)
    )


def _find_root(observations: Sequence[Observation], roots: Sequence[int], index: int) -> int:
    """Find the step's first ancestor in its connection, without the lookup."""
    parent = observations[index].parent
    if parent is None or not 0 <= parent < index:
        return index
    return index if observations[parent].operation is Operation.RESOLVE else roots[parent]


def _select_part(attempt: ConnectionAttempt, steps: Sequence[ObservedStep]) -> ConnectionAttempt:
    """Return the connection itself where one label has all of it."""
    return attempt if len(attempt.steps) == len(steps) else ConnectionAttempt(tuple(steps))


def _group(items: Iterable[tuple[_Key, _Value]]) -> dict[_Key, tuple[_Value, ...]]:
    grouped: defaultdict[_Key, list[_Value]] = defaultdict(list)
    for key, value in items:
        grouped[key].append(value)
    return {key: tuple(values) for key, values in grouped.items()} if grouped else {}
