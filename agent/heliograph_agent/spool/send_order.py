"""Choose the order in which waiting envelopes are sent.

Why: after weeks offline a link may open for minutes, and may close again at any time. So whatever
was sent up to then has to tell as much as possible. The order is:

1. The digest, which covers the whole offline time in one small envelope.
2. P0 and P1 by age: how the link was, and what changed, from the onset of the outage on.
3. P2 and P3 from both ends of their list in turn. The newest show how things are now, and the
   oldest how they began; the middle fills up last.

Only a receipt removes an envelope, so each call lists the rest again. The turns have to alternate
across calls too, although nothing remembers the last one. The parity of the remaining count does
that: each receipt changes it.
"""

import sqlite3
from collections.abc import Iterator, Sequence

from heliograph_agent.spool.priority import Priority
from heliograph_agent.spool.schema import DIGEST


def order_waiting(db: sqlite3.Connection, limit: int, skip_through: int) -> Iterator[int]:
    """Yield the numbers of waiting envelopes; P2 and P3 only above `skip_through`."""
    rest = f"priority IN ({Priority.P2:d}, {Priority.P3:d}) AND sequence > {skip_through:d}"
    ((count,),) = db.execute(f"SELECT count(*) FROM envelope WHERE {rest}").fetchall()  # noqa: S608 names of ours
    changes = f"priority IN ({Priority.P0:d}, {Priority.P1:d})"
    yield from _list_ends(db, f"priority = {DIGEST:d}", "DESC", limit)
    yield from _list_ends(db, changes, "ASC", limit)
    yield from alternate_ends(
        _list_ends(db, rest, "ASC", limit),
        _list_ends(db, rest, "DESC", limit),
        is_newest_first=count % 2 == 0,
    )


def alternate_ends(
    oldest: Sequence[int], newest: Sequence[int], *, is_newest_first: bool
) -> Iterator[int]:
    """Yield each number once, from both ends of one list in turn.

    Each end goes inward, and both may overlap.
    """
    ends = (iter(newest), iter(oldest)) if is_newest_first else (iter(oldest), iter(newest))
    yielded: set[int] = set()
    for pair in zip(*ends, strict=True):
        for sequence in pair:
            if sequence not in yielded:
                yielded.add(sequence)
                yield sequence


def _list_ends(db: sqlite3.Connection, rank: str, direction: str, limit: int) -> list[int]:
    rows = db.execute(
        f"SELECT sequence FROM envelope INDEXED BY envelope_by_priority WHERE {rank}"  # noqa: S608 names of ours
        f" ORDER BY sequence {direction} LIMIT ?",
        (limit,),
    )
    return [sequence for (sequence,) in rows]
