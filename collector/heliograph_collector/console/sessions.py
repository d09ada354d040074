"""Login sessions, in memory, by the hash of a random id that only the browser has.

A restart of the collector ends all sessions.
"""

import hashlib
import secrets
from dataclasses import dataclass

from heliograph.clock import Clock
from heliograph.units import HOUR_US, MINUTE_US
from heliograph_collector.fleet.operators import Person

IDLE_US = 30 * MINUTE_US
LIFETIME_US = 12 * HOUR_US
MAX_SESSIONS = 256  # of all people together; the longest idle one is removed first


@dataclass(slots=True, kw_only=True)
class LoginSession:
    name: str
    role: str
    stamp: tuple[str, str, str]  # of the person, when the session was opened
    token: str  # required in every form of this session
    began_us: int
    seen_us: int


class Sessions:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sessions: dict[bytes, LoginSession] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def _read_seen_us(self, hashed_id: bytes) -> int:
        return self._sessions[hashed_id].seen_us

    def open_session(self, person: Person) -> str:
        """Open a session with a new id of 256 random bits.

        An id from the browser is never reused.
        """
        now_us = self._clock.monotonic_us()
        self._drop_expired(now_us)
        while len(self._sessions) >= MAX_SESSIONS:
            del self._sessions[min(self._sessions, key=self._read_seen_us)]
        id_ = secrets.token_urlsafe(32)
        self._sessions[_hash_id(id_)] = LoginSession(
            name=person.name,
            role=person.role,
            stamp=person.stamp,
            token=secrets.token_urlsafe(32),
            began_us=now_us,
            seen_us=now_us,
        )
        return id_

    def find_session(self, id_: str, *, is_active: bool = True) -> LoginSession | None:
        """Find a session; None if it has ended.

        `is_active`: a person acted, not only a page that refreshes itself.
        """
        session = self._sessions.get(_hash_id(id_))
        now_us = self._clock.monotonic_us()
        if session is None or _is_expired(session, now_us):
            self.end_session(id_)
            return None
        if is_active:
            session.seen_us = now_us
        return session

    def end_session(self, id_: str) -> None:
        self._sessions.pop(_hash_id(id_), None)

    def _drop_expired(self, now_us: int) -> None:
        self._sessions = {key: s for key, s in self._sessions.items() if not _is_expired(s, now_us)}


def _is_expired(session: LoginSession, now_us: int) -> bool:
    return now_us - session.seen_us > IDLE_US or now_us - session.began_us > LIFETIME_US


def _hash_id(id_: str) -> bytes:
    return hashlib.sha256(id_.encode("utf-8", "surrogateescape")).digest()
