"""Who is logged in: kept here, in memory, under the hash of a random id that the browser alone has.

A restart of the collector ends all sessions.
"""

import hashlib
import secrets
from dataclasses import dataclass

from heliograph.clock import Clock
from heliograph_collector.fleet.operators import Person

IDLE_US = 30 * 60_000_000
LIFE_US = 12 * 3_600_000_000
MOST = 256  # of all people together; the longest idle goes first


@dataclass(slots=True, kw_only=True)
class Session:
    name: str
    role: str
    stamp: tuple[str, str, str]  # of the person, when it was opened
    token: str  # what every form of this session must bring along
    began_us: int
    seen_us: int


class Sessions:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._open: dict[bytes, Session] = {}

    def __len__(self) -> int:
        return len(self._open)

    def begin(self, person: Person) -> str:
        """A new id, 256 random bits; an id that the browser brought along is never taken over."""
        now_us = self._clock.monotonic_us()
        self._sweep(now_us)
        while len(self._open) >= MOST:
            del self._open[min(self._open, key=lambda key: self._open[key].seen_us)]
        id_ = secrets.token_urlsafe(32)
        self._open[_hash(id_)] = Session(
            name=person.name,
            role=person.role,
            stamp=person.stamp,
            token=secrets.token_urlsafe(32),
            began_us=now_us,
            seen_us=now_us,
        )
        return id_

    def find(self, id_: str, *, touch: bool = True) -> Session | None:
        """None when it is over. `touch`: somebody is there, not only an open page."""
        found, now_us = self._open.get(_hash(id_)), self._clock.monotonic_us()
        if found is None or _over(found, now_us):
            self.end(id_)
            return None
        if touch:
            found.seen_us = now_us
        return found

    def end(self, id_: str) -> None:
        self._open.pop(_hash(id_), None)

    def end_all(self, name: str) -> None:
        self._open = {key: s for key, s in self._open.items() if s.name != name}

    def _sweep(self, now_us: int) -> None:
        self._open = {key: s for key, s in self._open.items() if not _over(s, now_us)}


def _over(session: Session, now_us: int) -> bool:
    return now_us - session.seen_us > IDLE_US or now_us - session.began_us > LIFE_US


def _hash(id_: str) -> bytes:
    return hashlib.sha256(id_.encode("utf-8", "surrogateescape")).digest()
