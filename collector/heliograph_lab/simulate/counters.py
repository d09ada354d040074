"""Counters of one process of virtual agents."""

from collections import Counter
from dataclasses import dataclass, field

_COUNTS = (
    "enrolled",
    "arrived",
    "sessions",
    "hushed",
    "hellos",
    "heartbeats",
    "answers",
    "sent",
)


@dataclass(slots=True)
class AgentCounters:
    enrolled: int = 0
    arrived: int = 0  # agents that have had a session
    sessions: int = 0  # open streams with a sent hello
    hushed: int = 0  # agents that are silent now
    hellos: int = 0
    heartbeats: int = 0
    answers: int = 0  # to heartbeats
    sent: int = 0  # envelopes
    receipts: dict[str, int] = field(default_factory=dict)  # by status
    troubles: dict[str, int] = field(default_factory=dict)  # by reason
    done: bool = False

    def count_trouble(self, reason: str) -> None:
        self.troubles[reason] = self.troubles.get(reason, 0) + 1

    def count_receipt(self, status: str) -> None:
        self.receipts[status] = self.receipts.get(status, 0) + 1


def sum_counters(counters: "list[AgentCounters]") -> AgentCounters:
    """Sum the counters of all processes; the sum is done if all are done."""
    total = AgentCounters(done=all(process_counters.done for process_counters in counters))
    for process_counters in counters:
        for name in _COUNTS:
            setattr(total, name, getattr(total, name) + getattr(process_counters, name))
        total.receipts = dict(Counter(total.receipts) + Counter(process_counters.receipts))
        total.troubles = dict(Counter(total.troubles) + Counter(process_counters.troubles))
    return total
