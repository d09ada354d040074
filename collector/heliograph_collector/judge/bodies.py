"""How a page's body came in: whole, broken off, or let through to a point and then no further."""

from heliograph.failure import Operation
from heliograph_collector.judge.sight import Sight, Step

# Where the freezes seen in the field set in: after 16 to 25 KB, as servers and boxes count it.
FREEZE_FROM = 8 * 1024
FREEZE_TO = 64 * 1024
SILENCE_US = 5_000_000  # so long nothing, before it is called frozen
LEAST_RATE = 8 * 1024  # bytes a second until then: what crawls all along does not freeze


def frozen(here: Sight, control: Sight) -> bool:
    """Whether a body came briskly, stopped within the window and stayed silent to the end.

    Never when another connection of the same measurement got it whole.
    """
    theirs = [s for s in control.find(Operation.READ_BODY) if s.ok]
    whole = max((s.seen.http.body_bytes for s in theirs if s.seen.http), default=0)
    return any(_stuck(step, whole) for step in here.find(Operation.READ_BODY))


def _stuck(step: Step, whole: int) -> bool:
    http = step.seen.http
    if step.method != "slow_body" or http is None or not http.arrivals:
        return False
    last = http.arrivals[-1]
    if not FREEZE_FROM <= last.bytes <= FREEZE_TO or last.bytes >= whole:
        return False
    first = next(a.at_us for a in http.arrivals if a.bytes >= last.bytes)  # when it all was there
    brisk = last.bytes * 1_000_000 >= LEAST_RATE * max(first, 1)
    return brisk and step.seen.duration_us - first >= SILENCE_US
