"""Store of proven codes, by voice or DNS, in fleet.db until the journal has them.

So a command can accept a code while `serve` runs or not, and no code counts twice.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from heliograph_collector.fleet.registry import Fleet

FAILURES_KEPT_S = 3_600  # how long a failed try counts, and its source is known


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenCode:
    """One proven code; `body` is its compressed batch."""

    agent: bytes
    minute: int  # since 1970, UTC; with the agent it identifies the code permanently
    received_us: int
    body: bytes
    carrier: str = "code"  # "code" by voice, or "dns"


class VoiceCodeStore:
    """Store of proven codes and failed tries, safe from any thread like its fleet."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def count_failures(self, source: str, now_s: int) -> int:
        """Count a source's codes without proof in the last hour; delete older ones."""
        with self._fleet.transaction() as db:
            db.execute("DELETE FROM unproven WHERE at_s < ?", (now_s - FAILURES_KEPT_S,))
            cursor = db.execute("SELECT count(*) FROM unproven WHERE source = ?", (source,))
            return int(cursor.fetchone()[0])

    def record_failure(self, source: str, now_s: int) -> None:
        self._fleet.change_row("INSERT INTO unproven (at_s, source) VALUES (?, ?)", now_s, source)

    def add(self, code: ProvenCode) -> bool:
        """Add a code; return False when this agent and minute already has one."""
        sql = (
            "INSERT INTO codes (agent, minute, received_us, body, carrier)"
            " VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
        )
        values = (code.agent, code.minute, code.received_us, code.body, code.carrier)
        return self._fleet.change_row(sql, *values)

    def has_code(self, agent: bytes, minute: int) -> bool:
        sql = "SELECT 1 FROM codes WHERE agent = ? AND minute = ?"
        return bool(self._fleet.read_rows(sql, agent, minute))

    def list_pending(self) -> list[ProvenCode]:
        """List codes that the journal may not have yet."""
        names = ("agent", "minute", "received_us", "body", "carrier")
        rows = self._fleet.read_rows(f"SELECT {', '.join(names)} FROM codes WHERE handed = 0")  # noqa: S608 fixed text, no value
        return [ProvenCode(**dict(zip(names, row, strict=True))) for row in rows]

    def mark_delivered(self, codes: Iterable[ProvenCode]) -> None:
        """Delete the bodies of codes that the journal has, and keep their ids."""
        with self._fleet.transaction() as db:
            db.executemany(
                "UPDATE codes SET handed = 1, body = x'' WHERE agent = ? AND minute = ?",
                [(code.agent, code.minute) for code in codes],
            )

    def data_version(self) -> int:
        return self._fleet.data_version()
