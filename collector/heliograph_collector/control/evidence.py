"""What a control context takes up of the steps of a result, for one that does not hold the steps.

A process that decodes results collects it, and sends it to the process with the context, which
keeps it. Whatever asks for it there finds it, and no step is decoded.
"""

import msgspec

from heliograph.observation import Measurement
from heliograph_collector.control.endpoint_outcomes import extract_outcomes
from heliograph_collector.control.vantage_facts import VantageFacts, extract_facts


class Evidence(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What the steps of one measurement tell of its endpoints and of its vantage."""

    outcomes: dict[str, bool]  # see `extract_outcomes`
    facts: VantageFacts


def collect_evidence(measurement: Measurement) -> Evidence:
    """Collect the evidence of a measurement, of which nothing is kept here."""
    return Evidence(extract_outcomes.compute(measurement), extract_facts.compute(measurement))


def keep_evidence(measurement: Measurement, evidence: Evidence) -> None:
    """Keep what another process collected, so that the next questions find it."""
    extract_outcomes.keep(measurement, evidence.outcomes)
    extract_facts.keep(measurement, evidence.facts)
