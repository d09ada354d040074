"""Rate limit of what gRPC logs about requests that failed before our code saw them.

gRPC logs a traceback of some ten lines for each message that is no protobuf, and anybody can send
those without a login: a disk full of logs would be theirs to fill.
"""

import logging

from google.protobuf.message import DecodeError

from heliograph.clock import Clock
from heliograph.units import MINUTE_US

LOGGER = "grpc._cython.cygrpc"
_EVERY_US = MINUTE_US  # between two lines of a kind; assumed


class MalformedRequestFilter(logging.Filter):
    """Pass one line a minute about malformed messages, and one traceback a minute about bugs."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self._logged_us: dict[bool, int] = {}  # by whether the message was malformed
        self._left_out = {True: 0, False: 0}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to log; a malformed message becomes one line without a traceback."""
        error = record.exc_info[1] if record.exc_info else None
        is_malformed = isinstance(error, DecodeError)
        now_us = self._clock.monotonic_us()
        logged_us = self._logged_us.get(is_malformed)
        if logged_us is not None and now_us - logged_us < _EVERY_US:
            self._left_out[is_malformed] += 1
            return False
        self._logged_us[is_malformed] = now_us
        if is_malformed:
            count = 1 + self._left_out[True]
            record.msg = "Malformed requests refused: %d since the last such line."
            record.args = (count,)
            record.exc_info = None
            record.exc_text = None
        self._left_out[is_malformed] = 0
        return True
