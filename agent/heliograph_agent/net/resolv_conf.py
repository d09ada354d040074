"""/etc/resolv.conf as glibc reads it: servers, search path, patience."""

from dataclasses import dataclass

from heliograph.address import literal

MAX_FILE = 65_536
_MAX_SERVERS = 3  # glibc's MAXNS
_MAX_SEARCH = 32
_MAX_NAME = 253


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvConf:
    servers: tuple[tuple[str, int], ...] = ()
    search: tuple[str, ...] = ()
    ndots: int = 1
    timeout_s: int = 5
    attempts: int = 2
    rotate: bool = False
    use_tcp: bool = False


def parse(text: str, *, hostname: str = "") -> ResolvConf:
    """What cannot be understood is passed over, as the system does. `hostname` gives the search
    path its default: the domain this machine is in."""
    servers: list[tuple[str, int]] = []
    search = _names([hostname.partition(".")[2]])
    options: dict[str, str] = {}
    for line in text[:MAX_FILE].splitlines():
        if line.startswith((";", "#")):
            continue
        keyword, *words = line.split() or [""]
        if keyword == "nameserver" and words and literal(words[0]):
            servers.append((words[0], 53))
        elif keyword in ("search", "domain"):
            search = _names(words[:1] if keyword == "domain" else words)  # the last line wins
        elif keyword == "options":
            options |= dict(_option(word) for word in words[:64])
    return ResolvConf(
        servers=tuple(servers[:_MAX_SERVERS]),
        search=search,
        ndots=_number(options, "ndots", 1, 0, 15),
        timeout_s=_number(options, "timeout", 5, 1, 30),
        attempts=_number(options, "attempts", 2, 1, 5),
        rotate="rotate" in options,
        use_tcp="use-vc" in options,
    )


def candidates(name: str, conf: ResolvConf) -> tuple[str, ...]:
    """The names to ask for, in turn; each ends in a dot."""
    if name.endswith("."):
        return (name,)
    absolute = f"{name}."
    found = tuple(f"{name}.{domain}." for domain in conf.search if domain)
    fitting = tuple(each for each in found if len(each) <= _MAX_NAME + 1)
    if name.count(".") >= conf.ndots:
        return (absolute, *fitting)
    return (*fitting, absolute)


def _names(words: list[str]) -> tuple[str, ...]:
    cut = (word.strip(".") for word in words[:_MAX_SEARCH])
    return tuple(word for word in cut if word and len(word) <= _MAX_NAME)


def _option(word: str) -> tuple[str, str]:
    name, _, value = word.partition(":")
    return name, value


def _number(options: dict[str, str], name: str, default: int, low: int, high: int) -> int:
    value = options.get(name, "")
    if not (value.isascii() and value.isdigit()):
        return default
    return max(low, min(high, int(value[:9])))
