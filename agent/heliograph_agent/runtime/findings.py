"""Hold the collector's findings on this agent's network, for `results`.

They are kept in memory alone: the status file on the disk leaves them out.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from heliograph.v1 import intake_pb2

MAX_FINDINGS = 256
MAX_TEXT = 128  # characters of a name
MAX_S = 253_402_300_799  # the end of the year 9999, the last that can be written


class ServiceFinding(TypedDict):
    """Describe one service in the agent's network."""

    title: str
    state: str  # VerdictState of the collector
    since_us: int  # wall clock; 0: before the time that is published
    vantages: str  # a band such as 20-49
    networks: int  # of the country that are shown by name; 0: from an older collector
    networks_alike: int  # those with this state


class NetworkFindings(TypedDict):
    """Describe the network and its services."""

    at_us: int
    country: str
    asn: int  # 0: networks of the country with few agents, together
    services: Mapping[str, ServiceFinding]


def describe_findings(message: "intake_pb2.Findings") -> NetworkFindings:
    """Convert a message, within limits."""
    return {
        "at_us": _limit_s(message.at_s) * 1_000_000,
        "country": message.country[:MAX_TEXT],
        "asn": message.asn,
        "services": {
            each.service[:MAX_TEXT]: {
                "title": each.title[:MAX_TEXT],
                "state": each.state[:MAX_TEXT],
                "since_us": _limit_s(each.since_s) * 1_000_000,
                "vantages": each.vantages[:MAX_TEXT],
                "networks": each.networks,
                "networks_alike": each.networks_alike,
            }
            for each in message.findings[:MAX_FINDINGS]
        },
    }


def _limit_s(at_s: int) -> int:
    return min(max(at_s, 0), MAX_S)
