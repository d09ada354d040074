"""Name the units of time, in microseconds as all timestamps are, and in seconds."""

MINUTE_S = 60
HOUR_S = 3_600
DAY_S = 86_400

SECOND_US = 1_000_000
MINUTE_US = MINUTE_S * SECOND_US
HOUR_US = HOUR_S * SECOND_US
DAY_US = DAY_S * SECOND_US
