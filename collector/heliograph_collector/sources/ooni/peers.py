"""Outcomes of other countries as the control of tests that have none."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace

from heliograph.observation import Observation
from heliograph_collector.sources.ooni.endpoints import presume_passed, presume_unseen
from heliograph_collector.sources.ooni.envelope import (
    OWN_CONTROL,
    ImportedMeasurement,
    normalize_test_name,
)

WINDOW_US = 3 * 3600 * 1_000_000  # assumed; relevant outages last longer than a run
MIN_COUNTRIES = 2  # assumed; other countries that must fail alike for an outage
_DAY_CHARS = len("2024-02-12")
Key = tuple[str, str, int]  # service, endpoint, time window
Place = tuple[str, str, str]  # test, day, country


def get_place(document: Mapping[str, object]) -> Place:
    """Get a document's test, day and country, without reading all of it."""
    started = document.get("measurement_start_time") or document.get("test_start_time")
    name = normalize_test_name(str(document.get("test_name")))
    return name, str(started)[:_DAY_CHARS], str(document.get("probe_cc"))


def find_crowded_places(places: Iterable[Place]) -> frozenset[Place]:
    """Find places without a control that other countries measured on the same day.

    A day has whole windows of hours.
    """
    countries: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for name, day, country in places:
        if name not in OWN_CONTROL:
            countries[name, day].add(country)
    return frozenset(
        (*key, country) for key, codes in countries.items() if len(codes) > 1 for country in codes
    )


class PeerOutcomes:
    """Outcomes by country: `add` every measurement first, then use `compare_peers`."""

    def __init__(self) -> None:
        self.passed: defaultdict[Key, set[str]] = defaultdict(set)
        self.failed: defaultdict[Key, set[str]] = defaultdict(set)

    def add(self, imported: ImportedMeasurement) -> None:
        if not imported.presumed:
            return
        for label, failed in _extract_outcomes(imported).items():
            (self.failed if failed else self.passed)[_make_key(imported, label)].add(
                imported.probe_cc
            )

    def merge(self, other: "PeerOutcomes") -> None:
        for own, more in ((self.passed, other.passed), (self.failed, other.failed)):
            for key, countries in more.items():
                own[key] |= countries

    def compare_peers(self, imported: ImportedMeasurement) -> ImportedMeasurement:
        """Let the presumed control fail where other countries fail and none succeeds."""
        if not imported.presumed or imported.control.measurement is None:
            return imported
        labels = {label for label, failed in _extract_outcomes(imported).items() if failed}
        if not labels:
            return imported
        down_labels = {label for label in labels if self._is_down(imported, label)}
        doubted_labels = {label for label in labels if self._is_doubted(imported, label)}
        proven_labels = {
            label
            for label in labels - doubted_labels
            if self._list_other_countries(self.passed, imported, label)
        }
        is_proven = proven_labels == labels
        own_observations = imported.record.measurement.observations
        control_observations = imported.control.measurement.observations
        mixed = tuple(
            presume_unseen(own)
            if own.endpoint in doubted_labels - down_labels
            else _mix_steps(own, presumed, down_labels, proven_labels)
            for own, presumed in zip(own_observations, control_observations, strict=True)
        )
        measured = replace(imported.control.measurement, observations=mixed)
        return replace(
            imported,
            presumed=not is_proven,
            control=replace(imported.control, measurement=measured),
        )

    def _is_down(self, imported: ImportedMeasurement, label: str) -> bool:
        if self._list_other_countries(self.passed, imported, label):
            return False
        return len(self._list_other_countries(self.failed, imported, label)) >= MIN_COUNTRIES

    def _is_doubted(self, imported: ImportedMeasurement, label: str) -> bool:
        """Return whether as many others fail as pass: that is no single country's doing."""
        failing = len(self._list_other_countries(self.failed, imported, label))
        return 0 < failing >= len(self._list_other_countries(self.passed, imported, label))

    def _list_other_countries(
        self,
        countries_by_key: defaultdict[Key, set[str]],
        imported: ImportedMeasurement,
        label: str,
    ) -> set[str]:
        return countries_by_key.get(_make_key(imported, label), set()) - {imported.probe_cc, "ZZ"}


def _mix_steps(
    own: Observation, presumed: Observation, down_labels: set[str], proven_labels: set[str]
) -> Observation:
    """Select the control's step: failed if it is down, passed if others passed it."""
    if own.endpoint in down_labels:
        return own
    return presume_passed(own) if own.endpoint in proven_labels else presumed


def _extract_outcomes(imported: ImportedMeasurement) -> dict[str, bool]:
    last: dict[str, Observation] = {}
    for observation in imported.record.measurement.observations:
        last[observation.endpoint] = observation
    return {label: observation.failure is not None for label, observation in last.items()}


def _make_key(imported: ImportedMeasurement, label: str) -> Key:
    own_measurement = imported.record.measurement
    return own_measurement.service, label, own_measurement.started_us // WINDOW_US
