"""How times and places read on the console's pages. Times are UTC, and coarse where people are."""

from datetime import UTC, datetime

DASH = "\N{EN DASH}"
_DAY_S = 86_400


def moment(at_s: int | None) -> str:
    """To the minute."""
    return DASH if at_s is None else f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d %H:%M}"


def day(at_s: int) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d}"


def seen(at_s: int | None, now_s: int, *, here: bool) -> str:
    """When an agent was here last, no finer than the operator needs."""
    if here:
        return "here now"
    if at_s is None:
        return "never"
    gone_s = max(0, now_s - at_s)
    if gone_s < 3_600:
        return "within the hour"
    if gone_s < _DAY_S:
        return "within a day"
    days = gone_s // _DAY_S
    return "yesterday" if days == 1 else f"{days} days ago"


def network(asn: int) -> str:
    return f"AS{asn}" if asn else "network unknown"


def country(code: str) -> str:
    return "unplaced" if code == "ZZ" else code


def plain(code: str) -> str:
    """A word of the program, as people read it."""
    return code.replace("_", " ")


def count(number: int, one: str, many: str = "") -> str:
    """As "1 agent", "2 agents"."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def size(number: int) -> str:
    """Of bytes."""
    value, unit = float(number), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 1_000 or unit == "TB":
            break
        value /= 1_000
    return f"{value:.0f} {unit}" if value >= 10 or unit == "B" else f"{value:.1f} {unit}"
