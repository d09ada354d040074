"""Codes by voice and last words by DNS: proven, kept in fleet.db, handed to the journal later.

So a command may take one in while `serve` runs or while it does not, and none counts twice.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from heliograph_collector.fleet.registry import Fleet

FAILURES_KEPT_S = 86_400  # how long a failed try is remembered


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenCode:
    """One proven code. `body` is the compressed batch that it becomes."""

    agent: bytes
    minute: int  # since 1970, UTC; with the agent it names the code for ever
    received_us: int
    body: bytes
    carrier: str = "code"  # by voice, or "dns"


class VoiceCodeStore:
    """Safe from any thread, as its fleet is."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def count_failures(self, since_s: int) -> int:
        """How many tries proved nothing since then."""
        with self._fleet.transaction() as db:
            cursor = db.execute("SELECT count(*) FROM unproven WHERE at_s >= ?", (since_s,))
            return int(cursor.fetchone()[0])

    def record_failure(self, now_s: int) -> None:
        with self._fleet.transaction() as db:
            db.execute("DELETE FROM unproven WHERE at_s < ?", (now_s - FAILURES_KEPT_S,))
            db.execute("INSERT INTO unproven VALUES (?)", (now_s,))

    def add(self, code: ProvenCode) -> bool:
        """False when one of this agent and minute was kept before."""
        with self._fleet.transaction() as db:
            cursor = db.execute(
                "INSERT INTO codes (agent, minute, received_us, body, carrier)"
                " VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (code.agent, code.minute, code.received_us, code.body, code.carrier),
            )
            return cursor.rowcount == 1

    def has_code(self, agent: bytes, minute: int) -> bool:
        with self._fleet.transaction() as db:
            key = (agent, minute)
            cursor = db.execute("SELECT 1 FROM codes WHERE agent = ? AND minute = ?", key)
            return cursor.fetchone() is not None

    def list_pending(self) -> list[ProvenCode]:
        """Those that the journal may not have yet."""
        with self._fleet.transaction() as db:
            rows: list[tuple[bytes, int, int, bytes, str]] = db.execute(
                "SELECT agent, minute, received_us, body, carrier FROM codes WHERE handed = 0"
            ).fetchall()
        return [
            ProvenCode(agent=a, minute=m, received_us=r, body=b, carrier=c)
            for a, m, r, b, c in rows
        ]

    def mark_delivered(self, codes: Iterable[ProvenCode]) -> None:
        """What they said is the journal's now; that they came stays known."""
        with self._fleet.transaction() as db:
            db.executemany(
                "UPDATE codes SET handed = 1, body = x'' WHERE agent = ? AND minute = ?",
                [(code.agent, code.minute) for code in codes],
            )

    def data_version(self) -> int:
        return self._fleet.data_version()
