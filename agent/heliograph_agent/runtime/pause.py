"""Keep the switch of `pause` and `resume` in a file, offline and over restarts.

A file that cannot be read pauses until `resume`: the volunteer wanted silence.
"""

import os
from contextlib import suppress
from typing import TypedDict

from heliograph_agent.state import PAUSED, State, StateError

FOREVER_US = 0
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)  # which Windows lacks
_EMPTY = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _NO_LINK  # an earlier pause may end sooner


class Pause(TypedDict):
    """Describe paused.json."""

    until_us: int  # wall clock, FOREVER_US without an end


def read_pause(state: State, now_us: int) -> Pause | None:
    """Return the pause, None without one and after its end."""
    until_us = _read_end_us(state)
    if until_us is None or _is_over(until_us, now_us):
        return None
    return {"until_us": until_us}


def is_paused(state: State, now_us: int) -> bool:
    """Return whether the volunteer paused the agent; forget a pause that is over."""
    until_us = _read_end_us(state)
    if until_us is None:
        return False
    if not _is_over(until_us, now_us):
        return True
    with suppress(StateError):
        state.remove(PAUSED)
    return False


def write_pause(state: State, until_us: int) -> int:
    """Write the switch; return the end that it has, which a full disk has no room for.

    An empty file takes no block of the disk, and pauses until `resume`. Raises StateError where
    there is no room even for that, or this user may not write.
    """
    try:
        state.write_json(PAUSED, {"until_us": until_us})
    except StateError:
        try:
            os.close(os.open(state.path(PAUSED), _EMPTY, 0o600))
        except OSError:
            pass
        else:
            return FOREVER_US
        raise
    return until_us


def _read_end_us(state: State) -> int | None:
    try:
        stored = state.read_json(PAUSED)
    except StateError:
        return FOREVER_US
    if stored is None:
        return None
    until_us = stored.get("until_us")
    return until_us if isinstance(until_us, int) else FOREVER_US


def _is_over(until_us: int, now_us: int) -> bool:
    return until_us != FOREVER_US and now_us >= until_us
