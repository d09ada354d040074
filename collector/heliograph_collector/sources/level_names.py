"""Recognize columns and sources that are no levels, by their names and values.

A level counts things that are there, so that a lower one may be an outage. A delay or a status code
does not: fewer milliseconds are good news, and 200 is not less than 503. A row's labels, such as
its number, weekday or location, are no levels either; nor is `frac`, the share of Tor's relays that
reported.
"""

import re
from collections.abc import Iterable

_TOKEN = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|\d+")
_DELAYS = frozenset({
    "ms", "msec", "millisecond", "milliseconds", "us", "usec", "seconds", "secs", "rtt", "latency",
    "delay", "duration", "runtime", "elapsed", "jitter",
})  # fmt: skip
_MEANS = frozenset({"avg", "average", "mean", "median", "min", "max"})
_CODES = frozenset({"status", "statuscode", "errno", "httpcode"})
_FAILURES = frozenset({
    "loss", "losses", "lost", "error", "errors", "fail", "fails", "failed", "failing", "failure",
    "failures", "timeout", "timeouts", "retransmits", "anomalies", "anomaly", "blocked",
    "confirmed", "outage", "outages", "unreachable", "offline", "undefined", "terminated",
    "withdrawn", "withdrawal", "withdrawals", "disconnect", "disconnects", "disconnected",
    "disconnections", "alert", "alerts", "alarms", "hijack", "hijacks", "leaks", "attacks",
    "unexpected", "missing", "affected",
})  # fmt: skip
_OTHERS = frozenset({
    "previous", "expected", "forecast", "predicted", "sarima", "baseline", "threshold",
})  # fmt: skip
_SPEEDS = frozenset({"bps", "kbps", "mbps", "gbps", "speed", "throughput"})
_COORDINATES = frozenset({
    "id", "ids", "frac", "lat", "lon", "lng", "latitude", "longitude", "timezone", "tz",
})  # fmt: skip
_CALENDAR = frozenset({
    "year", "month", "week", "weekday", "weekend", "dow", "day", "date", "hour", "hr", "minute",
    "time", "timestamp", "datetime", "quarter", "is", "of", "utc", "local", "epoch", "unix",
    "row", "table", "unnamed",
})  # fmt: skip
# Codes that servers send (RFC 9110, and 520 to 526 of a CDN).
_HTTP_CODES = frozenset({
    0, 200, 201, 202, 204, 206, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 405, 408, 410,
    429, 451, 500, 501, 502, 503, 504, *range(520, 527),
})  # fmt: skip


def is_label(name: str) -> bool:
    """Return whether a column identifies its row, by its name."""
    tokens = {token.lower() for token in _TOKEN.findall(name) if not token.isdecimal()}
    return bool(tokens & _COORDINATES) or (bool(tokens) and tokens <= _CALENDAR)


def find_misfit(name: str, values: Iterable[float | None] = ()) -> str | None:
    """Return why a column is no level, without a full stop; None if it may be one."""
    tokens = {token.lower() for token in _TOKEN.findall(name)}
    remedy = "leave it out, and give a count of what answered"
    if tokens & _DELAYS or {"response", "time"} <= tokens:
        return f"{name!r} is a time, whose fall is no outage; {remedy}"
    if "ping" in tokens and tokens & _MEANS:
        return f"{name!r} is a mean of times, whose fall is no outage; {remedy}"
    if tokens & _CODES or {"http", "code"} <= tokens or {"response", "code"} <= tokens:
        return f"{name!r} is a code, which is no quantity; {remedy}"
    if tokens & _FAILURES or ("down" in tokens and not tokens & _SPEEDS):
        return f"{name!r} counts failures, whose fall is no outage; {remedy}"
    if tokens & _OTHERS:
        return f"{name!r} is of another time, or expected, and not a level; leave it out"
    distinct = {value for value in values if value is not None}
    if len(distinct - {0}) > 1 and distinct <= _HTTP_CODES and 200 in distinct:
        return f"{name!r} holds status codes of HTTP, which are no quantity; {remedy}"
    return None
