"""Outbox of notifications in its own database, `DATA/courier.db`.

States: an alert waits for its receiver (`waiting`) until it joins a message. A message is `waiting`
while it has a next try, then `arrived` or `given_up`; a resend makes it `waiting` again. Alerts and
the position in the log are stored in one transaction, so a crash neither loses nor repeats one. All
calls are short; the dispatcher makes them in a thread.
"""

import errno
import json
import random
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from heliograph.units import HOUR_US, SECOND_US
from heliograph_collector.alerting.message import Message, format_title
from heliograph_collector.config.receivers import IncidentAlert, Receiver

DATABASE_FILE = "courier.db"
MAX_WAITING = 500  # alerts for one receiver; older ones are only counted
MAX_UNDELIVERED = 200  # messages to one receiver that have not arrived
MAX_FINISHED = 500  # finished messages of one receiver in the delivery log
_SCHEMA = """
CREATE TABLE IF NOT EXISTS place (one INTEGER PRIMARY KEY CHECK (one = 1), entry INTEGER NOT NULL,
  head TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS outbox (one INTEGER PRIMARY KEY CHECK (one = 1), id TEXT NOT NULL
  DEFAULT (lower(hex(randomblob(8))))) STRICT;
INSERT OR IGNORE INTO outbox (one) VALUES (1);
CREATE TABLE IF NOT EXISTS waiting (number INTEGER PRIMARY KEY, receiver TEXT NOT NULL,
  entry INTEGER NOT NULL, alert TEXT NOT NULL, came_us INTEGER NOT NULL,
  UNIQUE (receiver, entry)) STRICT;
CREATE TABLE IF NOT EXISTS dropped (receiver TEXT PRIMARY KEY, alerts INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS message (id TEXT PRIMARY KEY, receiver TEXT NOT NULL,
  alerts TEXT NOT NULL, more INTEGER NOT NULL, made_us INTEGER NOT NULL, due_us INTEGER,
  tries INTEGER NOT NULL DEFAULT 0, state TEXT NOT NULL DEFAULT 'waiting',
  tried_us INTEGER, said TEXT NOT NULL DEFAULT '') STRICT;
CREATE INDEX IF NOT EXISTS message_due ON message (receiver, due_us) WHERE due_us IS NOT NULL;
CREATE INDEX IF NOT EXISTS message_made ON message (receiver, made_us);
"""
_CLOCK_SET_BACK = (  # the clock was set back to ?2: shift all times, so that nothing waits
    "UPDATE waiting SET came_us = ?2 WHERE receiver = ?1 AND came_us > ?2",
    """
UPDATE message SET due_us = due_us - (ifnull(tried_us, made_us) - ?2),
  tried_us = min(tried_us, ?2), made_us = min(made_us, ?2)
WHERE receiver = ?1 AND due_us IS NOT NULL AND ifnull(tried_us, made_us) > ?2""",
)
BATCHING_US = 2 * SECOND_US  # alerts within this time go into one message
DELAYS_S = (5, 30, 120, 300, 900, 1_800, 3_600, 7_200, *(14_400,) * 5)  # almost 24 hours together


@dataclass(frozen=True, slots=True, kw_only=True)
class DueMessage:
    """A message that is due; `tries` counts the earlier tries."""

    message: Message
    tries: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """One line of the delivery log; `state` is waiting, arrived or given_up."""

    id: str
    receiver: str
    alerts: Sequence[IncidentAlert]
    more: int
    made_us: int
    due_us: int | None
    tries: int
    state: str
    tried_us: int | None
    reply: str

    @property
    def title(self) -> str:
        return format_title(Message(id=self.id, alerts=self.alerts, more=self.more))


def is_full(error: Exception) -> bool:
    """Return whether an error is that of a disk without space, after which all can go on.

    It is SQLITE_IOERR too, where the file of shared memory beside the database cannot grow.
    """
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the primary code
    return code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)


def describe_error(error: Exception) -> str:
    """Describe in a sentence why the outbox cannot be used, with the cure."""
    cure = (
        "free space on its disk, or replace the disk; none of them is lost"
        if is_full(error)
        else "restore it from a backup, or move it away"
    )
    return f"{DATABASE_FILE} cannot be used ({error}): {cure}."


class Outbox:
    """The stored alerts and messages. Every call may raise sqlite3.Error."""

    def __init__(self, data: Path) -> None:
        self._db = sqlite3.connect(
            data / DATABASE_FILE, isolation_level=None, check_same_thread=False, timeout=10
        )
        self._lock = threading.Lock()
        try:
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(_SCHEMA)
        except sqlite3.Error:
            self._db.close()
            raise

    def close(self) -> None:
        with self._lock:
            self._db.close()

    @contextmanager
    def _begin_write(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def read_position(self) -> tuple[int, str] | None:
        """Return (number, hash) of the last entry read; None before the first."""
        with self._lock:
            row = self._db.execute("SELECT entry, head FROM place").fetchone()
        return (int(row[0]), str(row[1])) if row else None

    def queue_alerts(
        self, alerts: Iterable[tuple[str, IncidentAlert]], entry: int, head: str, now_us: int
    ) -> None:
        """Store (receiver, alert) pairs, and that the log was read up to `entry`."""
        with self._begin_write() as db:
            _insert_alerts(db, alerts, now_us)
            db.execute("INSERT OR REPLACE INTO place VALUES (1, ?, ?)", (entry, head))

    def replace(
        self, alerts: Iterable[tuple[str, IncidentAlert]], entry: int, head: str, now_us: int
    ) -> None:
        """Give up undelivered alerts, and store these instead, as `queue_alerts` does."""
        with self._begin_write() as db:
            db.execute("DELETE FROM waiting")
            db.execute("DELETE FROM dropped")
            db.execute(
                "UPDATE message SET due_us = NULL, state = 'given_up', "
                "said = 'left to another collector' WHERE due_us IS NOT NULL"
            )
            _insert_alerts(db, alerts, now_us)
            db.execute("INSERT OR REPLACE INTO place VALUES (1, ?, ?)", (entry, head))

    def read_id(self) -> str:
        """Return the id that distinguishes this outbox from another collector's."""
        with self._lock:
            return str(self._db.execute("SELECT id FROM outbox").fetchone()[0])

    def list_unfinished(self) -> dict[str, list[int]]:
        """List by receiver the entries whose alerts were neither delivered nor given up."""
        with self._lock:
            rows = self._db.execute(
                "SELECT receiver, entry FROM waiting UNION SELECT receiver, "
                "json_extract(each.value, '$.entry') FROM message, json_each(message.alerts) AS "
                "each WHERE due_us IS NOT NULL ORDER BY 1, 2"
            ).fetchall()
        entries: dict[str, list[int]] = {}
        for receiver, entry in rows:
            entries.setdefault(receiver, []).append(entry)
        return entries

    def read_waiting(self, receiver: str, now_us: int) -> tuple[int | None, list[int]]:
        """Read when the oldest alert was queued, and the recent messages.

        Returns:
            The time of the oldest waiting alert, None if none waits or too many messages are open;
            and the times of the messages of the last hour, in order.
        """
        with self._lock:
            for statement in _CLOCK_SET_BACK:
                self._db.execute(statement, (receiver, now_us))
            (oldest_us,) = self._db.execute(
                "SELECT MIN(came_us) FROM waiting WHERE receiver = ?", (receiver,)
            ).fetchone()
            (open_count,) = self._db.execute(
                "SELECT COUNT(*) FROM message WHERE receiver = ? AND due_us IS NOT NULL",
                (receiver,),
            ).fetchone()
            message_rows = self._db.execute(
                "SELECT made_us FROM message WHERE receiver = ? AND made_us BETWEEN ? AND ? "
                "ORDER BY made_us",
                (receiver, now_us - HOUR_US + 1, now_us),
            ).fetchall()
        return (None if open_count >= MAX_UNDELIVERED else oldest_us), [
            int(row[0]) for row in message_rows
        ]

    def compose_message(self, receiver: str, id_: str, now_us: int) -> None:
        """Compose all waiting alerts into one message that is due now."""
        with self._begin_write() as db:
            rows = db.execute(
                "SELECT alert FROM waiting WHERE receiver = ? ORDER BY entry", (receiver,)
            ).fetchall()
            dropped_row = db.execute(
                "SELECT alerts FROM dropped WHERE receiver = ?", (receiver,)
            ).fetchone()
            alerts = "[" + ",".join(row[0] for row in rows) + "]"
            db.execute(
                "INSERT INTO message (id, receiver, alerts, more, made_us, due_us) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (id_, receiver, alerts, dropped_row[0] if dropped_row else 0, now_us, now_us),
            )
            db.execute("DELETE FROM waiting WHERE receiver = ?", (receiver,))
            db.execute("DELETE FROM dropped WHERE receiver = ?", (receiver,))

    def next_due(self, receiver: str, now_us: int) -> DueMessage | int | None:
        """Return the due message, or the time of the next one, or None."""
        with self._lock:
            row = self._db.execute(
                "SELECT id, alerts, more, tries, due_us FROM message WHERE receiver = ? "
                "AND due_us IS NOT NULL ORDER BY due_us LIMIT 1",
                (receiver,),
            ).fetchone()
        if row is None:
            return None
        if row[4] > now_us:
            return int(row[4])
        message = Message(id=row[0], alerts=json.loads(row[1]), more=row[2])
        return DueMessage(message=message, tries=row[3])

    def record_attempt(
        self, id_: str, *, state: str, reply: str, now_us: int, due_us: int | None
    ) -> None:
        """Record the result of a try, and delete the oldest finished messages."""
        with self._begin_write() as db:
            db.execute(
                "UPDATE message SET tries = tries + 1, state = ?, said = ?, tried_us = ?, "
                "due_us = ? WHERE id = ?",
                (state, reply, now_us, due_us, id_),
            )
            db.execute(
                "DELETE FROM message WHERE due_us IS NULL AND receiver = (SELECT receiver FROM "
                "message WHERE id = ?1) AND made_us < ?2 AND id NOT IN (SELECT id FROM message "
                "WHERE receiver = (SELECT receiver FROM message WHERE id = ?1) "
                "ORDER BY made_us DESC LIMIT ?3)",
                (id_, now_us - HOUR_US, MAX_FINISHED),
            )

    def resend(self, id_: str, now_us: int) -> bool:
        """Send a message again under the same id; return False if it does not exist."""
        with self._begin_write() as db:
            update = db.execute(
                "UPDATE message SET due_us = ?, tries = 0, state = 'waiting' WHERE id = ?",
                (now_us, id_),
            )
        return update.rowcount == 1

    def list_deliveries(self, limit: int = 100) -> list[Delivery]:
        """List the newest messages first."""
        with self._lock:
            rows = self._db.execute(
                "SELECT id, receiver, alerts, more, made_us, due_us, tries, state, tried_us, said "
                "FROM message ORDER BY made_us DESC, id LIMIT ?",
                (limit,),
            ).fetchall()
        return [
            Delivery(id_, receiver, json.loads(alerts), *others)
            for id_, receiver, alerts, *others in rows
        ]


def _insert_alerts(
    db: sqlite3.Connection, alerts: Iterable[tuple[str, IncidentAlert]], now_us: int
) -> None:
    for receiver, alert in alerts:
        db.execute(
            "INSERT OR IGNORE INTO waiting (receiver, entry, alert, came_us) VALUES (?, ?, ?, ?)",
            (receiver, alert["entry"], json.dumps(alert), now_us),
        )
        _drop_oldest(db, receiver)


def _drop_oldest(db: sqlite3.Connection, receiver: str) -> None:
    dropped_count = db.execute(
        "DELETE FROM waiting WHERE receiver = ?1 AND number NOT IN (SELECT number FROM waiting "
        "WHERE receiver = ?1 ORDER BY number DESC LIMIT ?2)",
        (receiver, MAX_WAITING),
    ).rowcount
    if dropped_count > 0:
        db.execute(
            "INSERT INTO dropped VALUES (?1, ?2) ON CONFLICT (receiver) "
            "DO UPDATE SET alerts = alerts + ?2",
            (receiver, dropped_count),
        )


def message_due_us(receiver: Receiver, oldest_us: int, recent_us: Sequence[int]) -> int:
    """Return the time at which waiting alerts become a message.

    `oldest_us` is when the oldest alert was queued. `recent_us` holds the times of the messages of
    the last hour, in order.
    """
    due_us = oldest_us + BATCHING_US
    if recent_us:
        due_us = max(due_us, recent_us[-1] + receiver.gather_s * SECOND_US)
    if len(recent_us) >= receiver.per_hour:
        due_us = max(due_us, recent_us[-receiver.per_hour] + HOUR_US)
    return due_us


def next_retry_us(
    tries: int, now_us: int, retry_after_s: float | None, rng: random.Random
) -> int | None:
    """Return the time of the next try after `tries` failures; None after a day."""
    if tries > len(DELAYS_S):
        return None
    wait_s = DELAYS_S[tries - 1] * rng.uniform(0.9, 1.1)
    return now_us + int(max(wait_s, retry_after_s or 0.0) * SECOND_US)
