"""Formats of the console's pages; times are UTC, and coarse for people's agents."""

from datetime import UTC, datetime

from heliograph.units import DAY_S

DASH = "\N{EN DASH}"


def format_minute(at_s: int | None) -> str:
    """Format a time to the minute."""
    return DASH if at_s is None else f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d %H:%M}"


def format_second(at_us: int) -> str:
    return f"{datetime.fromtimestamp(at_us // 1_000_000, UTC):%Y-%m-%d %H:%M:%S}"


def format_day(at_s: int) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d}"


def format_last_seen(at_s: int | None, now_s: int, *, is_connected: bool) -> str:
    """Format when an agent was last connected, no finer than the operator needs."""
    if is_connected:
        return "here now"
    if at_s is None:
        return "never"
    elapsed_s = max(0, now_s - at_s)
    if elapsed_s < 3_600:
        return "within the hour"
    if elapsed_s < DAY_S:
        return "within a day"
    days = elapsed_s // DAY_S
    return "yesterday" if days == 1 else f"{days} days ago"


def format_network(asn: int) -> str:
    return f"AS{asn}" if asn else "network unknown"


def format_country(code: str) -> str:
    return "unplaced" if code == "ZZ" else code


def format_code(code: str) -> str:
    """Format an internal code for people."""
    return code.replace("_", " ")


def format_count(number: int, singular: str, plural: str = "") -> str:
    """Format a count as "1 agent" or "2 agents"."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def format_size(byte_count: int) -> str:
    """Format a number of bytes."""
    value = float(byte_count)
    unit = "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 1_000 or unit == "TB":
            break
        value /= 1_000
    return f"{value:.0f} {unit}" if value >= 10 or unit == "B" else f"{value:.1f} {unit}"
