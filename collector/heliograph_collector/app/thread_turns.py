"""Limit how long one thread of a process keeps the interpreter from the others."""

import sys

# CPython's own 5 ms is what the event loop waits, each time it has slept, for each other thread
# that computes. Agents wait for the loop.
TURN_S = 0.001


def shorten_turns() -> None:
    """Let the event loop go on soon while threads open envelopes, decode and count."""
    sys.setswitchinterval(TURN_S)
