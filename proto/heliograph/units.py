"""Name the units of time, in microseconds as all timestamps are, and in seconds."""

MINUTE_S = 60
HOUR_S = 3_600
DAY_S = 86_400

SECOND_US = 1_000_000
MINUTE_US = MINUTE_S * SECOND_US
HOUR_US = HOUR_S * SECOND_US
DAY_US = DAY_S * SECOND_US


def minute_of(wall_us: int) -> int:
    """Round a time down to its minute, as a disk that may be seized keeps it."""
    return wall_us - wall_us % MINUTE_US
