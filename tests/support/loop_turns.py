"""Measure each turn of the event loop: Python lines, bytes passed on, CPU time.

A turn is one callback of the loop. Lines and bytes are counted, so that no machine decides an
ordinary test; the time is for the bench. Bytes are those of the arguments of each call, messages of
protobuf included: what a function gets it may parse or copy.
"""

import asyncio.events
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from google.protobuf.message import Message

TESTS = str(Path(__file__).parents[1])


@dataclass
class LoopTurns:
    """The longest turns so far of one thread's loop."""

    turns: int = 0
    lines: int = 0  # most in one turn
    bytes: int = 0
    cpu_s: float = 0.0
    longest: str = ""  # the callback that took the most lines, or time
    _lines: int = 0
    _bytes: int = 0
    _thread: int = field(default_factory=threading.get_ident)

    def forget(self) -> None:
        """Start again: what a listener does once at its start is no stranger's work."""
        self.turns = self.lines = self.bytes = 0
        self.cpu_s = 0.0

    def trace(self, frame: FrameType, event: str, _argument: object) -> Any:
        if event == "call":
            code = frame.f_code
            if code.co_filename.startswith(TESTS):  # what stands in for a store, say
                return None
            names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
            self._bytes += sum(_size(frame.f_locals.get(name)) for name in names)
        self._lines += 1
        return self.trace

    def begin(self) -> float:
        self._lines = self._bytes = 0
        return time.thread_time()

    def end(self, began_s: float, callback: object) -> None:
        spent_s = time.thread_time() - began_s
        self.turns += 1
        if self._lines > self.lines or spent_s > self.cpu_s:
            self.longest = repr(callback)[:300]
        self.lines = max(self.lines, self._lines)
        self.bytes = max(self.bytes, self._bytes)
        self.cpu_s = max(self.cpu_s, spent_s)

    def is_here(self) -> bool:
        return threading.get_ident() == self._thread


def _size(value: object) -> int:
    if isinstance(value, bytes | bytearray | memoryview):
        return len(value)
    return value.ByteSize() if isinstance(value, Message) else 0


@contextmanager
def watched_turns(*, counted: bool) -> Iterator[LoopTurns]:
    """Watch this thread's loop; `counted` counts lines and bytes too, much slower."""
    found = LoopTurns()
    handles: Any = asyncio.events.Handle  # each callback passes its private method
    run = handles._run

    def watched(handle: asyncio.Handle) -> None:
        if not found.is_here():
            run(handle)
            return
        began_s = found.begin()
        try:
            run(handle)
        finally:
            found.end(began_s, handle)

    previous = sys.gettrace()
    handles._run = watched
    if counted:
        sys.settrace(found.trace)
    try:
        yield found
    finally:
        sys.settrace(previous)
        handles._run = run
