"""When a message may be made, and when it is tried again. Pure."""

import random
from collections.abc import Sequence

from heliograph_collector.config.receiver import Receiver

SECOND_US = 1_000_000
HOUR_US = 3_600 * SECOND_US
SOON_US = 2 * SECOND_US  # what belongs together comes together
DELAYS_S = (5, 30, 120, 300, 900, 1_800, 3_600, 7_200, *(14_400,) * 5)  # all but a day


def message_due_us(receiver: Receiver, oldest_us: int, made_us: Sequence[int]) -> int:
    """From when what waits goes into a message.

    `oldest_us`: since when it waits; `made_us`: when messages were made in the last hour, in order.
    """
    due_us = oldest_us + SOON_US
    if made_us:
        due_us = max(due_us, made_us[-1] + receiver.gather_s * SECOND_US)
    if len(made_us) >= receiver.per_hour:
        due_us = max(due_us, made_us[-receiver.per_hour] + HOUR_US)
    return due_us


def again_us(tries: int, now_us: int, after_s: float | None, rng: random.Random) -> int | None:
    """When to try again after so many failures; None after a day of them."""
    if tries > len(DELAYS_S):
        return None
    wait_s = DELAYS_S[tries - 1] * rng.uniform(0.9, 1.1)
    return now_us + int(max(wait_s, after_s or 0.0) * SECOND_US)
