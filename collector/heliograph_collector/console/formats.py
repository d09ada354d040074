"""How times and places read on the console's pages. Times are UTC, and coarse where people are."""

from datetime import UTC, datetime

DASH = "\N{EN DASH}"
_DAY_S = 86_400


def format_minute(at_s: int | None) -> str:
    """To the minute."""
    return DASH if at_s is None else f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d %H:%M}"


def format_second(at_us: int) -> str:
    return f"{datetime.fromtimestamp(at_us // 1_000_000, UTC):%Y-%m-%d %H:%M:%S}"


def format_day(at_s: int) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d}"


def format_last_seen(at_s: int | None, now_s: int, *, is_connected: bool) -> str:
    """When an agent was here last, no finer than the operator needs."""
    if is_connected:
        return "here now"
    if at_s is None:
        return "never"
    elapsed_s = max(0, now_s - at_s)
    if elapsed_s < 3_600:
        return "within the hour"
    if elapsed_s < _DAY_S:
        return "within a day"
    days = elapsed_s // _DAY_S
    return "yesterday" if days == 1 else f"{days} days ago"


def format_network(asn: int) -> str:
    return f"AS{asn}" if asn else "network unknown"


def format_country(code: str) -> str:
    return "unplaced" if code == "ZZ" else code


def format_code(code: str) -> str:
    """A word of the program, as people read it."""
    return code.replace("_", " ")


def format_count(number: int, singular: str, plural: str = "") -> str:
    """As "1 agent", "2 agents"."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def format_size(byte_count: int) -> str:
    """Of bytes."""
    value = float(byte_count)
    unit = "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 1_000 or unit == "TB":
            break
        value /= 1_000
    return f"{value:.0f} {unit}" if value >= 10 or unit == "B" else f"{value:.1f} {unit}"
