"""Outcome of each endpoint of a measurement, for the comparison of vantages."""

import re
from collections.abc import Sequence

from heliograph.failure import Failure, Operation
from heliograph.observation import Measurement, Observation
from heliograph_collector.model.identity_cache import keep_by_identity

HOP = re.compile(r"redirect-\d{1,2}")  # all pages of a redirect chain are one endpoint

# Failures caused by the vantage itself, or that prove nothing.
VANTAGE_FAILURES = frozenset(
    {
        Failure.INTERRUPTED,
        Failure.PERMISSION_DENIED,
        Failure.ADDRESS_FAMILY_NOT_SUPPORTED,
        Failure.ADDRESS_NOT_AVAILABLE,
        Failure.DNS_NO_RESOLVER,
        Failure.NETWORK_DOWN,
        Failure.NETWORK_UNREACHABLE,
        Failure.UNKNOWN_FAILURE,
    }
)


@keep_by_identity(12_288)  # as `extract_facts`: a block is taken up before its views are sent
def extract_outcomes(measurement: Measurement) -> dict[str, bool]:
    """Return by endpoint whether all operations succeeded, without doubtful endpoints."""
    by_endpoint: dict[str, list[Observation]] = {}
    for observation in measurement.observations:
        label = observation.endpoint
        if label.startswith("redirect-") and HOP.fullmatch(label):
            label = ""
        by_endpoint.setdefault(label, []).append(observation)
    reached_by_endpoint = {
        label: _decide_outcome(observations) for label, observations in by_endpoint.items()
    }
    return {label: good for label, good in reached_by_endpoint.items() if good is not None}


def _decide_outcome(observations: Sequence[Observation]) -> bool | None:
    passed: set[Operation] = set()
    failed: set[Operation] = set()
    for observation in observations:
        failure = observation.failure
        if failure is None:
            passed.add(observation.operation)
        elif failure is Failure.INTERRUPTED:
            return None
        elif failure not in VANTAGE_FAILURES and _counts_as_failure(observation):
            failed.add(observation.operation)
    if failed - passed:
        return False
    return True if passed - {Operation.RESOLVE} else None


def _counts_as_failure(observation: Observation) -> bool:
    """Return False for IPv6 connections and AAAA lookups."""
    is_lookup = observation.dns is not None and observation.dns.query_type == "AAAA"
    return not is_lookup and not is_over_ipv6(observation)


def is_over_ipv6(observation: Observation) -> bool:
    end = observation.tcp or observation.udp
    return end is not None and ":" in end.address
