"""Codes by voice and last words by DNS: proven, kept in fleet.db, handed to the journal later.

So a command may take one in while `serve` runs or while it does not, and none counts twice.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from heliograph_collector.fleet.registry import Fleet

KEPT_S = 86_400  # how long a failed try is remembered


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """One proven code. `body` is the compressed batch that it becomes."""

    agent: bytes
    minute: int  # since 1970, UTC; with the agent it names the code for ever
    received_us: int
    body: bytes
    carrier: str = "code"  # by voice, or "dns"


class Codes:
    """Safe from any thread, as its fleet is."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def unproven(self, since_s: int) -> int:
        """How many tries proved nothing since then."""
        with self._fleet.transaction() as db:
            found = db.execute("SELECT count(*) FROM unproven WHERE at_s >= ?", (since_s,))
            return int(found.fetchone()[0])

    def proved_nothing(self, now_s: int) -> None:
        with self._fleet.transaction() as db:
            db.execute("DELETE FROM unproven WHERE at_s < ?", (now_s - KEPT_S,))
            db.execute("INSERT INTO unproven VALUES (?)", (now_s,))

    def keep(self, word: Word) -> bool:
        """False when one of this agent and minute was kept before."""
        with self._fleet.transaction() as db:
            done = db.execute(
                "INSERT INTO codes (agent, minute, received_us, body, carrier)"
                " VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (word.agent, word.minute, word.received_us, word.body, word.carrier),
            )
            return done.rowcount == 1

    def knows(self, agent: bytes, minute: int) -> bool:
        with self._fleet.transaction() as db:
            key = (agent, minute)
            found = db.execute("SELECT 1 FROM codes WHERE agent = ? AND minute = ?", key)
            return found.fetchone() is not None

    def pending(self) -> list[Word]:
        """Those that the journal may not have yet."""
        with self._fleet.transaction() as db:
            rows: list[tuple[bytes, int, int, bytes, str]] = db.execute(
                "SELECT agent, minute, received_us, body, carrier FROM codes WHERE handed = 0"
            ).fetchall()
        return [Word(agent=a, minute=m, received_us=r, body=b, carrier=c) for a, m, r, b, c in rows]

    def handed_over(self, words: Iterable[Word]) -> None:
        """What they said is the journal's now; that they came stays known."""
        with self._fleet.transaction() as db:
            db.executemany(
                "UPDATE codes SET handed = 1, body = x'' WHERE agent = ? AND minute = ?",
                [(word.agent, word.minute) for word in words],
            )

    def changes(self) -> int:
        return self._fleet.changes()
