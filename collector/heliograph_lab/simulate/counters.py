"""Counters of one process of virtual agents."""

from collections import Counter
from dataclasses import asdict, dataclass, field


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
    counts: Counter[str] = Counter()
    receipts: Counter[str] = Counter()
    troubles: Counter[str] = Counter()
    for each in counters:
        counts.update({name: n for name, n in asdict(each).items() if type(n) is int})
        receipts.update(each.receipts)
        troubles.update(each.troubles)
    is_done = all(each.done for each in counters)
    return AgentCounters(**counts, receipts=dict(receipts), troubles=dict(troubles), done=is_done)
