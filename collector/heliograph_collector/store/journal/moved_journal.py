"""What a move of the journal to servers returns."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MovedJournal:
    """What was moved, as both sides have it."""

    rows: int
    first: int  # position on the servers
    last: int
    agents: int  # with trimmed sequences
    digest: str  # SHA-256 of all rows in order
