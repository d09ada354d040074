"""Records of one page, measured by volunteers and controls, and their verdicts."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from heliograph_collector.model.records import (
    AgentRole,
    JudgedMeasurement,
    ReceivedMeasurement,
    Vantage,
    VerdictState,
)
from support.scenario import MINUTE_US, NOON_US, measurement, taken

Steps = list[dict[str, Any]]
WORKS: Steps = [{"system A": "5.6.7.8"}, {"connect 5.6.7.8": "ok"}, {"tls": "ok"}, {"http": 200}]
RESET: Steps = [*WORKS[:2], {"tls": "connection_reset"}]
PLACES = ("DE", "BR", "JP", "ZA", "CA")
BLOCKED = (VerdictState.BLOCKED, "tls.reset_after_hello")
NO_CONTROL = (VerdictState.UNKNOWN, "control.missing")


def build_record(
    steps: Any,
    minute: float = 0,
    *,
    country: str = "KZ",
    nym: str = "",
    prefix: str = "",
    role: AgentRole = AgentRole.VOLUNTEER,
    **facts: Any,
) -> ReceivedMeasurement:
    """Build the record of one measurement; `facts` are fields of the measurement.

    The default pseudonym of a volunteer is its country.
    """
    nym = nym or (role.value if role is AgentRole.CONTROL else country)
    seen = replace(measurement(steps, started_us=NOON_US + int(minute * MINUTE_US)), **facts)
    return replace(
        taken(seen, role=role, nym=nym),
        id=f"{nym}-{minute}-{len(seen.observations)}".ljust(32, "0"),
        prefix=prefix or f"net-{nym}",
        vantage=Vantage(country=country, asn=1, access="fixed"),
    )


def build_control(steps: Any, minute: float = 0, **more: Any) -> ReceivedMeasurement:
    return build_record(steps, minute, role=AgentRole.CONTROL, **more)


def build_everywhere(
    steps: Steps, minute: float, places: Sequence[str] = PLACES
) -> list[ReceivedMeasurement]:
    return [build_record(steps, minute, country=place) for place in places]


def overall(judged: JudgedMeasurement) -> tuple[VerdictState, str]:
    (verdict,) = [v for v in judged[1] if v.endpoint == ""]
    return verdict.state, verdict.rule
