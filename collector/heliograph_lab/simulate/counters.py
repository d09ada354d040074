"""What one process of virtual agents has to tell, as it stands now."""

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
class Tally:
    enrolled: int = 0
    arrived: int = 0  # agents that have had a session at all
    sessions: int = 0  # streams that a hello was sent on and that have not ended
    hushed: int = 0  # agents that are cut off just now
    hellos: int = 0
    heartbeats: int = 0
    answers: int = 0  # to heartbeats
    sent: int = 0  # envelopes
    receipts: dict[str, int] = field(default_factory=dict)  # status → how many
    troubles: dict[str, int] = field(default_factory=dict)  # what went wrong → how often
    done: bool = False

    def trouble(self, word: str) -> None:
        self.troubles[word] = self.troubles.get(word, 0) + 1

    def receipt(self, status: str) -> None:
        self.receipts[status] = self.receipts.get(status, 0) + 1


def added(tallies: "list[Tally]") -> Tally:
    """Of all processes together; done when all are."""
    total = Tally(done=all(tally.done for tally in tallies))
    for tally in tallies:
        for name in _COUNTS:
            setattr(total, name, getattr(total, name) + getattr(tally, name))
        total.receipts = dict(Counter(total.receipts) + Counter(tally.receipts))
        total.troubles = dict(Counter(total.troubles) + Counter(tally.troubles))
    return total
