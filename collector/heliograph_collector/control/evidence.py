"""Collect the facts that a control context needs, to replace a result's steps.

A process that decodes results collects them, and sends them to the process with the context, which
keeps them. Queries there read these facts, and no step is decoded.
"""

import msgspec

from heliograph.observation import Measurement
from heliograph_collector.control.endpoint_outcomes import extract_outcomes
from heliograph_collector.control.vantage_facts import VantageFacts, extract_facts


class Evidence(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Facts from one measurement's steps about its endpoints and its vantage."""

    outcomes: dict[str, bool]  # see `extract_outcomes`
    facts: VantageFacts


def collect_evidence(measurement: Measurement) -> Evidence:
    """Collect the evidence of a measurement, of which nothing is kept here."""
    return Evidence(extract_outcomes.compute(measurement), extract_facts.compute(measurement))


def keep_evidence(measurement: Measurement, evidence: Evidence) -> None:
    """Keep what another process collected, so that the next questions find it."""
    extract_outcomes.keep(measurement, evidence.outcomes)
    extract_facts.keep(measurement, evidence.facts)
