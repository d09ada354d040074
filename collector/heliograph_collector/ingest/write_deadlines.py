"""Deadlines of writes to agents: one timer does for the writes of all sessions.

A timer for each write would stay in the event loop's heap for the whole of `rate_limits.RPC_S`
after it was canceled: 60,000 of them beside 30,000 sessions with a heartbeat each 15 s.
"""

import asyncio

CHECK_S = 1.0  # a write may take so much longer than its deadline; assumed


class WriteDeadlines:
    """Ends writes that agents do not read; each may last `limit_s`."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._due_s: dict[asyncio.Timeout, float] = {}  # the earliest first, as all last as long
        self._timer: asyncio.TimerHandle | None = None

    def add(self, timeout: asyncio.Timeout) -> None:
        """Let a timeout that was entered without a deadline expire in time."""
        loop = asyncio.get_running_loop()
        self._due_s[timeout] = loop.time() + self._limit_s
        if self._timer is None:
            self._timer = loop.call_later(min(CHECK_S, self._limit_s), self._check)

    def discard(self, timeout: asyncio.Timeout) -> None:
        """Forget a timeout that was left; it may have expired."""
        self._due_s.pop(timeout, None)

    def _check(self) -> None:
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        for timeout, due_s in list(self._due_s.items()):
            if due_s > now_s:
                break
            del self._due_s[timeout]
            timeout.reschedule(now_s)
        waits = min(CHECK_S, self._limit_s) if self._due_s else None
        self._timer = None if waits is None else loop.call_later(waits, self._check)
