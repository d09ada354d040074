"""An agent's status with the collector's findings about its network."""

from heliograph.v1 import intake_pb2 as pb
from heliograph_agent.runtime.findings import describe_findings
from heliograph_agent.runtime.status_file import AgentStatus

AT_S = 1_641_420_000  # 2022-01-05 22:00 UTC


def told(networks: int = 3, **states: str) -> AgentStatus:
    """Return the status of an agent in AS9198.

    Its own test of Telegram failed ten minutes ago.
    """
    message = pb.Findings(at_s=AT_S, country="KZ", asn=9_198)
    for name, state in states.items():
        message.findings.add(
            service=name, title=name.title(), state=state, vantages="20-49",
            since_s=AT_S - 1_500 if state == "blocked" else 0,
            networks=networks, networks_alike=max(networks - 1, 0),
        )  # fmt: skip
    return {
        "findings": describe_findings(message),
        "lives": {"telegram": ("fails", (AT_S - 600) * 1_000_000)},
        "written_us": AT_S * 1_000_000,
    }
